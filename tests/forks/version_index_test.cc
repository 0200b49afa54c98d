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

constexpr Hash128 kHashKey{.low = 77, .high = 88};

/// Those below kTags have tags of their own: what else there is of their hashes may be the same.
constexpr std::uint64_t kTags = 32;
constexpr std::uint64_t kAccounts = 32;
std::string account_number(std::uint64_t i) {
  static const std::vector<std::string> with_tags = [] {
    std::vector<std::string> keys;
    std::set<std::uint64_t> tags;
    for (std::uint64_t n = 0; keys.size() < kTags; ++n) {
      std::string key(kAccountKeyBytes, 't');
      store(key.data(), n);
      store(key.data() + 24, keys.size());
      if (tags.insert(sip_hash(key, kHashKey).high >> 59U).second) keys.push_back(key);
    }
    return keys;
  }();
  if (i < kTags) return with_tags[i];
  std::string key(kAccountKeyBytes, 'k');
  store(key.data() + 24, i);
  return key;
}

constexpr std::uint64_t kRecordBytes = 88;
/// A version at `to`; returns how many bytes it takes.
std::uint64_t encode(char* to, std::uint64_t fork, std::uint64_t account, std::uint64_t write_version) {
  std::string key(8, '\0');
  store(key.data(), std::byteswap(fork));
  key += account_number(account);
  const segment::RecordInput input{.write_version = write_version, .key = key, .value = "v"};
  segment::encode_record(to, input, 1);
  EXPECT_EQ(segment::encoded_bytes(input), kRecordBytes);
  return kRecordBytes;
}

/// A file whose device fails.
class FailingFile final : public MemoryFile {
 public:
  using MemoryFile::MemoryFile;
  [[nodiscard]] const std::atomic<bool>& bad_flag() const override { return bad; }
  std::atomic<bool> bad{false};
};

/// Segments in memory that versions are written to.
struct Versions {
  explicit Versions(unsigned hash_bits = 64) : index(*VersionIndex::create(segments, kHashKey, hash_bits)) {}

  std::uint32_t add_segment() {
    files.push_back(std::make_shared<Bytes>(kSegmentBytes, '\0'));
    end = 64;
    return *segments.add(std::make_shared<directory::LiveFile>(std::make_shared<MemoryFile>(files.back()), keeper));
  }
  Place write(std::uint64_t fork, std::uint64_t account, std::uint64_t write_version) {
    if (files.empty() || end + kRecordBytes > kSegmentBytes) number = add_segment();
    const Place place(number, end, forks::SizeClass(kRecordBytes, false));
    end += encode(files.back()->data() + end, fork, account, write_version);
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

using Places = std::set<Place, decltype([](Place a, Place b) { return a.word() < b.word(); })>;

/// Newer versions or, as recovery meets them, some in any order.
void store_some(Versions& versions, Random& random, std::uint64_t fork, std::uint64_t root, std::uint64_t& next_version,
                VersionModel& model, Places& live) {
  const bool ascending = fork >= root && random.one_in(2);
  std::vector<std::uint64_t> accounts;
  std::vector<std::string> keys;
  std::vector<std::uint64_t> write_versions;
  std::vector<VersionIndex::Stored> stored;
  for (std::uint64_t i = random.below(40); i != 0; --i) accounts.push_back(random.below(kAccounts));
  for (const std::uint64_t account : accounts) keys.push_back(account_number(account));
  for (std::size_t i = 0; i < accounts.size(); ++i) {
    const std::uint64_t back = ascending || random.one_in(2) ? 0 : random.below(next_version) / 2 * 2 + 1;
    next_version += 2;
    write_versions.push_back(next_version - std::min(back, next_version - 1));
    stored.push_back({.key = keys[i], .place = versions.write(fork, accounts[i], write_versions.back())});
  }
  VersionIndex::Outcome outcome;
  ASSERT_OK(versions.index->store(fork, root, stored, outcome,
                                  ascending ? VersionIndex::Order::kAscending : VersionIndex::Order::kAny));
  Places expected;
  std::vector<Hash128> touched;
  for (std::size_t i = 0; i < accounts.size(); ++i) {
    auto& of_forks = model[accounts[i]];
    // At most one is not above the root.
    const auto before =
        fork > root || of_forks.empty() || of_forks.begin()->first > root ? of_forks.find(fork) : of_forks.begin();
    if (before == of_forks.end() && fork > root) touched.push_back(versions.index->hash_of(keys[i]));
    live.insert(stored[i].place);
    if (before != of_forks.end()) {
      if (write_versions[i] < before->second.write_version) {
        expected.insert(stored[i].place);
        continue;
      }
      expected.insert(before->second.place);
      of_forks.erase(before);
    }
    of_forks[fork] = {write_versions[i], stored[i].place};
  }
  ASSERT_EQ(outcome.touched, touched);
  ASSERT_EQ(Places(outcome.stale.begin(), outcome.stale.end()), expected);
  ASSERT_EQ(outcome.stale.size(), expected.size()) << "what is stale is said once";
  for (const Place place : outcome.stale) ASSERT_EQ(live.erase(place), 1U);
}

void run_history(std::uint64_t seed) {
  SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
  Random random(seed);
  Versions versions(random.one_in(2) ? 64 : static_cast<unsigned>(random.below(5)) + 1);
  VersionModel model;
  ForkTree tree;
  std::uint64_t next_fork = 1;
  std::uint64_t next_version = 1;
  Places live;
  const auto prune = [&](const ForkTree::Pruned& pruned) {
    std::vector<std::uint64_t> gone;
    for (const forks::Fork& fork : pruned.gone) gone.push_back(fork.number);
    const std::uint64_t root = pruned.tree.root();
    for (std::uint64_t account = 0; account < kAccounts; ++account) {
      std::vector<Place> stale;
      const Hash128 hash = versions.index->hash_of(account_number(account));
      versions.index->prune({&hash, 1}, gone, root, stale);
      for (const Place place : stale) ASSERT_EQ(live.erase(place), 1U);
      const auto found = model.find(account);
      if (found == model.end()) continue;
      auto& of_forks = found->second;
      for (const std::uint64_t fork : gone) of_forks.erase(fork);
      while (of_forks.size() > 1 && std::next(of_forks.begin())->first <= root) of_forks.erase(of_forks.begin());
      if (of_forks.empty()) model.erase(found);
    }
    for (const forks::Fork& fork : pruned.gone) versions.index->forget(fork.number);
    for (const forks::Fork& fork : pruned.merged) versions.index->forget(fork.number);
    versions.index->forget(root);
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
      EXPECT_FALSE(versions.index->move(versions.index->hash_of(account_number(account)), to, to)) << "it lies elsewhere";
      EXPECT_TRUE(versions.index->refers(versions.index->hash_of(account_number(account)), version.place));
      EXPECT_TRUE(versions.index->move(versions.index->hash_of(account_number(account)), version.place, to));
      EXPECT_FALSE(versions.index->refers(versions.index->hash_of(account_number(account)), version.place));
      live.erase(version.place);
      version.place = to;
      live.insert(to);
      if (random.one_in(3)) {
        versions.index->drop(versions.index->hash_of(account_number(account)), to);
        live.erase(to);
        found->second.erase(fork);
        if (found->second.empty()) model.erase(found);
      }
    } else {
      const std::uint64_t root = tree.root();
      const bool past = root > 0 && random.one_in(5);
      store_some(versions, random, past ? 1 + random.below(root) : one.number, root, next_version, model, live);
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

TEST(VersionIndex, MoreForksMayLiveThanWordsHaveNumbersFor) {
  constexpr std::uint64_t kForks = 600;
  Versions versions;
  ForkTree tree;
  std::vector<Place> places(kForks + 1);
  for (std::uint64_t fork = 1; fork <= kForks; ++fork) {
    tree = *tree.with(fork, 0, 0);
    const std::string key = account_number(1000 + fork);
    places[fork] = versions.write(fork, 1000 + fork, fork);
    std::vector<VersionIndex::Stored> stored = {{.key = key, .place = places[fork]}};
    VersionIndex::Outcome stale;
    ASSERT_OK(versions.index->store(fork, 0, stored, stale));
  }
  const auto found_in = [&](std::uint64_t fork, std::uint64_t account) {
    const std::string key = account_number(1000 + account);
    const ByteView view = key;
    VersionIndex::Found found;
    EXPECT_OK(versions.index->find(*tree.path(fork), {&view, 1}, {&found, 1}));
    return found.place;
  };
  for (std::uint64_t fork = 1; fork <= kForks; ++fork) {
    EXPECT_EQ(found_in(fork, fork), places[fork]);
    EXPECT_EQ(found_in(fork, fork % kForks + 1), Place());
  }
  const auto pruned = tree.rooted(kForks);
  std::vector<std::uint64_t> gone;
  for (const forks::Fork& fork : pruned->gone) gone.push_back(fork.number);
  std::vector<Place> stale;
  std::vector<Hash128> accounts;
  for (std::uint64_t fork = 1; fork <= kForks; ++fork) accounts.push_back(versions.index->hash_of(account_number(1000 + fork)));
  versions.index->prune(accounts, gone, kForks, stale);
  for (std::uint64_t fork = 1; fork <= kForks; ++fork) versions.index->forget(fork);
  tree = pruned->tree;
  EXPECT_EQ(stale.size(), kForks - 1);
  EXPECT_EQ(versions.index->accounts(), 1U);
  EXPECT_EQ(found_in(kForks, kForks), places[kForks]);
}

TEST(VersionIndex, ARecordOfAnotherAccountIsDamage) {
  Versions versions;
  const std::string key = account_number(1);
  std::vector<VersionIndex::Stored> stored = {{.key = key, .place = versions.write(0, 2, 1)}};
  VersionIndex::Outcome stale;
  ASSERT_OK(versions.index->store(0, 0, stored, stale));
  const ByteView view = key;
  VersionIndex::Found found;
  const ForkTree tree;
  const Result<void> read = versions.index->find(*tree.path(0), {&view, 1}, {&found, 1});
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kCorruption);
  EXPECT_EQ(read.error().offset, 64U);
}

TEST(VersionIndex, WhatTheDeviceDoesNotGiveIsAnErrorAndNoOtherAccount) {
  Versions versions;
  const auto bytes = std::make_shared<Bytes>(4 * kKiB, '\0');
  const auto file = std::make_shared<FailingFile>(bytes);
  const auto number = versions.segments.add(std::make_shared<directory::LiveFile>(file, versions.keeper));
  encode(bytes->data() + 64, 0, 1, 1);
  const std::string key = account_number(1);
  std::vector<VersionIndex::Stored> stored = {{.key = key, .place = {*number, 64, {}}}};
  VersionIndex::Outcome stale;
  ASSERT_OK(versions.index->store(0, 0, stored, stale));
  std::ranges::fill(*bytes, '\0');
  file->bad = true;
  const auto expect_io = [](const Result<void>& done) {
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code, ErrorCode::kIo);
  };
  const ByteView view = key;
  VersionIndex::Found found;
  const ForkTree tree;
  expect_io(versions.index->find(*tree.path(0), {&view, 1}, {&found, 1}));
  stored = {{.key = key, .place = versions.write(0, 1, 2)}};
  expect_io(versions.index->store(0, 0, stored, stale, VersionIndex::Order::kAny));
  Result<void> visited;
  for (std::size_t part = 0; part < VersionIndex::kParts && visited; ++part) {
    visited = versions.index->visit(part, [](std::span<const VersionIndex::Version> /*all*/) { return Result<void>(); });
  }
  expect_io(visited);
  ASSERT_OK(versions.index->store(0, 0, stored, stale));  // Which reads nothing.
  EXPECT_OK(versions.index->find(*tree.path(0), {&view, 1}, {&found, 1}));
}

/// Writers to forks of their own, a reader of each, and one who moves records to other segments and takes the old ones out.
TEST(VersionIndex, ReadersSeeWholeListsWhileOthersStoreAndMove) {
  constexpr std::uint64_t kMany = 200;
  Versions versions;
  ForkTree tree;
  for (std::uint64_t fork = 1; fork <= 3; ++fork) tree = *tree.with(fork, 0, 0);
  Mutex writing(Rank::kCommit);
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < kMany; ++i) keys.push_back(account_number(i));
  const std::vector<ByteView> views(keys.begin(), keys.end());
  const auto store_all = [&](std::uint64_t fork, std::uint64_t write_version) {
    std::vector<VersionIndex::Stored> stored;
    {
      const MutexLock lock(writing);
      for (std::uint64_t i = 0; i < kMany; ++i)
        stored.push_back({.key = keys[i], .place = versions.write(fork, i, write_version)});
    }
    VersionIndex::Outcome stale;
    ASSERT_OK(versions.index->store(fork, 0, stored, stale));
  };
  store_all(0, 1);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (std::uint64_t fork = 1; fork <= 2; ++fork) {
    threads.emplace_back([&, fork] {
      for (std::uint64_t version = 2; version < 2 + sample(300, 3000); ++version) store_all(fork, version);
    });
    threads.emplace_back([&, fork] {
      std::vector<std::uint64_t> last(kMany);
      while (!stop) {
        std::vector<VersionIndex::Found> found(kMany);
        ASSERT_OK(versions.index->find(*tree.path(fork), views, found));
        for (std::uint64_t i = 0; i < kMany; ++i) {
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
    std::optional<std::uint32_t> old;  // Of its own: where it moved them before.
    while (!stop) {
      auto bytes = std::make_shared<Bytes>(64 * kKiB, '\0');
      const auto next =
          versions.segments.add(std::make_shared<directory::LiveFile>(std::make_shared<MemoryFile>(bytes), versions.keeper));
      std::vector<VersionIndex::Found> found(kMany);
      ASSERT_OK(versions.index->find(*tree.path(3), views, found));
      std::uint64_t to = 64;
      for (std::uint64_t i = 0; i < kMany; ++i) {
        to += encode(bytes->data() + to, 0, i, 1);
        ASSERT_TRUE(versions.index->move(versions.index->hash_of(views[i]), found[i].place,
                                         Place(*next, to - kRecordBytes, found[i].place.size())));
      }
      found.clear();
      versions.index->wait_for_readers();
      if (old) versions.segments.remove(*old);
      old = next;
    }
  });
  threads[0].join();
  threads[2].join();
  stop = true;
  for (const std::size_t i : {1, 3, 4}) threads[i].join();
}

}  // namespace
}  // namespace cairn::test
