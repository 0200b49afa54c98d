#include "base/error.h"
#include "support/one_fork_store.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

struct ForkStoreTest : OneForkStore {};

TEST_F(ForkStoreTest, ANewStoreHasFork0AsItsRoot) {
  ASSERT_EQ(store->list().size(), 1U);
  EXPECT_EQ(store->list()[0].number, 0U);
  EXPECT_EQ(get(0, "ann"), "(none)");
  put(0, "ann", "10");
  EXPECT_EQ(get(0, "ann"), "10");
}

TEST_F(ForkStoreTest, AForkSeesWhatItsAncestorsHoldAndWhatItStoredItself) {
  put(0, "ann", "10");
  put(0, "bob", "20");
  ASSERT_OK(store->create_fork(1, 0));
  ASSERT_OK(store->create_fork(2, 0));
  put(1, "ann", "11");
  put(2, "ann", "12");
  erase(2, "bob");
  EXPECT_EQ(get(0, "ann") + get(1, "ann") + get(2, "ann"), "101112");
  EXPECT_EQ(get(1, "bob"), "20");
  EXPECT_EQ(get(2, "bob"), "(none)");
}

TEST_F(ForkStoreTest, OnASingleLineTheGreatestForkNotAboveCounts) {
  put(0, "ann", "0");
  ASSERT_OK(store->create_fork(5, 0));
  put(5, "ann", "5");
  ASSERT_OK(store->create_fork(9, 5));
  put(9, "ann", "9");
  for (ForkNumber fork = 0; fork < 12; ++fork) {
    const char* const expected = fork >= 9 ? "9" : fork >= 5 ? "5" : "0";
    EXPECT_EQ(get(fork, "ann"), expected) << fork;
  }
  ASSERT_OK(store->create_fork(7, 5));  // It is none any more.
  EXPECT_EQ(get(6, "ann"), "kNotFound");
  ASSERT_OK(store->set_root(9));
  EXPECT_EQ(get(8, "ann"), "kNotFound");
  EXPECT_EQ(get(100, "ann"), "9");
}

TEST_F(ForkStoreTest, ErrorsSayWhatIsWrong) {
  ASSERT_OK(store->create_fork(3, 0));
  EXPECT_EQ(store->create_fork(3, 0).error().message, "there is a fork 3 already");
  EXPECT_EQ(store->create_fork(4, 1).error().message, "there is no fork 1");
  EXPECT_EQ(store->create_fork(2, 3).error().message, "fork 2 has to be above its parent 3");
  EXPECT_EQ(code_of(store->create_fork(~ForkNumber{0}, 0)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(store->purge(0).error().message, "fork 0 is the root, which cannot be purged");
  EXPECT_EQ(code_of(store->freeze(9)), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(store->sync(9)), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(store->set_root(9)), ErrorCode::kNotFound);
  EXPECT_EQ(store->store(0, account_key("ann"), "1").error().message, "fork 0 is frozen; store in a fork below it");
  EXPECT_EQ(code_of(store->store(9, account_key("ann"), "1")), ErrorCode::kNotFound);
  EXPECT_EQ(store->store(3, "ann", "1").error().message, "an account key has 32 bytes; that of update 0 of the batch has 3");
  EXPECT_EQ(store->load(3, "ann").error().message, "an account key has 32 bytes; this one has 3");
  EXPECT_EQ(code_of(store->get_mut(0, account_key("ann"))), ErrorCode::kInvalidArgument);
  const auto nothing = store->get_mut(3, account_key("ann"));
  ASSERT_OK(nothing);
  EXPECT_FALSE(nothing->has_value());
}

TEST_F(ForkStoreTest, PurgeIsAsIfTheForkHadNeverBeen) {
  put(0, "ann", "10");
  ASSERT_OK(store->create_fork(1, 0));
  ASSERT_OK(store->create_fork(2, 1));
  put(2, "ann", "12");
  put(2, "new", "1");
  ASSERT_OK(store->purge(1));
  EXPECT_EQ(get(0, "ann"), "10");
  EXPECT_EQ(get(0, "new"), "(none)");
  EXPECT_EQ(store->stats().accounts, 1U);
  ASSERT_OK(store->create_fork(2, 0));  // Another one of this number.
  EXPECT_EQ(get(2, "new"), "(none)");
  put(2, "new", "2");
  reopen();
  EXPECT_EQ(get(2, "ann") + get(2, "new"), "102");
}

TEST_F(ForkStoreTest, AnOldLogIsEndedIfNothingElseLetsErasesGo) {
  put(0, "ann", "10");  // In a segment that is not full for long.
  Result<ForkWriter> writer = store->writer();
  ASSERT_OK(writer);
  for (int i = 0; i < 1000; ++i) {
    const Bytes key = account_key("account" + std::to_string(i));
    for (const bool erases : {false, true}) {
      const AccountUpdate update{.key = key, .value = "some", .erase = erases};
      ASSERT_OK(writer->store(0, {&update, 1}, {.durability = Durability::kKernel}));
    }
  }
  for (int i = 0; i < 3; ++i) {
    process->run_jobs();
    ASSERT_OK(impl->end_logs());
    ASSERT_OK(impl->collect());
  }
  EXPECT_TRUE(store->stats().job_errors.empty());
  EXPECT_LT(store->stats().segment_bytes, 40 * kKiB);
  EXPECT_EQ(get(0, "ann") + get(0, "account7"), "10(none)");
}

TEST_F(ForkStoreTest, CollectsBeforeItRefusesForWantOfRoom) {
  // Far more slack than the disk has room, as with the defaults on a small disk.
  tuning.slack_bytes = 256 * kMiB;
  reopen();
  disk->set_space_max(200 * kKiB);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 600; ++i)
      put(0, "account" + std::to_string(i % 5), std::to_string(i) + std::string(1000, 'b'), Durability::kKernel);
    EXPECT_EQ(get(0, "account4"), "599" + std::string(1000, 'b'));
    reopen();
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(get(0, "account" + std::to_string(i)), std::to_string(595 + i) + std::string(1000, 'b'));
  // What lives fills the disk: only that is refused.
  Result<WriteVersion> stored;
  for (int i = 0; stored && i < 600; ++i)
    stored = store->store(0, account_key("more" + std::to_string(i)), std::string(1000, 'b'));
  EXPECT_EQ(code_of(stored), ErrorCode::kNoSpace);
  EXPECT_GT(store->stats().live_bytes, 80 * kKiB);
  EXPECT_EQ(get(0, "account4"), "599" + std::string(1000, 'b'));
}

TEST_F(ForkStoreTest, ManyForksTakeLittle) {
  constexpr ForkNumber kForks = 3000;
  put(0, "ann", "0");
  for (ForkNumber i = 1; i <= kForks; ++i) {
    ASSERT_OK(store->create_fork(i, i - 1));
    if (i % 500 == 0) put(i, "ann", std::to_string(i));
  }
  std::uint64_t manifest_bytes = 0;
  for (const auto& [name, size] : disk->file_sizes()) {
    if (name.starts_with("manifest-")) manifest_bytes = std::max(manifest_bytes, size);
  }
  EXPECT_LT(manifest_bytes, kForks * 20);
  for (ForkNumber i = kForks + 1; i <= kForks + 100; ++i) {  // Many purged ones too.
    ASSERT_OK(store->create_fork(i, kForks));
    put(i, "ann", "never");
  }
  for (ForkNumber i = kForks + 1; i <= kForks + 100; ++i) ASSERT_OK(store->purge(i));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(store->list().size(), kForks + 1);
    EXPECT_EQ(get(499, "ann") + get(500, "ann") + get(kForks, "ann"), "05003000");
    EXPECT_EQ(get(kForks + 1, "ann"), "kNotFound");
    reopen();
  }
  ASSERT_OK(store->set_root(kForks - 1));
  EXPECT_EQ(store->list().size(), 2U);
  EXPECT_EQ(get(kForks, "ann"), "3000");
}

TEST_F(ForkStoreTest, SparesCountAgainstTheBound) {
  for (const std::uint64_t slack_segments : {2, 16}) {  // So few that none is recycled, and so many that several are.
    SCOPED_TRACE(slack_segments);
    tuning.slack_bytes = slack_segments * tuning.segment_bytes_max;
    reopen();
    std::uint64_t most = 0;
    for (int i = 0; i < 3000; ++i) {
      put(0, "account" + std::to_string(i % 3), std::string(500, 'b'), Durability::kKernel);
      process->run_jobs();
      std::uint64_t bytes = 0;
      for (const auto& [name, size] : disk->file_sizes()) {
        bytes += name.ends_with(".segment") || name.ends_with(".spare") ? size : 0;
      }
      most = std::max(most, bytes);
    }
    const std::uint64_t live = store->stats().live_bytes;
    EXPECT_LE(most, 2 * live + tuning.slack_bytes + 3 * tuning.segment_bytes_max) << "the table's log, one segment, and its next";
  }
}

TEST_F(ForkStoreTest, APurgedNumberAnswersNothing) {
  put(0, "ann", "root's");
  ASSERT_OK(store->create_fork(5, 0));
  put(5, "ann", "purged");
  ASSERT_OK(store->purge(5));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(get(5, "ann"), "kNotFound");
    EXPECT_EQ(get(3, "ann"), "root's") << "never created";
    EXPECT_EQ(get(7, "ann"), "root's") << "never created";
    EXPECT_EQ(code_of(store->scan(5, [](ByteView, const Pinned&) { return Result<void>{}; })), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(store->diff(0, 5, {})), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(store->state_hash(5)), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(store->load_many(5, {})), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(store->get_mut(5, account_key("ann"))), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(store->freeze(5)), ErrorCode::kNotFound);
    reopen();
  }
  ASSERT_OK(store->create_fork(5, 0));
  EXPECT_EQ(get(5, "ann"), "root's") << "given again";
  ASSERT_OK(store->create_fork(6, 0));
  ASSERT_OK(store->create_fork(8, 0));
  ASSERT_OK(store->set_root(6));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(get(8, "ann"), "kNotFound") << "pruned by the root";
    EXPECT_EQ(get(7, "ann"), "root's");
    EXPECT_EQ(get(5, "ann"), "kNotFound") << "below the root";
    go_on_with(disk->killed());
  }
}

TEST_F(ForkStoreTest, CollectingThatFindsNoRoomIsTriedAgainAndSaysSo) {
  tuning.write_wait_ms_max = 500;
  tuning.collect_by_itself = false;
  reopen();
  put(0, "ann", std::string(3000, 'a'));
  for (int i = 0; i < 30; ++i) put(0, "busy" + std::to_string(i % 2), std::string(2000, 'b'));
  tuning.collect_by_itself = true;
  reopen();
  bool full = false;
  disk->set_hook([&](storage::Io io, const std::string&, std::uint64_t) -> Result<void> {
    if (full && (io == storage::Io::kCreate || io == storage::Io::kRecycle)) return fail(ErrorCode::kNoSpace, "full");
    return {};
  });
  put(0, "late", "in a segment of its own, with which it is seen");
  full = true;
  process->run_jobs();
  ASSERT_FALSE(store->stats().job_errors.empty());
  EXPECT_NE(store->stats().job_errors.front().find("kNoSpace"), std::string::npos) << store->stats().job_errors.front();
  EXPECT_EQ(get(0, "ann"), std::string(3000, 'a'));
  EXPECT_EQ(code_of(store->store(0, account_key("ann"), "late")), ErrorCode::kTimeout) << "there is too much that is stale";
  full = false;
  clock.advance_ms(1000);
  process->run_jobs();
  EXPECT_TRUE(store->stats().job_errors.empty());
  EXPECT_GT(store->stats().segments_reclaimed, 0U);
  EXPECT_EQ(get(0, "ann"), std::string(3000, 'a'));
  disk->set_hook({});
}

TEST_F(ForkStoreTest, AVersionThatIsReplacedWhileItMovesCountsNoMore) {
  put(0, "ann", "10");
  put(0, "bob", "20");
  for (int i = 0; i < 30; ++i) put(0, "busy", std::string(100, 'b'));
  ASSERT_OK(impl->end_logs());
  put(0, "busy", "last");  // In a segment that takes more.
  bool stored = false;
  disk->set_hook([&](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
    if (io != storage::Io::kFinish || stored || !name.ends_with(".segment")) return {};
    stored = true;
    aside([&] { put(0, "ann", "11"); });
    return {};
  });
  ASSERT_OK(impl->collect());
  EXPECT_TRUE(stored);
  EXPECT_EQ(get(0, "ann") + get(0, "bob") + get(0, "busy"), "1120last");
  reopen();
  EXPECT_EQ(get(0, "ann") + get(0, "bob") + get(0, "busy"), "1120last");
}

TEST_F(ForkStoreTest, AfterAPurgeTheStatesOfAllOtherForksAreWhatTheyWere) {
  Random random(3);
  const auto store_some = [&](ForkNumber fork) {
    for (int i = 0; i < 20; ++i) {
      const std::string name = "account" + std::to_string(random.below(40));
      if (random.one_in(4)) {
        erase(fork, name);
      } else {
        put(fork, name, std::to_string(random.next()));
      }
    }
  };
  store_some(0);
  for (ForkNumber fork = 1; fork < 8; ++fork) {
    ASSERT_OK(store->create_fork(fork, fork / 2));
    store_some(fork);
  }
  ASSERT_OK(store->freeze(7));
  std::map<ForkNumber, std::string> before;
  for (const ForkInfo& fork : store->list()) before[fork.number] = store->state_hash(fork.number)->to_string();
  EXPECT_NE(before[6], before[7]);
  for (ForkNumber fork = 8; fork < 12; ++fork) {
    ASSERT_OK(store->create_fork(fork, fork == 8 ? 7 : fork == 9 ? 3 : 8));
    store_some(fork);
    change(fork, "account1", std::string(store->load(fork, account_key("account1"))->value_or(Pinned()).size(), 'c'));
  }
  EXPECT_NE(store->state_hash(8)->to_string(), before[7]);
  ASSERT_OK(store->purge(8));
  ASSERT_OK(store->purge(9));
  ASSERT_EQ(store->list().size(), before.size());
  for (const auto& [fork, hash] : before) EXPECT_EQ(store->state_hash(fork)->to_string(), hash) << fork;
  reopen();
  for (const auto& [fork, hash] : before) EXPECT_EQ(store->state_hash(fork)->to_string(), hash) << fork;
}

TEST_F(ForkStoreTest, WhatWasPurgedStaysSoThoughItsNumberLiesBelowTheRootLater) {
  put(0, "ann", "10");
  ASSERT_OK(store->create_fork(1, 0));
  put(1, "ann", "11");
  put(1, "bob", "21");
  ASSERT_OK(store->create_fork(2, 0));
  ASSERT_OK(store->create_fork(3, 2));
  ASSERT_OK(store->set_root(3));  // 1 is purged, 0 and 2 are part of 3.
  reopen();
  EXPECT_EQ(get(3, "ann"), "10");
  EXPECT_EQ(get(3, "bob"), "(none)");
  EXPECT_EQ(store->stats().purged_remembered, 1U);
  put(3, "ann", "13");
  ASSERT_OK(impl->end_logs());
  ASSERT_OK(impl->collect());
  EXPECT_EQ(store->stats().purged_remembered, 0U) << "no segment has records of it";
  reopen();
  EXPECT_EQ(get(3, "ann") + get(3, "bob"), "13(none)");
}

TEST_F(ForkStoreTest, WhatWasChangedInPlaceIsGoneWithACrashUntilItIsSynced) {
  put(0, "ann", "10");
  ASSERT_OK(store->create_fork(1, 0));
  change(1, "ann", "11");
  EXPECT_EQ(get(0, "ann") + get(1, "ann"), "1011");
  go_on_with(disk->crashed(1));
  EXPECT_EQ(get(1, "ann"), "10");
  change(1, "ann", "12");
  ASSERT_OK(store->sync(1));
  change(1, "ann", "13");
  put(1, "bob", "20");
  EXPECT_EQ(get(1, "ann"), "13");
  go_on_with(disk->crashed(2));
  EXPECT_EQ(get(1, "ann") + get(1, "bob"), "1220") << "as last synced, and what was stored since";
  change(1, "ann", "14");
  change(1, "bob", "24");
  ASSERT_OK(store->freeze(1));
  go_on_with(disk->crashed(3));
  EXPECT_EQ(get(1, "ann") + get(1, "bob"), "1424");
  EXPECT_EQ(get(0, "ann"), "10");
  EXPECT_EQ(store->stats().open_bytes, 0U);
}

TEST_F(ForkStoreTest, AnAccountThatIsBeingChangedIsLeftAlone) {
  put(0, "ann", "10");
  ASSERT_OK(store->create_fork(1, 0));
  ASSERT_OK(store->create_fork(2, 0));
  {
    auto account = store->get_mut(1, account_key("ann"));
    ASSERT_OK(account);
    EXPECT_EQ(code_of(store->get_mut(1, account_key("ann"))), ErrorCode::kConflict);
    EXPECT_OK(store->get_mut(2, account_key("ann")));
    EXPECT_EQ(code_of(store->sync(1)), ErrorCode::kConflict);
    EXPECT_EQ(code_of(store->freeze(1)), ErrorCode::kConflict);
    EXPECT_EQ(code_of(store->create_fork(3, 1)), ErrorCode::kConflict);
    EXPECT_EQ(code_of(store->purge(1)), ErrorCode::kConflict);
    EXPECT_EQ(code_of(store->set_root(2)), ErrorCode::kConflict);
    (*account)->bytes()[1] = '9';
  }
  EXPECT_EQ(get(1, "ann"), "19");
  ASSERT_OK(store->set_root(2));
  EXPECT_EQ(get(2, "ann"), "10");
  EXPECT_EQ(store->stats().open_bytes, 0U);
}

TEST_F(ForkStoreTest, WhatIsChangedInPlaceTakesNoMoreMemoryThanItMay) {
  tuning.open_bytes_max = 200 * kKiB;
  reopen();
  for (int i = 0; i < 5; ++i) put(0, "large" + std::to_string(i), std::string(60'000, 'x'));
  std::size_t changed = 0;
  Result<std::optional<MutableAccount>> last = std::nullopt;
  while ((last = store->get_mut(0, account_key("large" + std::to_string(changed))))) {
    (*last)->bytes()[0] = 'y';
    last = std::nullopt;
    ASSERT_LT(++changed, 5U);
  }
  EXPECT_EQ(code_of(last), ErrorCode::kNoSpace);
  EXPECT_GE(changed, 2U);
  ASSERT_OK(store->sync(0));
  change(0, "large4", std::string(60'000, 'z'));
  for (std::size_t i = 0; i < changed; ++i) EXPECT_EQ(get(0, "large" + std::to_string(i))[0], 'y');
}

TEST_F(ForkStoreTest, WhatACrashLeavesOfAChangedAccountIsCollectedWithIt) {
  ASSERT_OK(store->create_fork(1, 0));
  put(1, "ann", "10");
  for (int i = 0; i < 200; ++i) put(1, "busy", std::to_string(i));
  ASSERT_OK(impl->end_logs());
  change(1, "ann", "11");
  ASSERT_OK(impl->collect());
  EXPECT_EQ(get(1, "ann"), "11");
  change(1, "ann", "12");
  go_on_with(disk->crashed(1));
  EXPECT_EQ(get(1, "ann") + get(1, "busy"), "10199");
}

TEST_F(ForkStoreTest, NothingIsCollectedForAVersionThatAPowerCutTakes) {
  put(0, "ann", "10");
  ASSERT_OK(impl->end_logs());
  put(0, "ann", "11", Durability::kKernel);
  ASSERT_OK(impl->collect());
  EXPECT_EQ(store->stats().segments, 1U);
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    const auto next = disk->crashed(seed);
    Process second(*next, clock);
    clock.advance_ms(20'000);
    ASSERT_OK(second.open());
    const auto hit = (*second.database().forks("main", {}))->load(0, account_key("ann"));
    ASSERT_OK(hit);
    EXPECT_TRUE(hit->has_value()) << seed;
  }
}

TEST_F(ForkStoreTest, ABatchIsStoredWholeOrNotAtAll) {
  const Bytes ann = account_key("ann");
  const Bytes bob = account_key("bob");
  const std::vector<AccountUpdate> batch = {{.key = ann, .value = "1"}, {.key = bob, .value = "2"}, {.key = ann, .value = "3"}};
  ASSERT_OK(store->store(0, batch));
  EXPECT_EQ(get(0, "ann") + get(0, "bob"), "32");
  EXPECT_EQ(code_of(store->store(0, std::vector<AccountUpdate>{{.key = ann, .value = "7"}, {.key = "bob", .value = "8"}})),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(get(0, "ann"), "3");
  reopen();
  EXPECT_EQ(get(0, "ann") + get(0, "bob"), "32");
}

TEST_F(ForkStoreTest, WritersHaveLogsOfTheirOwnAndLaterOnesTakeThemOver) {
  {
    auto one = store->writer();
    auto two = store->writer();
    ASSERT_OK(one);
    ASSERT_OK(two);
    const Bytes ann = account_key("ann");
    const Bytes bob = account_key("bob");
    ASSERT_OK(one->store(0, std::vector<AccountUpdate>{{.key = ann, .value = "1"}}));
    ASSERT_OK(two->store(0, std::vector<AccountUpdate>{{.key = bob, .value = "2"}}));
    ASSERT_OK(two->store(0, std::vector<AccountUpdate>{{.key = ann, .value = "3"}}));
    EXPECT_EQ(store->stats().segments, 2U);
  }
  go_on_with(disk->crashed(1));
  EXPECT_EQ(get(0, "ann") + get(0, "bob"), "32");
  std::vector<ForkWriter> many;
  for (int i = 1; i < 64; ++i) many.push_back(*store->writer());
  EXPECT_EQ(code_of(store->writer()), ErrorCode::kUnavailable);
  many.pop_back();
  EXPECT_OK(store->writer());
}

TEST_F(ForkStoreTest, StaleVersionsTakeAtMostAsMuchAsLiveOnesAndSomeSegments) {
  std::map<std::string, std::string> model;
  Random random(1);
  for (int i = 0; i < 4000; ++i) {
    const std::string name = "account" + std::to_string(random.below(random.one_in(2) ? 10 : 100));
    model[name] = std::to_string(i) + std::string(random.below(100), 'x');
    put(0, name, model[name], Durability::kKernel);
    process->run_jobs();
    const ForkStoreStats stats = store->stats();
    ASSERT_LT(stats.segment_bytes, 2 * stats.live_bytes + tuning.slack_bytes + 4 * tuning.segment_bytes_max) << i;
  }
  EXPECT_GT(store->stats().segments_reclaimed, 10U);
  for (const auto& [name, value] : model) EXPECT_EQ(get(0, name), value);
  EXPECT_TRUE(store->stats().job_errors.empty());
  reopen();
  for (const auto& [name, value] : model) EXPECT_EQ(get(0, name), value);
}

TEST_F(ForkStoreTest, ErasesAreForgottenWhenNothingOlderIsLeft) {
  for (int round = 0; round < 30; ++round) {
    for (int i = 0; i < 40; ++i) put(0, "account" + std::to_string(round * 40 + i), "some value", Durability::kKernel);
    for (int i = 0; i < 40; ++i) erase(0, "account" + std::to_string(round * 40 + i));
    process->run_jobs();
  }
  ASSERT_OK(impl->end_logs());
  ASSERT_OK(impl->collect());
  ASSERT_OK(impl->collect());
  EXPECT_EQ(store->stats().accounts, 0U);
  EXPECT_EQ(store->stats().segments, 0U);
  reopen();
  EXPECT_EQ(get(0, "account7"), "(none)");
}

TEST_F(ForkStoreTest, ASealedIndexSparesTheSegmentsUnlessItIsDamaged) {
  for (int i = 0; i < 60; ++i) put(0, "account" + std::to_string(i), std::string(static_cast<std::size_t>(i * 9), 'x'));
  ASSERT_OK(store->create_fork(1, 0));
  ASSERT_OK(store->create_fork(2, 0));
  put(1, "account1", "one");
  put(2, "account2", "two");
  ASSERT_OK(impl->seal_index());
  put(1, "account1", "later");
  put(1, "new", "newer");
  ASSERT_OK(store->purge(2));
  const auto expect_all = [&] {
    EXPECT_EQ(get(1, "account1") + get(1, "new") + get(0, "account1"), "laternewer" + std::string(9, 'x'));
    EXPECT_EQ(get(1, "account2"), std::string(18, 'x'));
    EXPECT_EQ(store->list().size(), 2U);
    EXPECT_EQ(store->stats().accounts, 61U);
  };
  std::string index;
  for (const auto& [name, size] : disk->file_sizes()) {
    if (name.ends_with(".sealed")) index = name;
  }
  auto killed = disk->killed();
  auto damaged = killed->killed();
  std::set<std::string> opened;
  end();
  disk = killed->killed();
  clock.advance_ms(20'000);
  std::uint64_t sealed_segments = 0;
  disk->set_hook([&](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
    if (io == storage::Io::kOpen && name.ends_with(".segment")) ++sealed_segments;
    return {};
  });
  open();
  EXPECT_GT(sealed_segments, 4U);
  expect_all();
  EXPECT_TRUE(store->stats().open_reports.empty());
  // What nobody has read since is verified when it is read.
  const auto flip_in_segment = [&](storage::SimulatedDisk& of) {
    for (const auto& [name, size] : of.file_sizes()) {
      const Bytes bytes = of.contents(name);
      const std::size_t at = bytes.find(account_key("account7"));
      if (!name.ends_with(".segment") || at == Bytes::npos) continue;
      of.flip_bit(name, (at + kAccountKeyBytes + 5) * 8);
      return name;
    }
    return std::string();
  };
  end();
  disk = killed->killed();
  const std::string segment = flip_in_segment(*disk);
  open();
  const auto read = store->load(1, account_key("account7"));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, ErrorCode::kCorruption);
  EXPECT_EQ(read.error().file, segment);
  EXPECT_EQ(get(1, "account8"), std::string(72, 'x'));
  end();
  // An index that is damaged is passed over, and says so.
  for (std::uint64_t byte = 0; byte < damaged->file_sizes()[index]; byte += 997) {
    disk = damaged->killed();
    disk->flip_bit(index, byte * 8 + 3);
    open();
    expect_all();
    if (testing::Test::HasFailure()) return;
    const std::vector<std::string> reports = store->stats().open_reports;
    EXPECT_TRUE(reports.empty() || reports.front().find(index) != std::string::npos);
    end();
  }
}

TEST_F(ForkStoreTest, ARootThatIsSetWhileTheIndexIsSealedLosesNoAccount) {
  constexpr int kMany = 20'000;
  tuning.segment_bytes_first = tuning.segment_bytes_max = 4 * kMiB;
  reopen();
  const auto store_all = [&](ForkNumber fork, int from, const std::string& value) {
    std::vector<Bytes> keys;
    std::vector<AccountUpdate> batch;
    for (int i = from; i < kMany; i += 2) keys.push_back(account_key("account" + std::to_string(i)));
    for (const Bytes& key : keys) batch.push_back({.key = key, .value = value});
    ASSERT_OK(store->store(fork, batch));
  };
  store_all(0, 0, "zero");
  ASSERT_OK(store->create_fork(1, 0));
  store_all(1, 1, "one");
  const auto before = disk->killed();
  std::uint64_t writes = 0;
  for (std::uint64_t at = 0; at <= writes; ++at) {
    SCOPED_TRACE("root set at write " + std::to_string(at));
    go_on_with(before->killed());
    writes = 0;
    bool setting = false;
    disk->set_hook([&](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
      if (setting || io != storage::Io::kWrite || !name.ends_with(".sealed")) return {};
      setting = writes++ == at;
      return setting ? store->set_root(1) : Result<void>();
    });
    ASSERT_OK(impl->seal_index());
    disk->set_hook({});
    if (!setting) break;
    go_on_with(disk->killed());
    EXPECT_EQ(store->stats().accounts, static_cast<std::uint64_t>(kMany));
    EXPECT_EQ(get(1, "account0") + get(1, "account1"), "zeroone");
    std::uint64_t seen = 0;
    ASSERT_OK(store->scan(1, [&](ByteView, const Pinned&) {
      ++seen;
      return Result<void>();
    }));
    ASSERT_EQ(seen, static_cast<std::uint64_t>(kMany));
  }
  EXPECT_GT(writes, 2U) << "nothing was in the middle";
}

TEST_F(ForkStoreTest, VerifyAndCheckpointsHoldWhatIsStored) {
  put(0, "ann", "10");
  ASSERT_OK(store->create_fork(1, 0));
  put(1, "ann", "11");
  const auto report = process->database().verify({});
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty());
  storage::SimulatedDisk other(2);
  ASSERT_OK(process->database().checkpoint(std::make_unique<storage::SimulatedStorage>(other), {}));
  put(1, "ann", "12");
  ASSERT_OK(store->purge(1));
  Process second(other, clock);
  ASSERT_OK(second.open());
  const auto copy = second.database().forks("main", {.create_if_missing = false});
  ASSERT_OK(copy);
  const auto hit = (*copy)->load(1, account_key("ann"));
  ASSERT_OK(hit);
  EXPECT_EQ((*hit)->view(), "11");
  EXPECT_EQ(code_of(second.database().forks("other", {.create_if_missing = false})), ErrorCode::kNotFound);
}

TEST_F(ForkStoreTest, RepairKeepsWhatTheForksSee) {
  put(0, "ann", "10");
  put(0, "bob", "20");
  put(0, "cat", "30");
  ASSERT_OK(store->create_fork(1, 0));
  ASSERT_OK(store->create_fork(2, 0));
  ASSERT_OK(store->create_fork(3, 2));
  put(1, "ann", "11");
  put(3, "ann", "13");
  erase(3, "bob");
  ASSERT_OK(store->create_fork(4, 2));
  put(4, "cat", "34");
  ASSERT_OK(store->purge(4));
  const auto killed = disk->killed();
  const auto repaired = [&](bool with_manifest) {
    if (!with_manifest) {
      for (const auto& [name, size] : killed->file_sizes()) {
        if (name.starts_with("manifest-")) killed->erase(name);
      }
    }
    auto target = std::make_unique<storage::SimulatedDisk>(5);
    storage::SimulatedStorage source(*killed);
    directory::Environment environment(clock, false);
    const auto report =
        database::DatabaseImpl::repair(source, std::make_unique<storage::SimulatedStorage>(*target), environment, {});
    EXPECT_OK(report);
    EXPECT_EQ(report->fork_stores, 1U);
    EXPECT_EQ(report->lost.empty(), with_manifest);
    return target;
  };
  end();
  clock.advance_ms(20'000);  // The lease of who was killed.
  disk = repaired(true);
  open();
  EXPECT_EQ(store->list().size(), 4U);
  EXPECT_EQ(get(1, "ann") + get(2, "ann") + get(3, "ann"), "111013");
  EXPECT_EQ(get(1, "bob") + get(3, "bob") + get(3, "cat"), "20(none)30");
  end();
  disk = repaired(false);
  process = std::make_unique<Process>(*disk, clock);
  ASSERT_OK(process->open());
  const std::vector<std::string> names = process->database().names("forks");
  ASSERT_EQ(names, std::vector<std::string>{"main"});
  impl = *process->database().forks("main", {});
  store.emplace(impl);
  EXPECT_EQ(get(0, "ann") + get(0, "bob") + get(0, "cat"), "13(none)34") << "which forks there were is not known";
}

TEST_F(ForkStoreTest, AfterItWasClosedNothingIsStoredAndReadsGoOn) {
  put(0, "ann", "10");
  ASSERT_OK(process->close());
  EXPECT_EQ(code_of(store->store(0, account_key("ann"), "11")), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of(store->create_fork(1, 0)), ErrorCode::kUnavailable);
  EXPECT_EQ(code_of(store->get_mut(0, account_key("ann"))), ErrorCode::kUnavailable);
  EXPECT_EQ(get(0, "ann"), "10");
}

}  // namespace
}  // namespace cairn::test
