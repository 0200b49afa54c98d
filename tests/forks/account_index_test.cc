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

/// The first bits are its region's.
AccountIndex::Hash hash_of(std::uint64_t hash) {
  return {.region = static_cast<std::uint32_t>(hash >> 52), .rest = (hash << 12) + 1};
}

/// Words of a hash, the last inserted first.
using Model = std::map<std::uint64_t, std::vector<std::uint64_t>>;

void expect_equal(const AccountIndex& index, const Model& model) {
  std::uint64_t size = 0;
  for (const auto& [hash, words] : model) {
    for (unsigned nth = 0; nth < words.size(); ++nth) ASSERT_EQ(index.find(hash_of(hash), nth), words[nth]) << hash << " " << nth;
    ASSERT_EQ(index.find(hash_of(hash), static_cast<unsigned>(words.size())), 0U);
    size += words.size();
  }
  ASSERT_EQ(index.size(), size);
  std::vector<AccountIndex::Entry> entries;
  std::vector<std::uint64_t> hashes;
  for (std::size_t region = 0; region < AccountIndex::kRegions; ++region) {
    index.copy_region(region, entries);
    for (const auto& entry : entries) hashes.push_back(std::uint64_t{region} << 52 | entry.hash >> 12);
  }
  ASSERT_EQ(hashes.size(), size);
  ASSERT_TRUE(std::ranges::is_sorted(hashes));
}

/// Hashes of few regions, some of them close to each other and some the same.
std::uint64_t some_hash(Random& random) {
  const std::uint64_t region = random.one_in(3) ? AccountIndex::kRegions - 1 : random.below(20);
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
      AccountIndex::Locked locked(*index, hash_of(hash));
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
  EXPECT_EQ(index->find(hash_of(0)), 0U);
  const std::uint64_t accounts = sample(3'000'000, 3'000'000);
  const std::uint64_t bytes_most = accounts == 3'000'000 ? 24 : 48;  // Few vary more from region to region.
  for (std::uint64_t i = 1; i <= accounts; ++i) ASSERT_TRUE(AccountIndex::Locked(*index, hash_of(mix(i))).insert(i));
  EXPECT_EQ(index->size(), accounts);
  EXPECT_LE(index->memory_bytes(), bytes_most * accounts);
  for (std::uint64_t i = 1; i <= accounts; ++i) ASSERT_EQ(index->find(hash_of(mix(i))), i);
  for (std::uint64_t i = 1; i <= accounts; ++i) AccountIndex::Locked(*index, hash_of(mix(i))).erase(0);
  EXPECT_EQ(index->size(), 0U);
  EXPECT_LE(index->memory_bytes(), AccountIndex::kRegions * 2048);
}

TEST(AccountIndex, ARegionThatMayHaveNoMoreSaysSo) {
  auto index = *AccountIndex::create(std::uint64_t{8} << 20);
  std::uint64_t taken = 0;
  while (AccountIndex::Locked(*index, hash_of(mix(taken) >> 12)).insert(1 + taken)) ++taken;  // All in the first region.
  EXPECT_EQ(taken, 88U) << "of 128 slots";
  EXPECT_EQ(index->size(), taken);
  for (std::uint64_t i = 0; i < taken; ++i) EXPECT_EQ(index->find(hash_of(mix(i) >> 12)), 1 + i);
  EXPECT_EQ(index->find(hash_of(mix(taken) >> 12)), 0U);
  // All at the end of a region, behind which there is not as much room.
  for (std::uint64_t i = 0; i <= taken; ++i) ASSERT_EQ(AccountIndex::Locked(*index, hash_of(~i)).insert(1 + i), i < taken) << i;
  for (std::uint64_t i = 0; i < taken; ++i) EXPECT_EQ(index->find(hash_of(~i)), 1 + i);
}

/// What is there all the time is found all the time, while `others` of each writer come and go; in one region, or in all.
void read_while_slots_move(std::uint64_t others, bool one_region, std::uint64_t rounds) {
  auto index = *AccountIndex::create();
  constexpr std::uint64_t kStay = 30;
  const unsigned shift = one_region ? 12 : 0;
  const auto stays = [&](std::uint64_t i) { return hash_of(mix(i + 1) >> shift); };
  const auto comes = [&](std::uint64_t writer, std::uint64_t i) { return hash_of(mix(1000 + i * 2 + writer) >> shift); };
  for (std::uint64_t i = 0; i < kStay; ++i) ASSERT_TRUE(AccountIndex::Locked(*index, stays(i)).insert(i + 1));
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&] {
      while (!stop) {
        for (std::uint64_t i = 0; i < kStay; ++i) ASSERT_EQ(index->find(stays(i)) % 1000, i + 1);
      }
    });
  }
  std::vector<std::thread> writers;
  for (std::uint64_t writer = 0; writer < 2; ++writer) {
    writers.emplace_back([&, writer] {
      for (std::uint64_t round = 1; round <= rounds; ++round) {
        for (std::uint64_t i = 0; i < others; ++i) {
          ASSERT_TRUE(AccountIndex::Locked(*index, comes(writer, i)).insert(i + 1));
          const std::uint64_t changed = 2 * (i % (kStay / 2)) + writer;
          AccountIndex::Locked(*index, stays(changed)).set(0, round * 1000 + changed + 1);
        }
        for (std::uint64_t i = 0; i < others; ++i) AccountIndex::Locked(*index, comes(writer, i)).erase(0);
      }
    });
  }
  for (std::thread& thread : writers) thread.join();
  stop = true;
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(index->size(), kStay);
}
TEST(AccountIndex, ReadersSeeEveryAccountWhileSlotsMove) { read_while_slots_move(20, true, sample(20'000, 200'000)); }
TEST(AccountIndex, ReadersSeeEveryAccountWhileRegionsMove) { read_while_slots_move(sample(300'000, 3'000'000), false, 2); }

}  // namespace
}  // namespace cairn::test
