#include "forks/account_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>
#include <vector>

#include "base/hash.h"
#include "base/random.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using forks::AccountIndex;

/// Words of a hash, the last inserted first.
using Model = std::map<std::uint64_t, std::vector<std::uint64_t>>;

void expect_equal(const AccountIndex& index, const Model& model) {
  std::uint64_t size = 0;
  for (const auto& [hash, words] : model) {
    for (unsigned nth = 0; nth < words.size(); ++nth) ASSERT_EQ(index.find(hash, nth), words[nth]) << hash << " " << nth;
    ASSERT_EQ(index.find(hash, static_cast<unsigned>(words.size())), 0U);
    size += words.size();
  }
  ASSERT_EQ(index.size(), size);
  std::vector<AccountIndex::Entry> entries;
  std::vector<std::uint64_t> hashes;
  for (std::size_t region = 0; region < AccountIndex::kRegions; ++region) {
    index.copy_region(region, entries);
    for (const auto& entry : entries) hashes.push_back(entry.hash);
  }
  ASSERT_EQ(hashes.size(), size);
  ASSERT_TRUE(std::ranges::is_sorted(hashes));
}

/// Hashes of few regions, some of them close to each other and some the same.
std::uint64_t some_hash(Random& random) {
  const std::uint64_t region = random.below(3) == 0 ? AccountIndex::kRegions - 1 : random.below(3);
  const std::uint64_t rest = random.one_in(3) ? random.below(20) << 8 : random.below(std::uint64_t{1} << 52);
  return region << 52 | rest;
}

void run_history(std::uint64_t seed) {
  SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
  Random random(seed);
  auto index = *AccountIndex::create();
  Model model;
  for (int phase = 0; phase < 6; ++phase) {
    const bool grows = phase % 2 == 0;
    for (int step = 0; step < 4000; ++step) {
      std::uint64_t hash = some_hash(random);
      const auto near = model.lower_bound(hash);
      if (random.one_in(2) && near != model.end()) hash = near->first;
      std::vector<std::uint64_t>& words = model[hash];
      const std::uint64_t word = 1 + random.below(1000000);
      AccountIndex::Locked locked(*index, hash);
      for (unsigned nth = 0; nth < words.size(); ++nth) ASSERT_EQ(locked.get(nth), words[nth]);
      ASSERT_EQ(locked.get(static_cast<unsigned>(words.size())), 0U);
      const auto nth = static_cast<unsigned>(words.empty() ? 0 : random.below(words.size()));
      if (words.empty() ? true : words.size() < 4 && random.one_in(grows ? 2 : 10)) {
        ASSERT_TRUE(locked.insert(word));
        words.insert(words.begin(), word);
      } else if (random.one_in(grows ? 4 : 1)) {
        locked.erase(nth);
        words.erase(words.begin() + nth);
      } else {
        locked.set(nth, word);
        words[nth] = word;
      }
      if (words.empty()) model.erase(hash);
    }
    expect_equal(*index, model);
  }
}

TEST(AccountIndex, IsLikeAMap) {
  for (const std::uint64_t seed : seeds_to_run(sample(10, 200))) {
    run_history(seed);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(AccountIndex, GrowsByLittleAndGivesMemoryBack) {
  auto index = *AccountIndex::create();
  EXPECT_EQ(index->find(0), 0U);
  constexpr std::uint64_t kAccounts = 3'000'000;
  for (std::uint64_t i = 1; i <= kAccounts; ++i) ASSERT_TRUE(AccountIndex::Locked(*index, mix(i)).insert(i));
  EXPECT_EQ(index->size(), kAccounts);
  EXPECT_LE(index->memory_bytes(), 24 * kAccounts);
  for (std::uint64_t i = 1; i <= kAccounts; ++i) ASSERT_EQ(index->find(mix(i)), i);
  for (std::uint64_t i = 1; i <= kAccounts; ++i) AccountIndex::Locked(*index, mix(i)).erase(0);
  EXPECT_EQ(index->size(), 0U);
  EXPECT_LE(index->memory_bytes(), AccountIndex::kRegions * (4096 + 64));
}

TEST(AccountIndex, ARegionThatMayHaveNoMoreSaysSo) {
  auto index = *AccountIndex::create(std::uint64_t{3} * 4096);
  std::uint64_t taken = 0;
  while (AccountIndex::Locked(*index, mix(taken) >> 12).insert(1 + taken)) ++taken;  // All in the first region.
  EXPECT_GE(taken, 500U);
  EXPECT_EQ(index->size(), taken);
  for (std::uint64_t i = 0; i < taken; ++i) EXPECT_EQ(index->find(mix(i) >> 12), 1 + i);
  EXPECT_EQ(index->find(mix(taken) >> 12), 0U);
  // Neighbours at the end of a region, which have to fit behind it.
  for (std::uint64_t i = 0; i < 40; ++i) EXPECT_EQ(AccountIndex::Locked(*index, ~std::uint64_t{0}).insert(1), i < 32) << i;
}

/// What is there all the time is found all the time, while others of its region come and go.
TEST(AccountIndex, ReadersSeeEveryAccountWhileSlotsMove) {
  auto index = *AccountIndex::create();
  constexpr std::uint64_t kStay = 300;
  const auto stays = [](std::uint64_t i) { return mix(2 * i) >> 12; };
  const auto comes = [](std::uint64_t i) { return mix(2 * i + 1) >> 12; };
  for (std::uint64_t i = 0; i < kStay; ++i) ASSERT_TRUE(AccountIndex::Locked(*index, stays(i)).insert(i + 1));
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      while (!stop) {
        for (std::uint64_t i = 0; i < kStay; ++i) ASSERT_EQ(index->find(stays(i)) % 1000, i + 1);
      }
    });
  }
  for (int writer = 0; writer < 2; ++writer) {
    threads.emplace_back([&, writer] {
      for (std::uint64_t round = 1; round <= sample(100, 1000); ++round) {
        for (std::uint64_t i = 0; i < 1000; ++i) {
          ASSERT_TRUE(AccountIndex::Locked(*index, comes(2 * i + writer)).insert(i + 1));
          const std::uint64_t changed = 2 * (i % (kStay / 2)) + writer;
          AccountIndex::Locked(*index, stays(changed)).set(0, round * 1000 + changed + 1);
        }
        for (std::uint64_t i = 0; i < 1000; ++i) AccountIndex::Locked(*index, comes(2 * i + writer)).erase(0);
      }
    });
  }
  threads[2].join();
  threads[3].join();
  stop = true;
  threads[0].join();
  threads[1].join();
  EXPECT_EQ(index->size(), kStay);
}

}  // namespace
}  // namespace cairn::test
