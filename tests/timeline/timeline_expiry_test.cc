// What expires, with the timeout or by itself, and what is erased with all; and what clocks that jump do to it.
#include "support/one_timeline.h"

namespace cairn::test {
namespace {

TEST_F(OneTimeline, ExpiryIsExactForEveryWayOfReadingWhateverTheBlocks) {
  for (int round = 0; round < 3; ++round) {
    put("old", "1");
    if (round == 1) ASSERT_OK(timeline->close_block());
    Watch watch = timeline->watch("old", kBeginning);
    clock.advance_ms(999);
    if (round == 2) put("new", "2");
    EXPECT_EQ(get("old"), "1");
    EXPECT_EQ(history("old"), "1 ");
    EXPECT_EQ(keys("old"), "old ");
    {
      Watch other = timeline->watch("old", kBeginning);
      EXPECT_EQ(watched(other), "old=1 ");
    }
    clock.advance_ms(1);
    EXPECT_EQ(get("old"), "(none)");
    EXPECT_EQ(get_at("old", Time(milliseconds(clock.wall_ms()))), "(none)");
    EXPECT_EQ(history("old"), "");
    EXPECT_EQ(keys("old"), "");
    EXPECT_EQ(watched(watch), "missed ");
    Watch fresh = timeline->watch("old", kBeginning);
    EXPECT_EQ(watched(fresh), "");
    clock.advance_ms(2000);
  }
}

TEST_F(OneTimeline, WithPersistAnExpiredSaveIsStillThereForGetAlone) {
  reopen({.expired = Expired::kPersist});
  put("a", "1");
  put("gone", "1");
  ASSERT_OK(timeline->erase("gone"));
  clock.advance_ms(1000);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(get("a"), "1");
    EXPECT_EQ(get("gone"), "(none)");
    EXPECT_EQ(history("a"), "");
    EXPECT_EQ(keys(""), "");
    ASSERT_OK(timeline->housekeep(round == 1));
  }
  EXPECT_EQ(timeline->stats().lines[1].saves, 1U) << "the cycle kept the last save of each key, and no erase";
}

/// What a cycle would leave out begins one by itself: superseded saves, expired ones, and those that an erase of all keys hides.
TEST_F(OneTimeline, ThePersistentLineIsCycledWhenHalfOfItIsDead) {
  constexpr std::uint64_t kBlockBytes = 64 * kKiB;
  reopen({.expired = Expired::kPersist, .block_bytes_max = kBlockBytes});
  const std::string data(100, 'd');
  const auto persist = [&] {
    clock.advance_ms(1000);
    for (int i = 0; i < 3; ++i) ASSERT_OK(timeline->housekeep(false));
  };
  for (int kind = 0; kind < 4; ++kind) {
    SCOPED_TRACE(kind);
    const SaveOptions options{.expires_after = milliseconds(kind == 1 ? 100 : 0)};
    for (int i = 0; i < 4000; ++i) put(kind == 0 || kind == 3 ? "one" : "key" + std::to_string(i), data, options);
    if (kind == 2) ASSERT_OK(timeline->erase_all());
    if (kind == 3) {
      for (int i = 0; i < 4000; ++i) ASSERT_OK(timeline->set_expiry("one", Time(milliseconds(clock.wall_ms() + 100'000 + i))));
    }
    persist();
    EXPECT_EQ(timeline->stats().lines[0].blocks, 0U);
    EXPECT_LE(timeline->stats().lines[1].bytes, 2 * kBlockBytes);
  }
}

/// What a cycle keeps is not counted as dead: saves that have expired but of whose keys there are later ones, in the main line.
TEST_F(OneTimeline, ACycleIsNotBegunForWhatItWouldKeep) {
  reopen({.expired = Expired::kPersist, .block_bytes_max = 64 * kKiB});
  const auto put_all = [&](const SaveOptions& options) {
    for (int i = 0; i < 2000; ++i) put("key" + std::to_string(i), std::string(100, 'd'), options);
  };
  put_all({.expires_after = milliseconds(100)});
  clock.advance_ms(999);
  put_all({});
  clock.advance_ms(1);
  for (int i = 0; i < 3; ++i) ASSERT_OK(timeline->housekeep(false));
  EXPECT_GE(timeline->stats().lines[1].saves, 1000U);
  EXPECT_EQ(timeline->stats().cycles, 0U);
}

/// A line that only grows is not written again each time it has doubled.
TEST_F(OneTimeline, APersistentLineOfLiveSavesIsLeftAlone) {
  reopen({.expired = Expired::kPersist, .block_bytes_max = 64 * kKiB});
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 1000; ++i) put("key" + std::to_string(round) + "-" + std::to_string(i), std::string(100, 'd'));
    clock.advance_ms(1000);
    ASSERT_OK(timeline->housekeep(false));
    ASSERT_OK(timeline->housekeep(false));
  }
  EXPECT_GE(timeline->stats().lines[1].saves, 7000U);
  EXPECT_EQ(timeline->stats().cycles, 0U);
}

/// Blocks expire as a whole, so a large one that goes on for longer than an eighth of the timeout ends.
TEST_F(OneTimeline, ALargeBlockSpansAnEighthOfTheTimeout) {
  reopen({.timeout = milliseconds(8000)});
  const auto blocks = [&] { return timeline->stats().blocks.size(); };
  put("a", "1");
  clock.advance_ms(2000);
  put("a", "1");
  EXPECT_EQ(blocks(), 1U) << "small";
  for (int i = 0; i < 24; ++i) put("a", std::string(kMiB, 'd'));  // The first segments are smaller than the limit of blocks.
  ASSERT_GE(timeline->stats().blocks.back().bytes, 4 * kMiB);
  const std::size_t before = blocks();
  clock.advance_ms(900);
  put("a", "1");
  EXPECT_EQ(blocks(), before);
  clock.advance_ms(101);
  put("a", "1");
  EXPECT_EQ(blocks(), before + 1);
}

/// A watch that has waited for longer than the timeout, or begins on an empty timeline, has missed nothing.
TEST_F(OneTimeline, AWatchMissesNothingWhereNothingWasSaved) {
  Watch watch = timeline->watch("", kBeginning);
  EXPECT_EQ(watched(watch), "");
  for (int round = 0; round < 3; ++round) {
    put("a", "1");
    EXPECT_EQ(watched(watch), "a=1 ");
    clock.advance_ms(5000);
    if (round == 1) ASSERT_OK(timeline->housekeep(false));
  }
  put("a", "2");
  clock.advance_ms(5000);
  put("a", "3");
  EXPECT_EQ(watched(watch), "missed a=3 ");
  ASSERT_OK(timeline->erase_all());
  clock.advance_ms(5000);
  EXPECT_EQ(watched(watch), "missed ");
  put("a", "4");
  EXPECT_EQ(watched(watch), "a=4 ");
}

TEST_F(OneTimeline, ASaveMayExpireByItself) {
  put("a", "1", {.expires_after = milliseconds(100)});
  clock.advance_ms(99);
  EXPECT_EQ(get("a"), "1");
  clock.advance_ms(1);
  EXPECT_EQ(get("a"), "(none)");
  EXPECT_EQ(keys("a"), "");
  EXPECT_EQ(keys("a", kBeginning, Time(milliseconds(clock.wall_ms()))), "a ") << "it was there before";
}

TEST_F(OneTimeline, AnExpiryIsChangedWithoutANewSave) {
  const auto in = [&](int ms) { return Time(milliseconds(clock.wall_ms() + ms)); };
  const Stamp saved = put("a", "1", {.expires_after = milliseconds(100)});
  clock.advance_ms(50);
  const Time before = in(0);
  clock.advance_ms(1);
  ASSERT_OK(timeline->set_expiry("a", in(200)));
  const auto info = timeline->info("a");
  ASSERT_OK(info);
  ASSERT_TRUE(info->has_value());
  EXPECT_EQ((*info)->stamp, saved);
  EXPECT_EQ((*info)->expires, in(200));
  Watch watch = timeline->watch("", kBeginning);
  EXPECT_EQ(watched(watch), "a=1 ");
  EXPECT_EQ(history("a"), "1 ");
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(keys("a"), "a ");
    clock.advance_ms(100);
    EXPECT_EQ(get("a"), round == 0 ? "1" : "(none)") << "its first expiry has passed, its second only in the end";
    if (round == 0) ASSERT_OK(timeline->close_block());
  }
  EXPECT_EQ(timeline->set_expiry("a", std::nullopt).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(timeline->set_expiry("b", in(9)).error().code, ErrorCode::kNotFound);
  ASSERT_OK(timeline->rollback(before));
  EXPECT_EQ(get("a"), "(none)") << "with the first expiry again";
  put("b", "2", {.expires_after = milliseconds(10)});
  ASSERT_OK(timeline->set_expiry("b", std::nullopt));
  clock.advance_ms(10);
  EXPECT_EQ(get("b"), "2");
  EXPECT_EQ(timeline->info("b")->value().expires, std::nullopt);
  for (int i = 0; i < 1000; ++i) ASSERT_OK(timeline->set_expiry("b", in(500)));
  ASSERT_OK(timeline->close_block());
  const std::uint64_t probes = timeline->stats().index_probes;
  EXPECT_EQ(get("b"), "2");
  EXPECT_LE(timeline->stats().index_probes - probes, 2 * timeline->stats().index_files) << "it finds its save at once";
}

TEST_F(OneTimeline, AllKeysAreErasedByOneRecord) {
  put("a", "1");
  put("b", "1", {.expires_after = milliseconds(100)});
  const Stamp before = put("c", "1");
  Saves saves;
  saves.put("c", "lost");
  saves.erase_all();
  saves.put("a", "2");
  saves.set_expiry("b", std::nullopt);
  const auto erased = timeline->write(saves);
  ASSERT_OK(erased);
  put("d", "1");
  for (int round = 0; round < 5; ++round) {
    SCOPED_TRACE(round);
    EXPECT_EQ(get("a"), "2");
    EXPECT_EQ(get("b"), "(none)");
    EXPECT_EQ(get("c"), "(none)");
    EXPECT_EQ(get_at("c", before), "1");
    EXPECT_EQ(get_at("c", *erased), "(none)");
    EXPECT_EQ(keys(""), "a d ");
    EXPECT_EQ(keys("", kBeginning, *erased), "a b c ");
    EXPECT_EQ(history("a"), "1 - 2 ");
    EXPECT_EQ(history("c"), "1 - ");
    {
      Watch watch = timeline->watch("c", kBeginning);
      EXPECT_EQ(watched(watch), "c=1 -all ");
    }
    if (round == 0) ASSERT_OK(timeline->close_block());
    if (round == 1) reopen();
    if (round == 2) ASSERT_OK(timeline->rollback(*erased));
    if (round == 2) put("d", "2");
    if (round == 3) ASSERT_OK(timeline->close_block());
    if (round == 3) ASSERT_OK(timeline->housekeep());
  }
  EXPECT_EQ(timeline->set_expiry("c", std::nullopt).error().code, ErrorCode::kNotFound);
  Watch watch = timeline->watch("c", *erased);
  ASSERT_OK(timeline->erase_all());
  EXPECT_EQ(watched(watch), "-all -all ");
  ASSERT_OK(timeline->rollback(before));
  EXPECT_EQ(keys(""), "a b c ");
  EXPECT_EQ(get("c"), "1");
}

TEST_F(OneTimeline, ACycleDropsWhatWasErasedWithAll) {
  reopen({.expired = Expired::kPersist, .block_bytes_max = 4 * kKiB});
  for (int i = 0; i < 40; ++i) put("key" + std::to_string(i), std::string(300, 'x'));
  ASSERT_OK(timeline->erase_all());
  ASSERT_OK(timeline->close_block());
  ASSERT_OK(timeline->erase_all());  // In a block of its own.
  ASSERT_OK(timeline->close_block());
  put("key1", "y");
  clock.advance_ms(1000);
  EXPECT_EQ(get("key0"), "(none)");
  ASSERT_OK(timeline->housekeep());
  EXPECT_EQ(timeline->stats().lines[0].blocks, 0U);
  EXPECT_EQ(get("key0"), "(none)");
  EXPECT_EQ(get("key1"), "y");
  ASSERT_OK(timeline->housekeep(true));
  EXPECT_EQ(timeline->stats().lines[1].saves, 1U);
  EXPECT_EQ(get("key0"), "(none)");
  EXPECT_EQ(get("key1"), "y");
}

TEST_F(OneTimeline, AChangeOfAnExpiryInABatchGoesToTheSaveBeforeIt) {
  const Time past(milliseconds(clock.wall_ms() - 1));
  Saves saves;
  saves.set_expiry("gone", past);
  saves.put("a", "1");
  saves.set_expiry("a", past);
  saves.put("b", "2", past);
  saves.set_expiry("b", std::nullopt);
  saves.erase("c");
  saves.set_expiry("c", std::nullopt);
  ASSERT_OK(timeline->write(saves));
  EXPECT_EQ(get("a"), "(none)");
  EXPECT_EQ(get("b"), "2");
  EXPECT_EQ(get("c"), "(none)");
  EXPECT_EQ(history("a"), "1 ");
  EXPECT_EQ(history("gone"), "");
  EXPECT_EQ(timeline->put("x", "1", {.expires_after = milliseconds(-1)}).error().code, ErrorCode::kInvalidArgument);
  ASSERT_OK(timeline->set_expiry("b", Time(milliseconds(0))));
  EXPECT_EQ(get("b"), "(none)") << "1970 is a time, not never";
  put("b", "3");
  EXPECT_EQ(timeline->set_expiry("b", Time(milliseconds(-1))).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(timeline->set_expiry("b", Time(milliseconds(std::int64_t{1} << 48))).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(OneTimeline, ACycleKeepsWhatAChangeInTheMainLineKeepsAlive) {
  reopen({.expired = Expired::kPersist});
  put("a", "1", {.expires_after = milliseconds(1100)});
  put("b", "2");
  put("c", "3", {.expires_after = milliseconds(1100)});
  ASSERT_OK(timeline->set_expiry("b", Time(milliseconds(clock.wall_ms() + 5000))));
  ASSERT_OK(timeline->close_block());
  clock.advance_ms(1050);
  ASSERT_OK(timeline->set_expiry("a", Time(milliseconds(clock.wall_ms() + 5000))));
  clock.advance_ms(100);
  ASSERT_OK(timeline->housekeep(true));
  EXPECT_EQ(timeline->stats().lines[1].saves, 2U) << "c has expired; the change of b is in its save";
  EXPECT_EQ(get("a"), "1") << "it had expired but for the change, which is not in the persistent line yet";
  EXPECT_EQ(get("b"), "2");
  reopen();
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(timeline->info("b")->value().expires->time_since_epoch().count(), clock.wall_ms() + 5000 - 1150);
  clock.advance_ms(5000);
  EXPECT_EQ(get("a"), "(none)");
  EXPECT_EQ(get("b"), "(none)");
  ASSERT_OK(timeline->housekeep(true));
  EXPECT_EQ(timeline->stats().lines[1].saves, 0U);
}

TEST_F(OneTimeline, AClockThatJumpsAheadHidesSavesAndDeletesNone) {
  put("a", "1");
  ASSERT_OK(timeline->close_block());
  clock.step_wall_ms(100'000);
  EXPECT_EQ(get("a"), "(none)");
  ASSERT_OK(timeline->housekeep());
  clock.step_wall_ms(-100'000);
  EXPECT_EQ(get("a"), "1");
  clock.advance_ms(1000);
  ASSERT_OK(timeline->housekeep());
  EXPECT_EQ(timeline->stats().blocks.size(), 0U) << "that long has passed";
}

TEST_F(OneTimeline, OneWrongClockReadingHidesNothingForGood) {
  constexpr std::int64_t kTenYearsMs = 10LL * 365 * 86'400'000;
  put("a", "1");
  clock.step_wall_ms(kTenYearsMs);
  put("glitch", "1");
  clock.step_wall_ms(-kTenYearsMs);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(get("a"), "1");
    EXPECT_EQ(get("glitch"), "1");
    put("b", "1", {.expires_after = milliseconds(500)});
    EXPECT_EQ(get("b"), "1");
    clock.advance_ms(499);
    EXPECT_EQ(get("b"), "1");
    clock.advance_ms(1);
    EXPECT_EQ(get("b"), "(none)") << "by the clock, though its stamp is ten years ahead";
    ASSERT_OK(timeline->housekeep());
    reopen();
    if (round == 0) put("a", "1");
  }
}

TEST_F(OneTimeline, AWrongClockReadingDoesNotSilenceAWatcher) {
  constexpr std::int64_t kTenYearsMs = 10LL * 365 * 86'400'000;
  put("a", "1");
  Watch watch = timeline->watch("", kBeginning);
  ASSERT_TRUE(*watch.next(milliseconds(0)));
  clock.step_wall_ms(kTenYearsMs);
  ASSERT_OK(watch.next(milliseconds(0)));
  Watch begun = timeline->watch("", kBeginning);
  ASSERT_OK(begun.next(milliseconds(0)));
  clock.step_wall_ms(-kTenYearsMs);
  put("b", "1");
  for (Watch* each : {&watch, &begun}) {
    const auto event = each->next(milliseconds(0));
    ASSERT_OK(event);
    ASSERT_TRUE(*event);
    EXPECT_EQ((*event)->key, "b");
  }
}

TEST_F(OneTimeline, AClockThatIsSetRightIsFollowedAtOnce) {
  clock.step_wall_ms(-clock.wall_ms());
  reopen();
  put("a", "1");
  clock.step_wall_ms(1'700'000'000'000);
  EXPECT_EQ(get("a"), "(none)");
  const Stamp stamp = put("b", "1");
  EXPECT_EQ(stamp.time().time_since_epoch().count(), clock.wall_ms());
  EXPECT_EQ(keys("b", Time(milliseconds(clock.wall_ms()))), "b ");
  clock.advance_ms(1000);
  EXPECT_EQ(get("b"), "(none)");
}

TEST_F(OneTimeline, WhatHasExpiredGivesItsRoomBackUnasked) {
  clock.advance_ms(300);
  put("a", "1");
  clock.advance_ms(200);
  ASSERT_OK(timeline->close_block());
  process->run_jobs();
  clock.advance_ms(500);
  process->run_jobs();  // The look that the open asked for; the next goes by what is there.
  clock.advance_ms(299);
  process->run_jobs();
  EXPECT_EQ(blocks("closed"), 1U);
  clock.advance_ms(1);
  process->run_jobs();
  EXPECT_EQ(blocks("closed"), 0U);
}

// Segments grow while saves are many; none of them stays prepared once nothing was saved for a timeout.
TEST_F(OneTimeline, GivesBackPreparedSegmentsWhenIdle) {
  const auto segments = [&] {
    const auto files = disk->file_sizes();
    return std::ranges::count_if(files, [](const auto& file) { return file.first.ends_with(".segment"); });
  };
  const std::string data(64 * 1024, 'x');
  // Ends when a segment was just prepared: the log has two.
  for (int i = 0; i < 100 && segments() < 2; ++i) {
    put("key" + std::to_string(i), data);
    process->run_jobs();
  }
  EXPECT_EQ(segments(), 2);
  for (int i = 0; i < 4; ++i) {
    clock.advance_ms(1000);
    process->run_jobs();
  }
  EXPECT_EQ(segments(), 0);
  put("after", "1");
  EXPECT_EQ(get("after"), "1");
  reopen();
  EXPECT_EQ(get("after"), "1");
}

}  // namespace
}  // namespace cairn::test
