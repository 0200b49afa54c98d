// What a timeline promises, one thing at a time.
#include <set>

#include "support/one_timeline.h"

namespace cairn::test {
namespace {

TEST_F(OneTimeline, ASaveIsReadUntilTheNextOneOrAnErase) {
  put("a", "1");
  put("b", "2");
  put("a", "3");
  EXPECT_EQ(get("a"), "3");
  EXPECT_EQ(get("b"), "2");
  ASSERT_OK(timeline->erase("b"));
  EXPECT_EQ(get("b"), "(none)");
  EXPECT_EQ(get("c"), "(none)");
  EXPECT_EQ(history("a"), "1 3 ");
  EXPECT_EQ(history("b"), "2 - ");
}

TEST_F(OneTimeline, NoBytesEraseUnlessTheyAreToBeKept) {
  put("a", "1");
  put("a", "");
  EXPECT_EQ(get("a"), "(none)");
  put("b", "", {.keep_empty = true});
  EXPECT_EQ(get("b"), "");
  EXPECT_EQ(keys(""), "b ");
}

TEST_F(OneTimeline, StampsAscendWhenTheClockStepsBackAndAcrossOpens) {
  Stamp last = put("a", "1");
  clock.step_wall_ms(-5000);
  for (int i = 0; i < 3; ++i) {
    const Stamp next = put("a", "x");
    EXPECT_GT(next, last);
    last = next;
    reopen();
  }
}

TEST_F(OneTimeline, AfterACrashStampsDoNotRunAheadOfTheClock) {
  const Stamp before = put("a", "1");
  for (int i = 0; i < 5; ++i) {
    auto next = disk->crashed(static_cast<std::uint64_t>(i));
    end();
    disk = std::move(next);
    open({});
  }
  const Stamp after = put("a", "2");
  EXPECT_GT(after, before);
  EXPECT_EQ(after.time().time_since_epoch().count(), clock.wall_ms());
}

TEST_F(OneTimeline, ABatchHasOneStampAndTheLaterOfTwoSavesOfAKeyCounts) {
  Saves saves;
  saves.put("b", "1");
  saves.put("a", "2");
  saves.put("b", "3");
  const auto stamp = timeline->write(saves);
  ASSERT_OK(stamp);
  EXPECT_EQ(get("b"), "3");
  EXPECT_EQ(history("b"), "3 ");
  EXPECT_EQ(keys(""), "a b ");
  EXPECT_EQ(get_at("a", *stamp), "2");
  EXPECT_EQ(get_at("a", Stamp{stamp->value - 1}), "(none)");
}

TEST_F(OneTimeline, EveryCriterionClosesABlock) {
  open_blocks_max = 100;  // Nothing closes by itself.
  reopen({.block_keys_max = 3});
  for (int i = 0; i < 9; ++i) put("key" + std::to_string(i % 3), "x");
  EXPECT_EQ(timeline->stats().blocks.size(), 1U) << "updates of keys that are there do not count";
  put("another", "x");
  EXPECT_EQ(timeline->stats().blocks.size(), 2U);
  reopen({.block_keys_max = 1000, .block_span_max = milliseconds(50)});
  const std::size_t before = timeline->stats().blocks.size();
  put("a", "x");
  clock.advance_ms(50);
  put("a", "x");
  EXPECT_EQ(timeline->stats().blocks.size(), before + 1);
  clock.advance_ms(1);
  put("a", "x");
  EXPECT_EQ(timeline->stats().blocks.size(), before + 2);
  reopen({.timeout = milliseconds(0), .block_bytes_max = 4096, .block_span_max = milliseconds(1'000'000)});
  const std::size_t then = timeline->stats().blocks.size();
  for (int i = 0; i < 10; ++i) put("a", std::string(1000, 'x'));
  EXPECT_GE(timeline->stats().blocks.size(), then + 3);
  for (const BlockStats& block : timeline->stats().blocks) EXPECT_LE(block.bytes, 4096U);
}

TEST_F(OneTimeline, KeysAreListedByTheirLastSaveInTheRange) {
  const Stamp first = put("mail:1", "a");
  clock.advance_ms(10);
  put("mail:2", "b");
  clock.advance_ms(10);
  const Stamp third = put("mail:1", "c");
  clock.advance_ms(10);
  put("note", "d");
  put("mail:3", "e");
  ASSERT_OK(timeline->erase("mail:3"));
  EXPECT_EQ(keys("mail:"), "mail:2 mail:1 ");
  EXPECT_EQ(keys("mail:", first, third), "mail:1 mail:2 ") << "half-open";
  EXPECT_EQ(keys("mail:", kBeginning, kEndOfTime, 1), "mail:2 ");
  EXPECT_EQ(keys("", third), "mail:1 note ");
}

TEST_F(OneTimeline, RollbackTakesBackAndUndoBringsBack) {
  put("a", "1");
  clock.advance_ms(10);
  const Time then(milliseconds(clock.wall_ms()));
  clock.advance_ms(10);
  put("a", "2");
  put("b", "1");
  Watch watch = timeline->watch("", kBeginning);
  EXPECT_EQ(watched(watch), "a=1 a=2 b=1 ");
  ASSERT_OK(timeline->rollback(then));
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(get("b"), "(none)");
  EXPECT_EQ(history("a"), "1 ");
  EXPECT_EQ(watched(watch), "back ");
  ASSERT_OK(timeline->undo());
  EXPECT_EQ(get("a"), "2");
  EXPECT_EQ(watched(watch), "back a=2 b=1 ");
  EXPECT_EQ(timeline->undo().error().code, ErrorCode::kNotFound);
}

TEST_F(OneTimeline, RollbackSaysWhatItCutsOff) {
  put("a", "1");
  clock.advance_ms(10);
  const Time then(milliseconds(clock.wall_ms()));
  clock.advance_ms(10);
  const Stamp first = put("a", "2");
  put("b", "1");
  ASSERT_OK(timeline->close_block());
  ASSERT_OK(timeline->erase_all());
  const auto cut = timeline->rollback(then);
  ASSERT_OK(cut);
  EXPECT_EQ(cut->saves, 3U);
  EXPECT_FALSE(cut->at_least);
  EXPECT_EQ(cut->since, first);
  EXPECT_EQ(cut->undo_until, timeline->stats().rollbacks.front().undo_until);
  const auto nothing = timeline->rollback(then);
  ASSERT_OK(nothing);
  EXPECT_EQ(nothing->saves, 0U);
  EXPECT_EQ(nothing->since, std::nullopt);
}

TEST_F(OneTimeline, RollbackToBeforeTheFirstSaveHasToBeForced) {
  reopen({.timeout = milliseconds(0)});
  const Stamp first = put("a", "1");
  for (const Moment& before : {Moment(Stamp{first.value - 1}), kBeginning, Moment(Time(milliseconds(1)))}) {
    const auto refused = timeline->rollback(before);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(refused.error().message.find("would empty the timeline"), std::string::npos);
    EXPECT_EQ(get("a"), "1");
  }
  EXPECT_OK(timeline->rollback(first));  // Which keeps the first save.
  EXPECT_OK(timeline->rollback(kBeginning, {.force = true}));
  EXPECT_EQ(get("a"), "(none)");
  EXPECT_OK(timeline->undo());
  reopen({.timeout = milliseconds(1000)});
  clock.advance_ms(5000);
  put("b", "1");
  const auto expired = timeline->rollback(first, {.force = true});
  ASSERT_FALSE(expired.has_value()) << "before what the timeline still has, forced or not";
}

TEST_F(OneTimeline, RollbackToWhatHasExpiredHasToBeForcedThoughItIsStored) {
  put("old", "1");
  clock.advance_ms(1200);  // Longer than the timeout, and in the same block.
  put("new", "1");
  const auto refused = timeline->rollback(Time(milliseconds(clock.wall_ms() - 500)));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("would empty the timeline"), std::string::npos) << refused.error().message;
  EXPECT_EQ(get("new"), "1");
}

TEST(Stamps, AreWrittenAndReadInOneForm) {
  const Stamp stamp{(1'795'802'203'465ULL << 16U) | 3U};
  EXPECT_EQ(stamp.to_string(), "1795802203465-3");
  EXPECT_EQ(Stamp::parse("1795802203465-3"), stamp);
  EXPECT_EQ(Stamp::parse(Stamp{~std::uint64_t{0}}.to_string()), Stamp{~std::uint64_t{0}});
  for (const char* const wrong :
       {"", "-", "1", "1-", "-1", "1-65536", "281474976710656-0", "1-2-3", " 1-2", "1-2 ", "+1-2", "1--2"}) {
    EXPECT_EQ(Stamp::parse(wrong), std::nullopt) << wrong;
  }
}

TEST_F(OneTimeline, UndoAsksBeforeItDiscardsSavesSince) {
  const Stamp first = put("a", "1");
  put("a", "2");
  ASSERT_OK(timeline->rollback(first));
  put("a", "3");
  EXPECT_EQ(timeline->undo().error().code, ErrorCode::kConflict);
  EXPECT_EQ(get("a"), "3");
  ASSERT_OK(timeline->undo(true));
  EXPECT_EQ(get("a"), "2");
  EXPECT_EQ(history("a"), "1 2 ");
}

TEST_F(OneTimeline, AConfirmedRollbackGivesItsRoomBack) {
  const Stamp first = put("a", "1");
  for (int i = 0; i < 40; ++i) put("b" + std::to_string(i), std::string(500, 'x'));
  ASSERT_OK(timeline->rollback(first));
  ASSERT_OK(timeline->close_block());
  const std::size_t before = timeline->stats().blocks.size();
  ASSERT_OK(timeline->housekeep());
  EXPECT_EQ(timeline->stats().blocks.size(), before) << "it can be undone still";
  ASSERT_OK(timeline->confirm());
  EXPECT_LT(timeline->stats().blocks.size(), before);
  EXPECT_EQ(timeline->undo().error().code, ErrorCode::kNotFound);
  EXPECT_EQ(get("a"), "1");
  reopen();
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(keys(""), "a ");
}

TEST_F(OneTimeline, ARollbackThatCanNoLongerBeUndoneGivesItsRoomBackUnasked) {
  reopen({.undo_time = milliseconds(100)});
  const Stamp first = put("a", "1");
  ASSERT_OK(timeline->close_block());
  put("b", "1");
  ASSERT_OK(timeline->rollback(first));
  process->run_jobs();
  EXPECT_EQ(blocks("closed"), 2U);
  clock.advance_ms(100);
  process->run_jobs();
  EXPECT_EQ(blocks("closed"), 1U);
  EXPECT_EQ(timeline->undo().error().code, ErrorCode::kNotFound);
}

TEST_F(OneTimeline, RollbackBeforeTheMainLineIsRefused) {
  put("a", "1");
  clock.advance_ms(1500);
  const auto done = timeline->rollback(Time(milliseconds(clock.wall_ms() - 1001)));
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(done.error().message.find(std::to_string(clock.wall_ms() - 1000)), std::string::npos) << done.error().message;
  ASSERT_OK(timeline->rollback(Time(milliseconds(clock.wall_ms() - 1000))));
}

TEST_F(OneTimeline, ASaveMayBringItsOwnTime) {
  const std::int64_t now = clock.wall_ms();
  const auto at = [](std::int64_t ms) { return SaveOptions{.time = Time(milliseconds(ms))}; };
  reopen({.timeout = milliseconds(0)});
  const Stamp first = put("a", "1", at(1000));
  EXPECT_GT(put("a", "2", at(1000)), first);
  put("a", "3", at(5000));
  EXPECT_EQ(get_at("a", Time(milliseconds(999))), "(none)");
  EXPECT_EQ(get_at("a", Time(milliseconds(1000))), "2");
  EXPECT_EQ(get_at("a", Time(milliseconds(4999))), "2");
  EXPECT_EQ(timeline->put("a", "x", at(4999)).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(timeline->put("a", "x", at(now + 1)).error().code, ErrorCode::kInvalidArgument);
  put("a", "4");
  EXPECT_EQ(get("a"), "4");
}

TEST_F(OneTimeline, MoreSavesOfOneTimeThanAMillisecondHas) {
  reopen({.timeout = milliseconds(0)});
  const SaveOptions options{.durability = Durability::kKernel, .time = Time(milliseconds(1000))};
  Stamp last;
  for (int i = 0; i < 70'000; ++i) {
    const Stamp next = put("a", "x", options);
    ASSERT_GT(next, last);
    last = next;
  }
  EXPECT_EQ(last.time(), Time(milliseconds(1001)));
  EXPECT_EQ(timeline->put("a", "x", {.time = Time(milliseconds(999))}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(timeline->put("a", "x", {.time = Time(milliseconds(-1))}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(OneTimeline, AClockThatWasAheadAtAnOpenDoesNotStay) {
  put("a", "1");
  clock.step_wall_ms(1'000'000'000);
  reopen();
  clock.step_wall_ms(-1'000'000'000);
  auto next = disk->killed();
  end();
  disk = std::move(next);
  open({});
  EXPECT_EQ(put("b", "1").time(), Time(milliseconds(clock.wall_ms())));
}

TEST_F(OneTimeline, ABlockClosesWhenMemoryIsUsedUp) {
  block_memory_least = 64 * kKiB;
  reopen();
  const auto blocks_of_saves = [&] {
    const std::size_t before = timeline->stats().blocks.size();
    for (int i = 0; i < 5000; ++i) put("a", "x", {{Durability::kKernel}, false, {}, {}});
    return timeline->stats().blocks.size() - before;
  };
  for (int i = 0; i < 4; ++i) blocks_of_saves();  // Until segments have the size that they stay at.
  const std::size_t with_room = blocks_of_saves();
  process->environment().memory.add(std::uint64_t{1} << 40);
  EXPECT_GT(blocks_of_saves(), with_room);
  process->environment().memory.subtract(std::uint64_t{1} << 40);
  EXPECT_EQ(get("a"), "x");
}

TEST_F(OneTimeline, WhatAJobFailsOnStandsInStats) {
  reopen({.timeout = milliseconds(0)});
  for (int i = 0; i < 12; ++i) {
    put("key" + std::to_string(i), "x");
    ASSERT_OK(timeline->close_block());
  }
  disk->set_hook([](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
    if (io != storage::Io::kCreate) return {};
    return std::unexpected(Error{ErrorCode::kNoSpace, "injected", name, 0});
  });
  const auto done = timeline->housekeep();
  disk->set_hook(nullptr);
  ASSERT_FALSE(done.has_value());
  const std::vector<std::string> errors = timeline->stats().job_errors;
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_NE(errors.front().find("injected"), std::string::npos);
  clock.advance_ms(1000);
  process->run_jobs();
  EXPECT_TRUE(timeline->stats().job_errors.empty()) << "tried again after a second";
  EXPECT_LE(timeline->stats().index_files, 4U);
}

TEST_F(OneTimeline, TimesAndWaitsOfAnySize) {
  put("a", "1");
  EXPECT_EQ(keys("", kBeginning, std::chrono::sys_seconds::max()), "a ");
  EXPECT_EQ(keys("", std::chrono::sys_seconds::min(), std::chrono::sys_days::max()), "a ");
  EXPECT_EQ(keys("", std::chrono::sys_seconds::max()), "");
  Watch watch = timeline->watch("", kBeginning);
  const auto something = watch.next(milliseconds::max());
  ASSERT_OK(something);
  EXPECT_TRUE(something->has_value());
  const auto nothing = watch.next(milliseconds::min());
  ASSERT_OK(nothing);
  EXPECT_FALSE(nothing->has_value());
}

TEST_F(OneTimeline, ASaveThatIsRefusedLeavesNoBlock) {
  put("key", "x");
  ASSERT_OK(timeline->close_block());
  SaveOptions options;
  options.time = Time(milliseconds(clock.wall_ms() - 500));
  EXPECT_EQ(timeline->put("key", "y", options).error().code, ErrorCode::kInvalidArgument);
  ASSERT_OK(timeline->close_block());
  EXPECT_EQ(blocks("closed"), 1U);
  EXPECT_EQ(timeline->stats().blocks.size(), 1U);
  reopen();
  EXPECT_EQ(get("key"), "x");
}

TEST_F(OneTimeline, ABlockThatFoundNoRoomToEndGoesOn) {
  put("a", "1");
  disk->set_hook([](storage::Io io, const std::string&, std::uint64_t) -> Result<void> {
    if (io != storage::Io::kPublish) return {};
    return std::unexpected(Error{ErrorCode::kNoSpace, "injected", "", 0});
  });
  EXPECT_EQ(timeline->close_block().error().code, ErrorCode::kNoSpace);
  put("a", std::string(3000, '2'));
  disk->set_hook(nullptr);
  auto next = disk->crashed(1);
  end();
  disk = std::move(next);
  open({});
  EXPECT_EQ(get("a"), std::string(3000, '2'));
}

TEST_F(OneTimeline, BadInputIsRefusedAndNothingIsSaved) {
  EXPECT_EQ(timeline->put("", "x").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(timeline->put(std::string(65'536, 'k'), "x").error().code, ErrorCode::kInvalidArgument);
  Saves saves;
  saves.put("a", "1");
  saves.put("", "2");
  EXPECT_EQ(timeline->write(saves).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(get("a"), "(none)");
  SaveList list = timeline->history("");
  EXPECT_FALSE(list.valid());
  EXPECT_EQ(list.status().error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(process->database().timeline("x y", {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(process->database().timeline("x", {.create_if_missing = false}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(process->database().timeline("x", {.block_bytes_max = 1}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(process->database().timeline("x", {.timeout = milliseconds(-1)}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(OneTimeline, ManyShortOpensMakeOneBlock) {
  for (int i = 0; i < 12; ++i) {
    put("key" + std::to_string(i), "x");
    reopen();
    process->run_jobs();
  }
  ASSERT_OK(timeline->close_block());
  EXPECT_LE(timeline->stats().blocks.size(), 6U);
  EXPECT_EQ(keys("").size(), 10 * 5 + 2 * 6);
}

TEST_F(OneTimeline, LookupsDoNotGrowWithTheNumberOfBlocks) {
  reopen({.timeout = milliseconds(0), .block_bytes_max = 32 * kKiB});
  for (int block = 0; block < 60; ++block) {
    for (int i = 0; i < 5; ++i) put("key" + std::to_string(block * 5 + i), "x");
    ASSERT_OK(timeline->close_block());
    process->run_jobs();
  }
  ASSERT_OK(timeline->housekeep());
  const TimelineStats before = timeline->stats();
  EXPECT_EQ(before.lines[0].blocks, 60U);
  EXPECT_LE(before.index_files, 4U);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(get("key" + std::to_string(i)), "x");
  const TimelineStats after = timeline->stats();
  EXPECT_LE(after.index_probes - before.index_probes, 300 * 4);
}

TEST_F(OneTimeline, LittleIsClosedAndNothingMergedWhileBlocksEndOneSoonAfterTheOther) {
  open_blocks_max = 100;  // Saves never wait.
  open_blocks_in_burst = 2;
  reopen({.timeout = milliseconds(0), .block_keys_max = 1, .block_bytes_max = 32 * kKiB});
  int keys = 0;
  const auto end_block = [&](std::int64_t ms) {
    put("key" + std::to_string(keys++), "x");  // Which ends the block before.
    process->run_jobs();
    clock.advance_ms(ms);
  };
  for (int i = 0; i < 3; ++i) end_block(100);
  for (std::uint64_t i = 1; i <= 16; ++i) {
    end_block(100);
    EXPECT_EQ(blocks("ended"), 2U);
    EXPECT_EQ(timeline->stats().index_files, i);
  }
  end_block(100);
  EXPECT_LE(timeline->stats().index_files, 2U) << "too many";
  for (int i = 0; i < 10; ++i) end_block(100);
  EXPECT_GE(timeline->stats().index_files, 10U);
  EXPECT_EQ(blocks("ended"), 2U);
  clock.advance_ms(899);
  process->run_jobs();
  EXPECT_EQ(blocks("ended"), 2U) << "too soon";
  clock.advance_ms(1);
  process->run_jobs();
  EXPECT_EQ(blocks("ended"), 0U) << "it has been quiet for a second";
  EXPECT_LE(timeline->stats().index_files, 2U) << "as above";
  for (int i = 0; i < 10; ++i) end_block(100);
  EXPECT_GE(timeline->stats().index_files, 9U);
  ASSERT_OK(timeline->housekeep());
  EXPECT_EQ(blocks("ended"), 0U) << "it was asked for";
  EXPECT_LE(timeline->stats().index_files, 2U) << "likewise";
  for (int i = 0; i < 3; ++i) end_block(100);
  EXPECT_EQ(blocks("ended"), 2U);
  ASSERT_OK(timeline->close_block());
  EXPECT_EQ(blocks("ended"), 0U) << "likewise";
  const MemoryUse much(process->environment().memory, process->environment().memory.bytes_max());
  for (int i = 0; i < 2; ++i) end_block(100);
  EXPECT_EQ(blocks("ended"), 0U) << "its memory is wanted";
}

TEST_F(OneTimeline, WhatExpiresInABurstLeavesAtItsEnd) {
  reopen({.timeout = milliseconds(100), .expired = Expired::kDrop, .block_keys_max = 1, .block_bytes_max = 32 * kKiB});
  put("a", "x");
  put("b", "x");
  clock.advance_ms(200);
  process->run_jobs();  // Which ends: housekeeping and what it wants closed do not ask for each other again and again.
  EXPECT_EQ(get("a"), "(none)");
  EXPECT_EQ(blocks("ended"), 1U);
  clock.advance_ms(800);
  process->run_jobs();
  EXPECT_EQ(blocks("ended"), 0U);
  EXPECT_GE(timeline->stats().blocks_expired, 1U);
}

TEST_F(OneTimeline, NoMoreBlocksAreMappedThanMayBeAndWhatWasReadStays) {
  const auto block = [](int i) { return "of block " + std::to_string(i); };
  const std::size_t files_before = storage::SimulatedStorage(*disk).list()->size();
  std::vector<Pinned> all;
  for (int i = 0; i < 20; ++i) {
    put("key" + std::to_string(i), block(i));
    ASSERT_OK(timeline->close_block());
    EXPECT_LE(process->environment().on_demand.count(), Process::kOnDemandMax) << "a writer has no more mapped, either";
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 20; ++i) {
      const auto hit = timeline->get("key" + std::to_string(i));
      ASSERT_OK(hit);
      ASSERT_TRUE(hit->has_value());
      all.push_back(**hit);
      EXPECT_LE(process->environment().on_demand.count(), Process::kOnDemandMax);
    }
  }
  clock.advance_ms(1001);
  ASSERT_OK(timeline->housekeep());
  EXPECT_EQ(timeline->stats().blocks.size(), 0U);
  EXPECT_EQ(process->environment().on_demand.count(), 0U);
  EXPECT_EQ(get("key0"), "(none)");
  for (int i = 0; i < 40; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].view(), block(i % 20));
  all.clear();
  reopen();
  EXPECT_LE(storage::SimulatedStorage(*disk).list()->size(), files_before + 2) << "all blocks are deleted";
}

TEST_F(OneTimeline, WhatAListHoldsStandsInStatsAndCanBeEnded) {
  for (int i = 0; i < 30; ++i) {
    put("key" + std::to_string(i), std::string(100, 'd'));
    clock.advance_ms(1);
  }
  ASSERT_OK(timeline->close_block());
  put("other", "data");
  const std::uint64_t bytes = timeline->stats().blocks.front().bytes + timeline->stats().blocks.back().bytes;
  std::optional<SaveList> keys = timeline->keys("");
  std::optional<SaveList> history = timeline->history("key29");
  EXPECT_FALSE(timeline->stats().oldest_held.has_value()) << "all of it is of the timeline";
  ASSERT_OK(timeline->close_block());
  clock.advance_ms(10);
  auto held = timeline->stats().oldest_held;
  ASSERT_TRUE(held.has_value());
  EXPECT_EQ(held->bytes, 0U);
  EXPECT_GT(held->memory_bytes, 0U) << "the index of the block that has closed";
  EXPECT_EQ(held->age_ms, 10);
  clock.advance_ms(995);
  ASSERT_OK(timeline->housekeep());
  held = timeline->stats().oldest_held;
  ASSERT_TRUE(held.has_value());
  EXPECT_GT(held->bytes, bytes) << "and both blocks, which have expired, with the index of the first";
  EXPECT_EQ(held->age_ms, 1005);
  keys->next();
  EXPECT_EQ(keys->entry().key, "key1");
  EXPECT_OK(keys->data());
  EXPECT_EQ(timeline->end_held(held->id + 1).error().code, ErrorCode::kNotFound);
  ASSERT_OK(timeline->end_held(held->id));
  EXPECT_EQ(keys->entry().key, "key1") << "what was given stays";
  EXPECT_TRUE(timeline->stats().oldest_held.has_value()) << "as long as they are there";
  keys->next();
  EXPECT_FALSE(keys->valid());
  EXPECT_EQ(keys->status().error().code, ErrorCode::kUnavailable);
  history->next();
  EXPECT_EQ(history->status().error().code, ErrorCode::kUnavailable);
  SaveList later = timeline->keys("");
  EXPECT_OK(later.status());
  keys.reset();
  history.reset();
  EXPECT_FALSE(timeline->stats().oldest_held.has_value());
  EXPECT_EQ(timeline->end_held(held->id).error().code, ErrorCode::kNotFound);
}

TEST_F(OneTimeline, AKeyWithManySavesIsFoundAsOfAnyOfThem) {
  reopen({.timeout = milliseconds(0), .block_bytes_max = kMiB});
  std::vector<Stamp> stamps;
  for (int i = 0; i < 3000; ++i) {
    if (i % 100 == 0) put("before", "x");
    stamps.push_back(put("hot", std::to_string(i)));
    if (i % 70 == 0) put("hou", "y");
  }
  ASSERT_OK(timeline->close_block());
  for (std::size_t i = 0; i < stamps.size(); i += i % 5 + 1) {
    EXPECT_EQ(get_at("hot", stamps[i]), std::to_string(i));
  }
  EXPECT_EQ(get_at("hot", Stamp{stamps[0].value - 1}), "(none)");
}

TEST_F(OneTimeline, AListingReadsNoBlockOutsideItsRange) {
  reopen({.timeout = milliseconds(0), .block_bytes_max = 32 * kKiB});
  const std::int64_t begin_ms = clock.wall_ms();
  for (int block = 0; block < 50; ++block) {
    for (int i = 0; i < 8; ++i) {
      clock.advance_ms(1);
      put("key" + std::to_string(block * 8 + i), "x");
    }
    ASSERT_OK(timeline->close_block());
  }
  ASSERT_OK(timeline->housekeep());
  reopen();
  const auto from = Time(milliseconds(begin_ms + 200));
  const auto to = Time(milliseconds(begin_ms + 204));  // A hundredth of the span, in one or two blocks.
  const auto in_range = [&](const BlockStats& block) { return block.last.time() >= from && block.first.time() < to; };
  std::set<std::string> inside;
  std::set<std::string> blocks;
  for (const BlockStats& block : timeline->stats().blocks) {
    blocks.insert(block.file);
    if (in_range(block)) inside.insert(block.file);
  }
  ASSERT_GE(blocks.size(), 50U);
  std::set<std::string> opened;
  disk->set_hook([&](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
    if (io == storage::Io::kOpen && blocks.contains(name)) opened.insert(name);
    return {};
  });
  const TimelineStats before = timeline->stats();
  SaveList list = timeline->keys("", from, to);
  int listed = 0;
  for (const auto entry : list) {
    EXPECT_OK(list.data());
    EXPECT_TRUE(entry.stamp.time() >= from && entry.stamp.time() < to);
    ++listed;
  }
  disk->set_hook(nullptr);
  ASSERT_OK(list.status());
  EXPECT_EQ(listed, 4);
  EXPECT_EQ(timeline->stats().blocks_touched - before.blocks_touched, 4U) << "each block is touched for its own saves alone";
  EXPECT_FALSE(opened.empty());
  for (const std::string& name : opened) EXPECT_TRUE(inside.contains(name)) << name;
}

TEST_F(OneTimeline, ACycleKeepsTheLastSaveOfEachKeyAndWhatCameSince) {
  reopen({.expired = Expired::kPersist, .block_bytes_max = 32 * kKiB});
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 10; ++i) put("key" + std::to_string(i), std::to_string(round) + std::string(90, 'x'));
  }
  ASSERT_OK(timeline->erase("key0"));
  clock.advance_ms(1000);
  ASSERT_OK(timeline->housekeep());
  const TimelineStats before = timeline->stats();
  ASSERT_EQ(before.lines[0].saves, 0U);
  ASSERT_EQ(before.lines[1].saves, 201U);
  ASSERT_OK(timeline->housekeep(true));
  const TimelineStats after = timeline->stats();
  EXPECT_EQ(after.lines[1].saves, 9U);
  EXPECT_EQ(after.lines[2].blocks, 0U);
  EXPECT_LT(after.lines[1].bytes, before.lines[1].bytes / 10);
  const std::uint64_t live_bytes = after.lines[1].bytes;  // Nothing else is left.
  std::printf("live bytes over stored bytes: %.2f before the cycle, %.2f after\n",
              static_cast<double>(live_bytes) / static_cast<double>(before.lines[1].bytes),
              static_cast<double>(live_bytes) / static_cast<double>(after.lines[1].bytes));
  EXPECT_EQ(get("key0"), "(none)");
  EXPECT_EQ(get("key1"), "19" + std::string(90, 'x'));
}

}  // namespace
}  // namespace cairn::test
