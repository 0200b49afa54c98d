// A process that owns a database with a short lease and writes until it is told it no longer may: for tests that stop
// and kill real processes; with a third argument it saves into a timeline of that name, in small blocks, and with a fourth stores
// in a fork store; with a fifth it makes transfers in a Model. Prints the number of each acknowledged write; exits 0 when a write
// fails with kLeaseLost.
#include <cstdio>
#include <string>

#include "bank_model.h"
#include "cairn/cairn.h"

namespace {

/// What each save puts under its key and, in the same batch, under "last".
int save_for_ever(cairn::Database& database, const char* name) {
  auto timeline = database.timeline(name, {.block_keys_max = 200, .block_bytes_max = 64 << 10});
  if (!timeline) return 3;
  for (int i = 0;; ++i) {
    cairn::Saves saves;
    saves.put("key" + std::to_string(i % 1000), std::to_string(i));
    saves.put("last", std::to_string(i));
    const auto saved = timeline->write(saves, {i % 2 == 0 ? cairn::Durability::kDisk : cairn::Durability::kKernel});
    if (!saved) return saved.error().code == cairn::ErrorCode::kLeaseLost ? 0 : 4;
    std::printf("%d\n", i);
    std::fflush(stdout);
  }
}

/// In a fork of its own every ten batches, of which the last but one becomes the root every hundred; beside it one that is
/// purged.
int store_for_ever(cairn::Database& database, const char* name) {
  auto store = database.forks(name);
  if (!store) return 3;
  const auto key_of = [](int i) {
    std::string key = std::to_string(i % 100);
    key.resize(cairn::kAccountKeyBytes, '.');
    return key;
  };
  cairn::ForkNumber tip = store->list().back().number;
  for (int i = 0;; ++i) {
    const std::string key = key_of(i);
    const std::string last(cairn::kAccountKeyBytes, 'L');
    const std::string value = std::to_string(i);
    const cairn::ForkNumber next = tip + 2;
    if (i % 10 == 0) {
      if (!store->create_fork(tip + 1, tip) || !store->create_fork(next, tip)) return 4;
      if (!store->store(tip + 1, last, "purged") || !store->purge(tip + 1)) return 4;
      if (i % 100 == 90 && !store->set_root(tip)) return 4;
      tip = next;
    }
    const cairn::AccountUpdate batch[] = {{.key = key, .value = value}, {.key = last, .value = value}};
    const auto stored = store->store(tip, batch, {i % 2 == 0 ? cairn::Durability::kDisk : cairn::Durability::kKernel});
    if (!stored) return stored.error().code == cairn::ErrorCode::kLeaseLost ? 0 : 4;
    std::printf("%d\n", i);
    std::fflush(stdout);
  }
}

/// Prints "given ID" before an entry is waited for, "saved ID" after it. Every tenth is deleted at once.
int transfer_for_ever(cairn::Database& database, const char* name) {
  using cairn::test::Bank;
  using cairn::test::Entry;
  auto table = database.table(name);
  if (!table) return 3;
  auto bank = cairn::TablePersistence<Bank>::open(*table, {.idle_ms = 1, .age_ms_max = 5});
  if (!bank || !(*bank)->begin()) return 3;
  for (std::int64_t i = 0;; ++i) {
    cairn::Id<Entry> entry;
    auto change = (*bank)->transfer(i, entry);
    if (change && i % 10 == 9) change = (*bank)->set_deleted(entry);
    if (!change) return 4;
    std::printf("given %ld\n", entry.value);
    std::fflush(stdout);
    const auto saved = (*bank)->wait_until_saved(*change);
    if (!saved) return saved.error().code == cairn::ErrorCode::kLeaseLost ? 0 : 4;
    std::printf("%s %ld\n", i % 10 == 9 ? "deleted" : "saved", entry.value);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 6) return 2;
  auto database =
      cairn::Database::open(argv[1], {.create_if_missing = true, .owner = "the stopped owner", .lease_ms = std::stol(argv[2])});
  if (!database) return 3;
  if (argc == 6) return transfer_for_ever(*database, argv[3]);
  if (argc == 5) return store_for_ever(*database, argv[3]);
  if (argc == 4) return save_for_ever(*database, argv[3]);
  auto table = database->table("main");
  if (!table) return 3;
  for (int i = 0;; ++i) {
    const auto durability = i % 2 == 0 ? cairn::Durability::kDisk : cairn::Durability::kKernel;
    const auto written = table->put("key" + std::to_string(i), std::to_string(i), {.durability = durability});
    if (!written) return written.error().code == cairn::ErrorCode::kLeaseLost ? 0 : 4;
    std::printf("%d\n", i);
    std::fflush(stdout);
  }
}
