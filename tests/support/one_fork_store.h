// A fork store on a simulated disk with a clock that stands still, and short words for what is asked of it.
#pragma once
#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {

/// 32 bytes that say `name`.
inline Bytes account_key(const std::string& name) {
  Bytes key = name;
  key.resize(kAccountKeyBytes, '.');
  return key;
}

struct OneForkStore : testing::Test {
  void SetUp() override { open(); }
  void open() {
    process = std::make_unique<Process>(*disk, clock);
    process->forks_tuning = tuning;
    process->drives = drives;
    ASSERT_OK(process->open());
    auto opened = process->database().forks("main", {});
    ASSERT_OK(opened);
    impl = *opened;
    store.emplace(impl);
  }
  void end() {
    store.reset();
    impl.reset();
    process.reset();
  }
  void reopen() {
    ASSERT_OK(process->close());
    end();
    open();
  }
  void go_on_with(std::unique_ptr<storage::SimulatedDisk> next) {
    end();
    disk = std::move(next);
    open();
  }
  void TearDown() override { end(); }

  void put(ForkNumber fork, const std::string& name, const std::string& value, Durability durability = Durability::kDisk) {
    EXPECT_OK(store->store(fork, account_key(name), value, {.durability = durability}));
  }
  void erase(ForkNumber fork, const std::string& name) { EXPECT_OK(store->erase(fork, account_key(name))); }
  std::string get(ForkNumber fork, const std::string& name) {
    const auto hit = store->load(fork, account_key(name));
    if (!hit) return name_of(hit.error().code);
    return *hit ? Bytes((*hit)->view()) : "(none)";
  }
  void change(ForkNumber fork, const std::string& name, const std::string& to) {
    auto account = store->get_mut(fork, account_key(name));
    ASSERT_OK(account);
    ASSERT_TRUE(account->has_value());
    ASSERT_EQ((*account)->bytes().size(), to.size());
    std::ranges::copy(to, (*account)->bytes().begin());
  }
  ErrorCode code_of(const auto& result) { return result ? ErrorCode::kUnsupported : result.error().code; }

  std::unique_ptr<storage::SimulatedDisk> disk = std::make_unique<storage::SimulatedDisk>(1);
  SimulatedClock clock;
  forks::Tuning tuning = small_forks_tuning();
  std::vector<std::string> drives;
  std::unique_ptr<Process> process;
  std::shared_ptr<forks::ForkStoreImpl> impl;
  std::optional<ForkStore> store;
};

}  // namespace cairn::test
