// The memtable's index against a std::map, walked both ways, and read while it is written.
#include "base/radix_tree.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "support/world.h"

namespace cairn::test {
namespace {

struct alignas(8) Thing {
  std::string key;
  std::uint64_t version;
};
struct Traits {
  static ByteView key(const char* thing) { return reinterpret_cast<const Thing*>(thing)->key; }
  static std::uint64_t version(const char* thing) { return reinterpret_cast<const Thing*>(thing)->version; }
};
using Tree = RadixTree<Traits>;
using Key = std::pair<std::string, std::uint64_t>;
struct Order {  // By key, then newest first.
  bool operator()(const Key& a, const Key& b) const { return a.first != b.first ? a.first < b.first : a.second > b.second; }
};
using Keys = std::set<Key, Order>;

Key key_of(const Tree::Iterator& at) { return {std::string(Traits::key(at.thing())), Traits::version(at.thing())}; }

/// Keys that share prefixes, are prefixes of each other, and fill nodes of every size.
std::string random_key(Random& random) {
  std::string key;
  switch (random.below(5)) {
    case 0: key = "user" + std::to_string(random.below(100'000)); break;
    case 1: key = std::string(random.below(30), 'a'); break;  // Nested, with prefixes longer than a node holds.
    case 2: key = std::string(random.below(40), 'b') + std::string(1, static_cast<char>(random.below(256))); break;
    case 3: break;
    default:
      for (std::uint64_t i = random.below(4); i != 0; --i) key.push_back(static_cast<char>(random.below(256)));
  }
  if (random.below(4) == 0) key.push_back('\0');
  return key + static_cast<char>(random.below(2));
}

struct World {
  MemoryBudget memory{1 << 30};
  Arena arena{memory};
  Arena other_arena{memory};
  SimulatedClock clock;
  directory::JobRunner jobs{clock, 2};
  Tree tree{arena};
  std::deque<Thing> things;
  Keys model;
  std::uint64_t version = 0;

  void insert(const std::string& key) {
    things.push_back({key, ++version});
    tree.insert(reinterpret_cast<const char*>(&things.back()));
    model.emplace(key, version);
  }
  void fill(const std::vector<std::string>& keys, std::size_t common) {
    std::vector<const char*> filled;
    for (const std::string& key : keys) {
      things.push_back({key, ++version});
      filled.push_back(reinterpret_cast<const char*>(&things.back()));
      model.emplace(key, version);
    }
    const auto share = [&](const char* name, std::size_t count, const radix::Fillers::Work& work) {
      jobs.share(name, count, work);
    };
    tree.fill(filled, common, {.share = share, .arenas = {&arena, &other_arena}});
  }
  void check_seeks(const std::string& key) const {
    Tree::Iterator at(tree);
    at.seek(key);
    const auto from = model.lower_bound({key, ~std::uint64_t{0}});
    ASSERT_EQ(at.valid(), from != model.end());
    if (at.valid()) {
      ASSERT_EQ(key_of(at), *from);
    }
    at.seek_before(key);
    ASSERT_EQ(at.valid(), from != model.begin());
    if (at.valid()) {
      ASSERT_EQ(key_of(at), *std::prev(from));
    }
    check_seek_before(key, from == model.end() ? 0 : from->second);
    check_seek_before(key, version / 2);
    check_seek_before(key, 0);
  }
  void check_seek_before(const std::string& key, std::uint64_t version_max) const {
    Tree::Iterator at(tree);
    at.seek_before(key, version_max);
    auto wanted = model.lower_bound({key, version_max});
    ASSERT_EQ(at.valid(), wanted != model.begin());
    for (int steps = 0; at.valid() && steps < 100; ++steps, at.prev()) {
      ASSERT_NE(wanted, model.begin());
      ASSERT_EQ(key_of(at), *--wanted);
    }
  }
  void check_find(const std::string& key, std::uint64_t version_max) const {
    const std::array<ByteView, 3> ahead = {key, "a", ""};
    tree.prefetch(ahead);
    const char* const found = tree.find(key, version_max);
    const auto wanted = model.lower_bound({key, version_max});
    const bool there = wanted != model.end() && wanted->first == key;
    ASSERT_EQ(found != nullptr, there);
    if (there) {
      ASSERT_EQ(Traits::version(found), wanted->second);
    }
  }
  void check_walks() const {
    Tree::Iterator at(tree);
    at.seek_first();
    for (const Key& key : model) {
      ASSERT_TRUE(at.valid());
      ASSERT_EQ(key_of(at), key);
      at.next();
    }
    ASSERT_FALSE(at.valid());
    at.seek_last();
    for (auto key = model.rbegin(); key != model.rend(); ++key) {
      ASSERT_TRUE(at.valid());
      ASSERT_EQ(key_of(at), *key);
      at.prev();
    }
    ASSERT_FALSE(at.valid());
  }
};

constexpr std::uint64_t kSeeds = 20;

/// Few things and many, with keys that differ early, late, in nothing, and ones too short for a head; then inserts into what was
/// filled.
TEST(RadixTree, IsFilledAtOnce) {
  for (const std::uint64_t seed : seeds_to_run(kSeeds)) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    Random random(seed);
    World world;
    const std::string common(random.below(20), 'c');
    std::vector<std::string> keys;
    constexpr std::array<std::uint64_t, 3> kCounts = {20, 3'000, 50'000};  // The last by two threads.
    for (std::uint64_t i = random.below(kCounts[seed % 3] + 1); i != 0; --i) {
      std::string key = common;
      if (random.below(3) != 0) {
        for (int byte = 0; byte < 8; ++byte) key.push_back(static_cast<char>(random.below(byte < 5 ? 2 : 256)));
      }
      keys.push_back(key + random_key(random));
    }
    world.fill(keys, common.size());
    world.check_walks();
    for (int i = 0; i < 500; ++i) {
      world.insert(random.below(2) == 0 && !keys.empty() ? keys[random.below(keys.size())] : common + random_key(random));
    }
    world.check_walks();
    for (int i = 0; i < 500; ++i) {
      const std::string key = common + random_key(random);
      world.check_seeks(key);
      world.check_find(key, random.below(world.version + 2));
      if (!keys.empty()) world.check_find(keys[random.below(keys.size())], random.below(world.version + 2));
    }
  }
}

/// A page that went bad since its keys were looked at reads as zeros.
TEST(RadixTree, IsFilledThoughAKeyIsNotWhatItWas) {
  World world;
  world.fill({"cccccaaaaaaaaaaaa", "", "cccccbbbbbbbbbbbb"}, 5);
  world.check_walks();
}

TEST(RadixTree, IsAnOrderedMapOfVersions) {
  for (const std::uint64_t seed : seeds_to_run(kSeeds)) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    Random random(seed);
    World world;
    world.check_seeks("a");
    for (int i = 0; i < 3000; ++i) {
      world.insert(random_key(random));
      const std::string key = random_key(random);
      world.check_seeks(key);
      world.check_find(key, random.below(world.version + 2));
      if (testing::Test::HasFatalFailure()) return;
    }
    world.check_walks();
  }
}

TEST(RadixTree, WalksThereAndBackWithinTheVersionsOfAKey) {
  World world;
  for (int i = 0; i < 10; ++i) world.insert("k");
  Tree::Iterator at(world.tree);
  at.seek_first();
  for (int i = 0; i < 6; ++i) at.next();
  EXPECT_EQ(key_of(at).second, 4U);
  for (int i = 0; i < 3; ++i) at.prev();
  EXPECT_EQ(key_of(at).second, 7U);
  at.next();
  at.prev();
  EXPECT_EQ(key_of(at).second, 7U);
}

TEST(RadixTree, FindsAnOldVersionOfAHotKeyByJumping) {
  World world;
  constexpr std::uint64_t kVersions = 100'000;
  for (std::uint64_t i = 0; i < kVersions; ++i) world.insert("hot");
  // Followed by hand, to count the steps.
  const radix::Version* newest = nullptr;
  for (const Thing& thing : world.things) {
    const char* const at = reinterpret_cast<const char*>(&thing);
    newest = newest == nullptr ? radix::with_newer(radix::Ref::to(at), 0, at, thing.version, world.arena)
                               : radix::with_newer(radix::Ref::to(newest), 0, at, thing.version, world.arena);
  }
  for (const std::uint64_t wanted : {1U, 2U, 777U, 50'000U, 99'999U}) {
    int steps = 0;
    const auto* at = newest;
    for (; at->version > wanted; ++steps) at = at->jump != nullptr && at->jump->version > wanted ? at->jump : at->older;
    EXPECT_EQ(at->version, wanted);
    EXPECT_LE(steps, 60);
    world.check_find("hot", wanted);
  }
}

TEST(RadixTree, IsReadWhileItIsWritten) {
  World world;
  std::vector<Thing> things;
  Random random(7);
  for (std::uint64_t i = 0; i < 20'000; ++i) things.push_back({random_key(random), i + 1});
  std::atomic<std::uint64_t> visible{0};
  std::thread reader([&] {
    Random mine(8);
    std::uint64_t seen = 0;
    while (seen < things.size()) {
      seen = visible.load(std::memory_order_acquire);
      if (seen == 0) continue;
      const Thing& wanted = things[mine.below(seen)];
      const std::vector<ByteView> ahead(40, wanted.key);
      world.tree.prefetch(ahead);
      ASSERT_NE(world.tree.find(wanted.key, wanted.version), nullptr);
      Tree::Iterator at(world.tree);
      at.seek(wanted.key);
      Key last = key_of(at);
      EXPECT_EQ(last.first, wanted.key);
      for (int i = 0; i < 20 && at.valid(); ++i, at.next()) {
        const Key next = key_of(at);
        ASSERT_FALSE(Order()(next, last));
        last = next;
      }
    }
  });
  for (const Thing& thing : things) {
    world.tree.insert(reinterpret_cast<const char*>(&thing));
    visible.store(thing.version, std::memory_order_release);
  }
  reader.join();
}

}  // namespace
}  // namespace cairn::test
