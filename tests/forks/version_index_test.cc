#include "forks/version_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "base/random.h"
#include "segment/record.h"
#include "support/memory_file.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using forks::ForkTree;
using forks::Place;
using forks::VersionIndex;

std::string account_number(std::uint64_t i) {
  std::string key(forks::kAccountKeyBytes, 'k');
  store(key.data() + 24, i);
  return key;
}

/// Segments in memory that versions are written to.
struct Versions {
  explicit Versions(unsigned hash_bits = 64) : index(*VersionIndex::create(segments, 77, hash_bits)) {}

  std::uint32_t add_segment() {
    files.push_back(std::make_shared<Bytes>(kSegmentBytes, '\0'));
    end = 64;
    return *segments.add(std::make_shared<directory::LiveFile>(std::make_shared<MemoryFile>(files.back()), keeper));
  }
  Place write(std::uint64_t fork, std::uint64_t account, std::uint64_t write_version) {
    std::string key(8, '\0');
    store(key.data(), std::byteswap(fork));
    key += account_number(account);
    const segment::RecordInput input{.write_version = write_version, .key = key, .value = "v"};
    if (files.empty() || end + segment::encoded_bytes(input) > kSegmentBytes) number = add_segment();
    const Place place(number, end);
    segment::encode_record(files.back()->data() + end, input, 1);
    end += segment::encoded_bytes(input);
    return place;
  }

  static constexpr std::uint64_t kSegmentBytes = 4 * kKiB;
  forks::SegmentTable segments;
  std::shared_ptr<directory::FileKeeper> keeper = std::make_shared<directory::FileKeeper>();
  std::vector<std::shared_ptr<Bytes>> files;
  std::uint64_t end = 0;
  std::uint32_t number = 0;
  std::unique_ptr<VersionIndex> index;
};

struct ModelVersion {
  std::uint64_t write_version;
  Place place;
};
using VersionModel = std::map<std::uint64_t, std::map<std::uint64_t, ModelVersion>>;  // By account, by fork.

void expect_equal(const Versions& versions, const VersionModel& model, const ForkTree& tree, std::uint64_t accounts) {
  std::vector<std::string> keys;
  for (std::uint64_t account = 0; account < accounts; ++account) keys.push_back(account_number(account));
  const std::vector<ByteView> views(keys.begin(), keys.end());
  for (const forks::Fork& fork : tree.forks()) {
    const ForkTree::Path path = *tree.path(fork.number);
    std::vector<VersionIndex::Found> found(accounts);
    ASSERT_OK(versions.index->find(path, views, found));
    for (std::uint64_t account = 0; account < accounts; ++account) {
      Place expected;
      const auto of_account = model.find(account);
      if (of_account != model.end()) {
        for (const auto& [of_fork, version] : of_account->second) {
          if (path.sees(of_fork)) expected = version.place;
        }
      }
      ASSERT_EQ(found[account].file != nullptr, expected != Place()) << "fork " << fork.number << " account " << account;
      ASSERT_EQ(found[account].place, expected) << "fork " << fork.number << " account " << account;
    }
  }
  VersionModel visited;
  for (std::size_t part = 0; part < VersionIndex::kParts; ++part) {
    ASSERT_OK(versions.index->visit(part, [&](std::span<const VersionIndex::Version> all) -> Result<void> {
      for (const VersionIndex::Version& version : all) {
        const char* const at = version.at.file->map()->data() + version.at.place.offset();
        EXPECT_EQ(forks::fork_of(at), version.fork);
        visited[load<std::uint64_t>(forks::account_of(at).data() + 24)][version.fork].place = version.at.place;
      }
      return {};
    }));
  }
  ASSERT_EQ(visited.size(), model.size());
  for (const auto& [account, of_forks] : model) {
    ASSERT_EQ(visited[account].size(), of_forks.size());
    for (const auto& [fork, version] : of_forks) ASSERT_EQ(visited[account][fork].place, version.place);
  }
}

void run_history(std::uint64_t seed) {
  SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
  Random random(seed);
  constexpr std::uint64_t kAccounts = 40;
  Versions versions(random.one_in(2) ? 64 : static_cast<unsigned>(random.below(5)) + 1);
  VersionModel model;
  ForkTree tree;
  std::uint64_t next_fork = 1;
  std::uint64_t next_version = 1;
  std::set<Place, decltype([](Place a, Place b) { return a.word() < b.word(); })> live;
  const auto prune = [&](const ForkTree::Pruned& pruned) {
    std::vector<std::uint64_t> gone;
    for (const forks::Fork& fork : pruned.gone) gone.push_back(fork.number);
    const std::uint64_t root = pruned.tree.root();
    for (std::uint64_t account = 0; account < kAccounts; ++account) {
      std::vector<Place> stale;
      ASSERT_OK(versions.index->prune(account_number(account), gone, root, stale));
      for (const Place place : stale) ASSERT_EQ(live.erase(place), 1U);
      const auto found = model.find(account);
      if (found == model.end()) continue;
      auto& of_forks = found->second;
      for (const std::uint64_t fork : gone) of_forks.erase(fork);
      while (of_forks.size() > 1 && std::next(of_forks.begin())->first <= root) of_forks.erase(of_forks.begin());
      if (of_forks.empty()) model.erase(found);
    }
    tree = pruned.tree;
  };
  for (int step = 0; step < 150; ++step) {
    const std::vector<forks::Fork> all = tree.forks();
    const forks::Fork& one = all[random.below(all.size())];
    const std::uint64_t dice = random.below(10);
    if (dice < 2) {
      tree = *tree.with(next_fork, one.number, 0);
      next_fork += 1 + random.below(2);
    } else if (dice < 3 && one.number != tree.root()) {
      prune(*tree.purged(one.number));
    } else if (dice < 4 && random.one_in(3)) {
      prune(*tree.rooted(one.number));
    } else if (dice < 5) {
      const std::uint64_t account = random.below(kAccounts);
      const auto found = model.find(account);
      if (found == model.end()) continue;
      auto& [fork, version] = *found->second.begin();
      const Place to = versions.write(fork, account, version.write_version);
      EXPECT_FALSE(*versions.index->move(account_number(account), fork, to, to)) << "it lies elsewhere";
      EXPECT_TRUE(*versions.index->move(account_number(account), fork, version.place, to));
      live.erase(version.place);
      version.place = to;
      live.insert(to);
    } else {
      std::vector<std::string> keys;
      std::vector<VersionIndex::Stored> stored;
      std::vector<std::uint64_t> accounts;
      std::vector<std::uint64_t> write_versions;
      for (std::uint64_t i = random.below(40); i != 0; --i) accounts.push_back(random.below(kAccounts));
      for (const std::uint64_t account : accounts) keys.push_back(account_number(account));
      for (std::size_t i = 0; i < accounts.size(); ++i) {
        // Also older ones than are there: recovery meets them in any order.
        const std::uint64_t back = random.one_in(4) ? random.below(next_version) / 2 : 0;
        write_versions.push_back(next_version++ - back);
        stored.push_back({.key = keys[i], .place = versions.write(one.number, accounts[i], write_versions.back())});
      }
      ASSERT_OK(versions.index->store(one.number, stored));
      for (std::size_t i = 0; i < accounts.size(); ++i) {
        auto& of_forks = model[accounts[i]];
        const auto before = of_forks.find(one.number);
        ASSERT_EQ(stored[i].first, before == of_forks.end());
        live.insert(stored[i].place);
        if (before == of_forks.end() || write_versions[i] > before->second.write_version) {
          ASSERT_EQ(stored[i].stale, before == of_forks.end() ? Place() : before->second.place);
          of_forks[one.number] = {write_versions[i], stored[i].place};
        } else {
          ASSERT_EQ(stored[i].stale, stored[i].place);
        }
        if (stored[i].stale != Place()) live.erase(stored[i].stale);
      }
    }
    expect_equal(versions, model, tree, kAccounts);
    if (testing::Test::HasFatalFailure()) return;
    std::size_t there = 0;
    for (const auto& [account, of_forks] : model) there += of_forks.size();
    ASSERT_EQ(live.size(), there) << "what is stale is said once";
  }
}

TEST(VersionIndex, IsLikeAMapForEachFork) {
  for (const std::uint64_t seed : seeds_to_run(sample(100, 5000))) {
    run_history(seed);
    if (testing::Test::HasFailure()) return;
  }
}

/// Writers to forks of their own, a reader of each, and one who moves records to other segments and takes the old ones out.
TEST(VersionIndex, ReadersSeeWholeListsWhileOthersStoreAndMove) {
  constexpr std::uint64_t kAccounts = 200;
  Versions versions;
  ForkTree tree;
  for (std::uint64_t fork = 1; fork <= 3; ++fork) tree = *tree.with(fork, 0, 0);
  Mutex writing(Rank::kCommit);
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < kAccounts; ++i) keys.push_back(account_number(i));
  const std::vector<ByteView> views(keys.begin(), keys.end());
  const auto store_all = [&](std::uint64_t fork, std::uint64_t write_version) {
    std::vector<VersionIndex::Stored> stored;
    {
      const MutexLock lock(writing);
      for (std::uint64_t i = 0; i < kAccounts; ++i)
        stored.push_back({.key = keys[i], .place = versions.write(fork, i, write_version)});
    }
    ASSERT_OK(versions.index->store(fork, stored));
  };
  store_all(0, 1);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::uint64_t fork = 1; fork <= 2; ++fork) {
    threads.emplace_back([&, fork] {
      for (std::uint64_t version = 2; version < 2 + sample(300, 3000); ++version) store_all(fork, version);
    });
    threads.emplace_back([&, fork] {
      std::vector<std::uint64_t> last(kAccounts);
      while (!stop) {
        std::vector<VersionIndex::Found> found(kAccounts);
        ASSERT_OK(versions.index->find(*tree.path(fork), views, found));
        for (std::uint64_t i = 0; i < kAccounts; ++i) {
          ASSERT_NE(found[i].file, nullptr);
          const char* const at = found[i].file->map()->data() + found[i].place.offset();
          ASSERT_EQ(forks::account_of(at), views[i]);
          ASSERT_TRUE(forks::fork_of(at) == fork || forks::fork_of(at) == 0);
          const auto version = load<std::uint64_t>(at + offsetof(segment::RecordHeader, write_version));
          ASSERT_GE(version, last[i]);
          last[i] = version;
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!stop) {
      const std::uint32_t old = versions.segments
                                    .add(std::make_shared<directory::LiveFile>(
                                        std::make_shared<MemoryFile>(std::make_shared<Bytes>(128, '\0')), versions.keeper))
                                    .value();
      std::vector<VersionIndex::Found> found(kAccounts);
      ASSERT_OK(versions.index->find(*tree.path(3), views, found));
      for (std::uint64_t i = 0; i < kAccounts; ++i) {
        Place to;
        {
          const MutexLock lock(writing);
          to = versions.write(0, i, 1);
        }
        ASSERT_TRUE(*versions.index->move(views[i], 0, found[i].place, to));
      }
      versions.index->wait_for_readers();
      versions.segments.remove(old);
    }
  });
  threads[0].join();
  threads[2].join();
  stop = true;
  for (const std::size_t i : {1, 3, 4}) threads[i].join();
}

}  // namespace
}  // namespace cairn::test
