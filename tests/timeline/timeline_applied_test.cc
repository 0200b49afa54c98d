// Saves that are applied before they are acknowledged, and what is there by key.
#include "support/one_timeline.h"

namespace cairn::test {
namespace {

struct TimelineApplied : OneTimeline {
  std::string get_applied(const std::string& key) {
    const auto hit = timeline->get(key, Sees::kApplied);
    EXPECT_OK(hit);
    return hit && *hit ? Bytes((*hit)->view()) : "(none)";
  }
  std::string present(const std::string& prefix, const std::string& from = "", std::uint64_t limit = 0,
                      Sees sees = Sees::kAcknowledged) {
    std::string names;
    SaveList list = timeline->present(prefix, from, limit, sees);
    for (const auto entry : list) names += Bytes(entry.key) + "=" + Bytes(list.data()->view()) + " ";
    EXPECT_OK(list.status());
    return names;
  }
};

TEST_F(TimelineApplied, IsThereForItsWriterAtOnceAndForReadersWhenItIsDurable) {
  put("a", "old");
  const auto applied = timeline->apply_put("a", "new", {});
  ASSERT_OK(applied);
  EXPECT_EQ(get("a"), "old");
  EXPECT_EQ(get_applied("a"), "new");
  EXPECT_EQ(present("", "", 0, Sees::kApplied), "a=new ");
  ASSERT_OK(timeline->settle(*applied));
  EXPECT_EQ(get("a"), "new");
}

TEST_F(TimelineApplied, WhatWasNotSettledMayBeLostWhatWasIsNot) {
  ASSERT_OK(timeline->settle(*timeline->apply_put("a", "settled", {})));
  ASSERT_OK(timeline->apply_put("a", "applied", {}));
  auto next = disk->crashed(7);
  end();
  disk = std::move(next);
  open({});
  EXPECT_TRUE(get("a") == "settled" || get("a") == "applied");
}

TEST_F(TimelineApplied, EachOfManyIsAWriteOfItsOwn) {
  const Stamp before = put("b", "0");
  const std::vector<Timeline::Put> puts = {{"b", "1"}, {"a", "2"}, {"b", "3"}, {"c", ""}};
  const auto applied = timeline->apply_each(puts);
  ASSERT_OK(applied);
  EXPECT_EQ(get("b"), "0");
  EXPECT_EQ(get_applied("b"), "3");
  ASSERT_OK(timeline->settle(*applied));
  EXPECT_EQ(history("b"), "0 1 3 ");
  EXPECT_EQ(get("a"), "2");
  EXPECT_EQ(get("c"), "(none)");
  EXPECT_GE(applied->stamp.value, before.value + puts.size());
  EXPECT_EQ(timeline->info("b").value()->stamp.value, applied->stamp.value - 1);
  EXPECT_EQ(timeline->changed("c")->value, applied->stamp.value);
  const std::vector<Timeline::Put> bad = {{"d", "1"}, {"", "2"}};
  const auto refused = timeline->apply_each(bad);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(get_applied("d"), "(none)");
  ASSERT_OK(timeline->apply_each({}));
}

TEST_F(TimelineApplied, ACrashTakesTheLastOfManyOnly) {
  SaveOptions options;
  options.durability = Durability::kKernel;
  std::vector<std::string> keys;
  for (int i = 0; i < 200; ++i) keys.push_back("k" + std::to_string(i));
  std::vector<Timeline::Put> puts;
  for (const std::string& key : keys) puts.push_back({key, "data"});
  std::set<std::size_t> survived;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    ASSERT_OK(timeline->apply_each(puts, options));
    auto next = disk->crashed(seed);
    end();
    disk = std::move(next);
    open({});
    std::size_t there = 0;
    while (there < keys.size() && get(keys[there]) == "data") ++there;
    for (std::size_t i = there; i < keys.size(); ++i) ASSERT_EQ(get(keys[i]), "(none)") << i;
    survived.insert(there);
    ASSERT_OK(timeline->erase_all());
  }
  EXPECT_GT(survived.size(), 2U) << "not all or nothing";
}

TEST_F(TimelineApplied, SyncMakesAllThatWasAcknowledgedDurable) {
  SaveOptions options;
  options.durability = Durability::kKernel;
  for (int i = 0; i < 300; ++i) put("k" + std::to_string(i), std::string(100, 'x'), options);
  const std::uint64_t syncs = timeline->stats().syncs;
  ASSERT_OK(timeline->sync());
  EXPECT_GT(timeline->stats().syncs, syncs);
  auto next = disk->crashed(3);
  end();
  disk = std::move(next);
  open({});
  for (int i = 0; i < 300; ++i) ASSERT_NE(get("k" + std::to_string(i)), "(none)") << i;
}

TEST_F(TimelineApplied, ChangedSaysWhetherAnythingHappenedToAKey) {
  EXPECT_EQ(timeline->changed("a")->value, 0U);
  const Stamp first = put("a", "1");
  EXPECT_EQ(*timeline->changed("a"), first);
  put("b", "1");
  EXPECT_EQ(*timeline->changed("a"), first);
  const auto erased = timeline->erase("a");
  ASSERT_OK(erased);
  EXPECT_EQ(*timeline->changed("a"), *erased);
  put("a", "2");
  const auto expiry = timeline->set_expiry("a", Time(milliseconds(clock.wall_ms() + 500)));
  ASSERT_OK(expiry);
  EXPECT_EQ(*timeline->changed("a"), *expiry);
  const auto all = timeline->erase_all();
  ASSERT_OK(all);
  EXPECT_EQ(*timeline->changed("a"), *all);
  ASSERT_OK(timeline->erase_all());
  EXPECT_EQ(*timeline->changed("a"), *all);  // There was nothing to erase any more.
  EXPECT_EQ(timeline->changed("c")->value, 0U);
}

TEST_F(TimelineApplied, PresentIsInTheOrderOfKeysAndBeginsWhereItIsTold) {
  for (const char* key : {"b2", "a", "b1", "c", "b3"}) put(key, key);
  ASSERT_OK(timeline->close_block());
  put("b2", "again");
  ASSERT_OK(timeline->erase("b3"));
  put("b0", "new");
  EXPECT_EQ(present(""), "a=a b0=new b1=b1 b2=again c=c ");
  EXPECT_EQ(present("b"), "b0=new b1=b1 b2=again ");
  EXPECT_EQ(present("b", "b1"), "b1=b1 b2=again ");
  EXPECT_EQ(present("", "b1", 2), "b1=b1 b2=again ");
  const Stamp before = *timeline->erase_all();
  EXPECT_EQ(present(""), "");
  ASSERT_OK(timeline->rollback(Stamp{before.value - 1}, {.force = true}));
  EXPECT_EQ(present("b"), "b0=new b1=b1 b2=again ");
}

TEST_F(TimelineApplied, PresentPassesManySavesOfOneKey) {
  for (int i = 0; i < 50; ++i) put("a", std::to_string(i));
  put("b", "1");
  EXPECT_EQ(present(""), "a=49 b=1 ");
}

TEST_F(TimelineApplied, EveryKeyHasTheSameChanceHoweverOftenItWasSaved) {
  for (int i = 0; i < 200; ++i) put("often", "1");
  for (const char* key : {"a", "b", "c"}) put(key, "1");
  ASSERT_OK(timeline->close_block());
  put("d", "1");
  std::map<std::string, int> found;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const auto key = timeline->random_key(i);
    ASSERT_OK(key);
    ++found[**key];
  }
  ASSERT_EQ(found.size(), 5U);
  for (const auto& [key, times] : found) EXPECT_GT(times, 400) << key;
}

TEST_F(TimelineApplied, ARandomKeyIsFoundWhereNearlyAllSavesAreSuperseded) {
  EXPECT_EQ(*timeline->random_key(1), std::nullopt);
  put("there", "1");
  for (int i = 0; i < 5000; ++i) put("gone", "1");
  ASSERT_OK(timeline->erase("gone"));
  for (std::uint64_t i = 0; i < 20; ++i) EXPECT_EQ(*timeline->random_key(i), "there");
}

TEST_F(TimelineApplied, RandomKeyIsEvenAfterManyUpdatesOfOneKey) {
  // Chi-square over `keys` keys: expected keys - 1, standard deviation sqrt(2 keys).
  constexpr int kKeys = 100;
  constexpr int kTimes = 20'000;
  const auto chi_square = [&] {
    std::map<std::string, int> found;
    for (std::uint64_t i = 0; i < kTimes; ++i) ++found[**timeline->random_key(i * 7919)];
    double sum = 0;
    for (int i = 0; i < kKeys; ++i) {
      const double off = found["k" + std::to_string(i)] - static_cast<double>(kTimes) / kKeys;
      sum += off * off * kKeys / kTimes;
    }
    return sum;
  };
  for (int i = 0; i < kKeys; ++i) put("k" + std::to_string(i), "1");
  for (int i = 0; i < 5000; ++i) put("k7", "1");
  EXPECT_LT(chi_square(), kKeys + 5 * 14.2);
}

TEST_F(TimelineApplied, WalkPicksARandomKeyEvenly) {
  // 8,192 tries do not find one of three keys among 300,000 saves often: a walk picks then.
  for (const char* key : {"a", "b", "c"}) put(key, "1");
  std::vector<Timeline::Put> puts(1000, {"b", "1"});
  for (int i = 0; i < 300; ++i) ASSERT_OK(timeline->apply_each(puts));
  ASSERT_OK(timeline->sync());
  std::map<std::string, int> found;
  for (std::uint64_t i = 0; i < 300; ++i) ++found[**timeline->random_key(i)];
  for (const char* key : {"a", "b", "c"}) EXPECT_GT(found[key], 60) << key;
}

TEST_F(TimelineApplied, CountsKeysFromTheSavesSinceTheLastCount) {
  EXPECT_EQ(timeline->key_counts()->keys, 0U);
  for (const char* key : {"a", "b", "c"}) put(key, "1");
  EXPECT_EQ(timeline->key_counts()->keys, 3U);
  put("a", "2");
  ASSERT_OK(timeline->erase("b"));
  ASSERT_OK(timeline->erase("none"));
  const auto before = timeline->last();
  put("d", "1");
  EXPECT_EQ(timeline->key_counts()->keys, 3U);
  ASSERT_OK(timeline->apply_put("e", "1", Time(milliseconds(clock.wall_ms() + 100))));
  ASSERT_OK(timeline->sync());
  EXPECT_EQ(timeline->key_counts()->keys, 4U);
  Saves saves;
  saves.set_expiry("e", {});
  saves.set_expiry("a", Time(milliseconds(clock.wall_ms() + 100)));
  ASSERT_OK(timeline->write(saves));
  EXPECT_EQ(timeline->key_counts()->keys, 4U);
  clock.advance_ms(228);
  EXPECT_EQ(timeline->key_counts()->keys, 3U);
  put("a", "again");
  EXPECT_EQ(timeline->key_counts()->keys, 4U);
  ASSERT_OK(timeline->rollback(before));
  EXPECT_EQ(timeline->key_counts()->keys, 2U);
  Saves all;
  all.erase_all();
  all.put("x", "1");
  ASSERT_OK(timeline->write(all));
  EXPECT_EQ(timeline->key_counts()->keys, 1U);
}

TEST_F(TimelineApplied, ExpiryOfOneSaveIsGivenAsATime) {
  const auto applied = timeline->apply_put("a", "1", Time(milliseconds(clock.wall_ms() + 10)));
  ASSERT_OK(applied);
  ASSERT_OK(timeline->settle(*applied));
  EXPECT_EQ(present(""), "a=1 ");
  clock.advance_ms(10);
  EXPECT_EQ(get("a"), "(none)");
  EXPECT_EQ(present(""), "");
}

}  // namespace
}  // namespace cairn::test
