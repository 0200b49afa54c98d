// Manifest, names, liveness, jobs and timers.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "directory/file_name.h"
#include "directory/jobs.h"
#include "directory/liveness.h"
#include "directory/manifest.h"
#include "storage/file_lease.h"
#include "support/example_manifest.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using namespace directory;  // NOLINT(google-build-using-namespace)

std::string with_checksum(std::string text, const std::string& from, const std::string& to) {
  const std::size_t line = text.find("checksum");
  text.erase(line, text.find('\n', line) - line + 1);
  text.replace(text.find(from), from.size(), to);
  char checksum[64];
  std::snprintf(checksum, sizeof checksum, "checksum = \"%016lx\"\n", xxh3(text));
  return checksum + text;
}

TEST(Manifest, IsReadAsItWasWritten) {
  const auto read = decode_manifest(encode_manifest(example_manifest()), "manifest-3-7");
  ASSERT_OK(read);
  EXPECT_EQ(*read, example_manifest());
}

TEST(Manifest, EveryFlippedBitAndEveryCutIsRefused) {
  const std::string text = encode_manifest(example_manifest());
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string damaged = text;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_FALSE(decode_manifest(damaged, "m").has_value()) << bit;
  }
  for (std::size_t size = 0; size < text.size(); ++size) ASSERT_FALSE(decode_manifest(text.substr(0, size), "m").has_value());
}

TEST(Manifest, NamesWhatIsWrongAndWhere) {
  const std::string text = encode_manifest(example_manifest());
  const auto fails = [&](const std::string& from, const std::string& to) {
    const auto read = decode_manifest(with_checksum(text, from, to), "manifest-3-7");
    EXPECT_FALSE(read.has_value());
    return read ? "" : read.error().to_string();
  };
  EXPECT_EQ(fails("end = 4096", "end = -1"),
            "kCorruption: manifest key view[0].log[0].end is not an integer from 0 to 4611686018427387904 (manifest-3-7)");
  EXPECT_EQ(fails("format = 1", "format = 3"), "kUnsupported: manifest format 3 needs a newer Cairn (manifest-3-7)");
  EXPECT_EQ(fails("epoch = 3", "epoch = 3\nfancy = 1"), "kUnsupported: manifest key fancy needs a newer Cairn (manifest-3-7)");
  EXPECT_EQ(fails("4-2-0000abcd.sealed", "../etc/passwd"),
            "kCorruption: manifest key view[0].family[0].run[0].files has what is not the name of a sealed file (manifest-3-7)");
  EXPECT_EQ(fails("state = \"active\"\n",
                  "state = \"active\"\n  durable_end = 1\n\n  [[view.log]]\n  file = \"6-3-0000abcd.segment\"\n  "
                  "state = \"ended\"\n  end = 300\n\n  [[view.log]]\n  file = "
                  "\"7-3-0000abcd.segment\"\n  state = \"active\"\n"),
            "kCorruption: manifest key view[0].log[2].state has ended behind an active one (manifest-3-7)");
  const std::string starts = "kCorruption: manifest key view[0].family[0].run[2].starts ";
  EXPECT_EQ(fails("[\"6d00\"]", "[\"6d00\", \"6e\"]"), starts + "is not one for each file but the first (manifest-3-7)");
  EXPECT_EQ(fails("[\"6d00\"]", "[\"\"]"), starts + "is empty (manifest-3-7)");
  EXPECT_EQ(fails("[\"6d00\"]", "[\"6d0\"]"), starts + "is not hexadecimal (manifest-3-7)");
  EXPECT_EQ(fails("\"2-1-0000abcd.sealed\"]\n    version_first = 10\n    version_last = 12\n    starts = [\"6d00\"]",
                  "\"2-1-0000abcd.sealed\", \"9-1-0000abcd.sealed\"]\n    version_first = 10\n    version_last = 12\n    "
                  "starts = [\"6d00\", \"6d00\"]"),
            starts + "does not ascend (manifest-3-7)");
}

TEST(Manifest, ATimelineIsCheckedBlockByBlock) {
  const std::string text = encode_manifest(example_manifest());
  const auto fails = [&](const std::string& from, const std::string& to) {
    const auto read = decode_manifest(with_checksum(text, from, to), "m");
    EXPECT_FALSE(read.has_value()) << from;
    return read ? "" : read.error().message;
  };
  const std::string at = "manifest key view[1].timeline[0].";
  EXPECT_EQ(fails("stamp_first = 20", "stamp_first = 14"), at + "block does not ascend in stamps");
  EXPECT_EQ(fails("line = \"next\"", "line = \"main\""), at + "block stands behind one of a later line");
  EXPECT_EQ(fails("line = \"next\"", "line = \"side\""), at + "block[0].line is not next, persistent or main");
  EXPECT_EQ(fails("12-3-0000abcf.segment", "11-3-0000abcf.segment"), at + "block is there twice");
  EXPECT_EQ(fails("blocks = [\"12\", \"13\"]", "blocks = [\"12\"]"), at + "block 13 is in no index");
  EXPECT_EQ(fails("blocks = [\"14\"]", "blocks = [\"13\"]"),
            at + "index names a block that is not there, or one of another index");
  EXPECT_EQ(fails("blocks = [\"14\"]", "blocks = [\"x\"]"), at + "index[2].blocks has what is not a number");
  EXPECT_EQ(fails("expired = \"persist\"", "expired = \"keep\""), at + "expired is neither drop nor persist");
  EXPECT_EQ(fails("timeout_ms = 86400000", "timeout_ms = -1"), at + "timeout_ms is not an integer from 0 to 4611686018427387904");
  EXPECT_EQ(fails("undo_until_ms = 0", "undo_until_ms = 0\n    fancy = 1"), at + "rollback[0].fancy needs a newer Cairn");
  EXPECT_EQ(fails("kind = \"timeline\"", "kind = \"table\""), "manifest key view[1].family is missing, or of no table");
  EXPECT_EQ(fails("kind = \"timeline\"", "kind = \"fork\""), "a view of kind 'fork' needs a newer Cairn");
}

TEST(Manifest, TheForksOfAStoreAreATree) {
  const std::string text = encode_manifest(example_manifest());
  const auto fails = [&](const std::string& from, const std::string& to) {
    const auto read = decode_manifest(with_checksum(text, from, to), "m");
    EXPECT_FALSE(read.has_value()) << from;
    return read ? "" : read.error().message;
  };
  const std::string at = "manifest key view[2].forks[0].";
  EXPECT_EQ(fails("number = 4\n    parent = 4", "number = 4\n    parent = 3"), at + "fork has a first that is not the root");
  EXPECT_EQ(fails("number = 6", "number = 4"), at + "fork does not ascend in numbers");
  EXPECT_EQ(fails("number = 9\n    parent = 6", "number = 9\n    parent = 5"),
            at + "fork 9 has a parent that is not above it, not there or not frozen");
  EXPECT_EQ(fails("parent = 4\n    state = \"frozen\"\n    since = 14", "parent = 4\n    state = \"open\"\n    since = 14"),
            at + "fork 9 has a parent that is not above it, not there or not frozen");
  EXPECT_EQ(fails("state = \"open\"", "state = \"ajar\""), at + "fork[2].state is neither open nor frozen");
  EXPECT_EQ(fails("until = 40", "until = 4"), at + "purged[1].until is below `since`");
  EXPECT_EQ(fails("kind = \"forks\"", "kind = \"table\""), "manifest key view[2].family is missing, or of no table");
  EXPECT_EQ(fails("  writer = 1\n", ""), "manifest key view[2].log[2].state has ended behind an active one");
}

TEST(Manifest, ManyForksStandInOneLine) {
  Manifest manifest = example_manifest();
  ForksEntry& forks = *manifest.edit_view(manifest.views[2].number).forks;
  const std::uint64_t root = forks.forks.front().number;
  forks.forks.clear();
  for (std::uint64_t i = 0; i < 200; ++i) {
    forks.forks.push_back(
        {.number = root + 3 * i, .parent = i == 0 ? root : root + 3 * ((i - 1) / 2), .frozen = i < 100, .since = 9 * (200 - i)});
  }
  forks.purged.clear();
  for (std::uint64_t i = 0; i < 90; ++i) forks.purged.push_back({.fork = 1000 - i, .since = i, .until = kForkMost - i});
  const std::string text = encode_manifest(manifest);
  EXPECT_NE(text.find("format = 2\n"), std::string::npos);
  const auto read = decode_manifest(text, "m");
  ASSERT_OK(read);
  EXPECT_EQ(*read, manifest);
  const auto fails = [&](const std::string& from, const std::string& to) {
    const auto damaged = decode_manifest(with_checksum(text, from, to), "m");
    EXPECT_FALSE(damaged.has_value()) << from;
    return damaged ? "" : damaged.error().message;
  };
  const std::string at = "manifest key view[2].forks[0].";
  const std::string first = "tree = \"4 4 1 1800,";
  EXPECT_EQ(fails(first, "tree = \"4 4 2 1800,"), at + "tree has fork 4, which is neither open nor frozen");
  EXPECT_EQ(fails(first, "tree = \"4 4 1,"), at + "tree has a wrong number at character 4");
  EXPECT_EQ(fails(first, "tree = \"4 4 x 1800,"), at + "tree has a wrong number at character 4");
  EXPECT_EQ(fails(first, "tree = \"-4 4 1 1800,"), at + "tree has a wrong number at character 0");
  EXPECT_EQ(fails(first, "tree = \"4 5 1 1800,"), at + "fork has a first that is not the root");
  EXPECT_EQ(fails(first, "tree = \"4 4 1 1800"), at + "tree has a wrong number at character 6");
  EXPECT_EQ(fails("tree = \"", "tree = \"\"\n  other = \""), at + "tree has a wrong number at character 0");
}

TEST(FileNames, AreReadOnlyAsTheyAreWritten) {
  const auto name = FileName::parse("13-7-00009f2c.sealed");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->number, 13U);
  EXPECT_EQ(name->to_string(), "13-7-00009f2c.sealed");
  for (const char* const wrong : {"", "13-7-9f2c.sealed", "013-7-00009f2c.sealed", "13-7-00009f2c.sealed.bak", "13-7.sealed",
                                  "manifest-1-1", "-1-7-00009f2c.sealed"}) {
    EXPECT_FALSE(FileName::parse(wrong).has_value()) << wrong;
  }
  EXPECT_LT(*ManifestName::parse("manifest-9-99"), *ManifestName::parse("manifest-10-1"));
}

TEST(LeaseRecord, EveryFlippedBitIsRefused) {
  const Bytes text = storage::encode_lease({.owner = "o", .host = "h", .boot = "b", .pid = 1, .epoch = 2, .lease_ms = 3});
  EXPECT_EQ(storage::decode_lease(text, "lease-2")->owner, "o");
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    Bytes damaged = text;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_FALSE(storage::decode_lease(damaged, "lease-2").has_value()) << bit;
  }
}

std::vector<bool> live(std::vector<StoredVersion> versions, const Visibility& visibility, bool oldest) {
  return live_versions(versions, visibility, oldest);
}

TEST(Liveness, KeepsWhatSomebodyCanSee) {
  EXPECT_EQ(live({{9}, {5}, {2}}, {.horizon = 10, .pins = {}}, false), (std::vector<bool>{true, false, false}));
  EXPECT_EQ(live({{9}, {5}, {2}}, {.horizon = 10, .pins = {5}}, false), (std::vector<bool>{true, true, false}));
  EXPECT_EQ(live({{9}, {5}, {2}}, {.horizon = 10, .pins = {4, 8}}, false), (std::vector<bool>{true, true, true}));
  EXPECT_EQ(live({{9}, {5}, {2}}, {.horizon = 6, .pins = {}}, false), (std::vector<bool>{true, true, false}))
      << "9 is not visible yet";
}

TEST(Liveness, DropsATombstoneOnlyOverNothing) {
  EXPECT_EQ(live({{9, true}, {5}}, {.horizon = 10, .pins = {}}, true), (std::vector<bool>{false, false}));
  EXPECT_EQ(live({{9, true}, {5}}, {.horizon = 10, .pins = {}}, false), (std::vector<bool>{true, false}));
  EXPECT_EQ(live({{9, true}, {5}}, {.horizon = 10, .pins = {6}}, true), (std::vector<bool>{true, true}));
  EXPECT_EQ(live({{9, true}, {5}}, {.horizon = 7, .pins = {}}, true), (std::vector<bool>{true, true}));
}

TEST(Jobs, RunInOrderWithUrgentOnesFirstAndGiveTheirResult) {
  SimulatedClock clock;
  JobRunner runner(clock, 0);
  std::string order;
  const auto job = [&](char c) {
    return [&order, c](Job&) -> Result<void> {
      order += c;
      return {};
    };
  };
  runner.submit("a", JobRunner::Urgency::kNormal, job('a'));
  runner.submit("b", JobRunner::Urgency::kUrgent, job('b'));
  const auto last = runner.submit("c", JobRunner::Urgency::kNormal,
                                  [](Job&) -> Result<void> { return std::unexpected(Error{ErrorCode::kIo, "no", "", 0}); });
  EXPECT_EQ(runner.list().size(), 3U);
  EXPECT_EQ(runner.wait(last).error().code, ErrorCode::kIo);
  EXPECT_EQ(order, "ba");
  EXPECT_TRUE(runner.list().empty());
}

TEST(Jobs, KeepToTheirRateAndCountTheirBytes) {
  SimulatedClock clock;
  JobRunner runner(clock, 0);
  const auto work = [](Job& running) -> Result<void> {
    for (int i = 0; i < 50; ++i) CAIRN_TRY_VOID(running.progress(1000));
    return {};
  };
  const auto job = runner.submit("slow", JobRunner::Urgency::kNormal, work, 10'000);
  const std::int64_t begin = clock.boot_ms();
  EXPECT_OK(runner.wait(job));
  EXPECT_NEAR(static_cast<double>(clock.boot_ms() - begin), 5000, 200);
  EXPECT_EQ(job->bytes_done(), 50'000U);
}

TEST(Jobs, CanBeCancelledPausedAndResumed) {
  JobRunner runner(system_clock(), 1);
  ASSERT_OK(runner.start_threads());
  std::atomic<int> rounds{0};
  const auto job = runner.submit("endless", JobRunner::Urgency::kNormal, [&](Job& running) -> Result<void> {
    while (true) {
      CAIRN_TRY_VOID(running.progress(1));
      ++rounds;
    }
  });
  while (rounds == 0) system_clock().sleep_ms(1);
  job->pause();
  system_clock().sleep_ms(30);
  const int paused_at = rounds;
  system_clock().sleep_ms(30);
  EXPECT_EQ(rounds, paused_at);
  job->resume();
  while (rounds == paused_at) system_clock().sleep_ms(1);
  job->cancel();
  EXPECT_EQ(runner.wait(job).error().code, ErrorCode::kUnavailable);
}

TEST(Jobs, AnUrgentOneHasAThreadAndANormalOneALowPriority) {
  JobRunner runner(system_clock(), 2);
  ASSERT_OK(runner.start_threads());
  std::atomic<bool> urgent_done{false};
  std::atomic<int> nice_of_normal{0};
  std::atomic<int> nice_of_urgent{0};
  const auto nice_now = [] { return getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())); };
  const auto normal = runner.submit("long", JobRunner::Urgency::kNormal, [&](Job&) -> Result<void> {
    nice_of_normal = nice_now();
    while (!urgent_done) system_clock().sleep_ms(1);
    return {};
  });
  const auto urgent = runner.submit("short", JobRunner::Urgency::kUrgent, [&](Job&) -> Result<void> {
    nice_of_urgent = nice_now();
    urgent_done = true;
    return {};
  });
  EXPECT_OK(runner.wait(urgent));
  EXPECT_OK(runner.wait(normal));
  EXPECT_GT(nice_of_normal, nice_of_urgent);
}

TEST(Jobs, AnUrgentOneDoesNotWaitForAnother) {
  JobRunner runner(system_clock(), 2);
  ASSERT_OK(runner.start_threads());
  std::atomic<bool> second_done{false};
  const auto first = runner.submit("slow", JobRunner::Urgency::kUrgent, [&](Job& running) -> Result<void> {
    while (!second_done) CAIRN_TRY_VOID(running.progress(0));
    return {};
  });
  const auto second = runner.submit("quick", JobRunner::Urgency::kUrgent, [&](Job&) -> Result<void> {
    second_done = true;
    return {};
  });
  EXPECT_TRUE(runner.wait_for(second, 10'000).has_value());
  first->cancel();
  (void)runner.wait(first);
}

TEST(Jobs, GiveWayToUrgentOnesAsLongAsTheyAreWilling) {
  JobRunner runner(system_clock(), 2);
  ASSERT_OK(runner.start_threads());
  std::atomic<bool> willing{true};
  std::atomic<bool> urgent_runs{false};
  std::atomic<bool> urgent_ends{false};
  std::atomic<int> rounds{0};
  const auto normal = runner.submit("normal", JobRunner::Urgency::kNormal, [&](Job& running) -> Result<void> {
    running.give_way_while([&] { return willing.load(); });
    while (true) {
      CAIRN_TRY_VOID(running.progress(1));
      ++rounds;
    }
  });
  const auto goes_on = [&] {
    for (const int before = rounds; rounds == before;) system_clock().sleep_ms(1);
  };
  const auto rests = [&] {
    system_clock().sleep_ms(30);
    const int before = rounds;
    system_clock().sleep_ms(30);
    return rounds == before;
  };
  const auto urgent_one = [&] {
    urgent_runs = urgent_ends = false;
    auto job = runner.submit("urgent", JobRunner::Urgency::kUrgent, [&](Job&) -> Result<void> {
      for (urgent_runs = true; !urgent_ends;) system_clock().sleep_ms(1);
      return {};
    });
    while (!urgent_runs) system_clock().sleep_ms(1);
    return job;
  };
  goes_on();
  const auto first = urgent_one();
  EXPECT_TRUE(rests());
  willing = false;
  goes_on();
  willing = true;
  EXPECT_TRUE(rests()) << "it had not rested for its second";
  goes_on();  // The urgent one may never end.
  urgent_ends = true;
  ASSERT_OK(runner.wait(first));
  goes_on();
  system_clock().sleep_ms(1000);  // For which it does not rest again.
  const auto second = urgent_one();
  EXPECT_TRUE(rests());
  normal->cancel();
  EXPECT_EQ(runner.wait(normal).error().code, ErrorCode::kUnavailable);
  urgent_ends = true;
  ASSERT_OK(runner.wait(second));
}

TEST(Jobs, ShareWorkWithAnIdleThreadAndWaitForNoBusyOne) {
  for (const unsigned threads : {0U, 1U, 2U}) {
    JobRunner runner(system_clock(), threads);
    ASSERT_OK(runner.start_threads());
    for (const std::size_t count : {0U, 1U, 2U, 1000U}) {
      std::vector<std::atomic<int>> times(count);
      std::array<std::atomic<int>, JobRunner::kSharers> by{};
      runner.share("shared", count, [&](std::size_t item, std::size_t worker) {
        ++times[item];
        ++by[worker];
      });
      for (const auto& each : times) EXPECT_EQ(each, 1);
      EXPECT_EQ(by[0] + by[1], static_cast<int>(count));
    }
  }
  JobRunner runner(system_clock(), 1);
  ASSERT_OK(runner.start_threads());
  std::atomic<bool> go_on = false;
  const auto busy = runner.submit("busy", JobRunner::Urgency::kUrgent, [&](Job&) -> Result<void> {
    while (!go_on) system_clock().sleep_ms(1);
    return {};
  });
  int done = 0;
  runner.share("alone", 10, [&](std::size_t, std::size_t worker) { done += worker == 0 ? 1 : 0; });
  EXPECT_EQ(done, 10);
  go_on = true;
  ASSERT_OK(runner.wait(busy));
}

TEST(Ceilings, AreRaisedInTheBackgroundLongBeforeAnybodyNeedsIt) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  directory::Environment environment(clock, false);
  auto made = directory::Directory::create(std::make_unique<storage::SimulatedStorage>(disk), environment, {.owner = "test"});
  ASSERT_OK(made);
  directory::Directory& directory = **made;
  std::uint64_t switches = 0;
  for (int second = 0; second < 600; ++second) {
    clock.advance_ms(1000);
    ASSERT_TRUE(directory.versions_at_hand(1)) << "after " << second << " s a writer would have to raise them";
    ASSERT_TRUE(directory.reserve_versions(1).has_value());
    const std::uint64_t before = directory.manifest().version;
    environment.leases.run_due();
    environment.syncs.run_due();
    switches += directory.manifest().version - before;
  }
  EXPECT_GE(switches, 5U);
  EXPECT_LE(switches, 12U);
  ASSERT_OK(directory.close());
}

TEST(Ceilings, AreTriedAgainASecondAfterTheyCouldNotBeRaised) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  directory::Environment environment(clock, false);
  auto made = directory::Directory::create(std::make_unique<storage::SimulatedStorage>(disk), environment, {.owner = "test"});
  ASSERT_OK(made);
  directory::Directory& directory = **made;
  for (int second = 0; second < 70; ++second) {  // More than half of what they run ahead.
    clock.advance_ms(1000);
    environment.leases.run_due();
  }
  int refused = 0;
  disk.set_hook([&](storage::Io io, const std::string& name, std::uint64_t) -> Result<void> {
    if (io != storage::Io::kPublish || !name.starts_with("manifest-")) return {};
    ++refused;
    return std::unexpected(Error{ErrorCode::kNoSpace, "injected", "", 0});
  });
  for (int i = 0; i < 500; ++i) {
    clock.advance_ms(10);
    ASSERT_TRUE(directory.reserve_versions(1).has_value());
    environment.leases.run_due();
    environment.syncs.run_due();
  }
  EXPECT_GE(refused, 4);
  EXPECT_LE(refused, 6) << "in 5 s";
  disk.set_hook(nullptr);
  clock.advance_ms(1000);
  const std::uint64_t before = directory.manifest().version;
  environment.leases.run_due();
  environment.syncs.run_due();
  EXPECT_EQ(directory.manifest().version, before + 1);
  ASSERT_OK(directory.close());
}

TEST(Ticker, RunsWhatIsDueAndNothingOfACancelledOwner) {
  SimulatedClock clock;
  Ticker ticker(clock, false);
  std::string order;
  int owner = 0;
  int other = 0;
  ticker.after(20, &owner, [&] { order += 'b'; });
  ticker.after(10, &owner, [&] { order += 'a'; });
  ticker.after(30, &other, [&] { order += 'c'; });
  ticker.after(40, &owner, [&] { order += 'd'; });
  clock.advance_ms(25);
  ticker.run_due();
  EXPECT_EQ(order, "ab");
  ticker.cancel(&owner);
  clock.advance_ms(100);
  ticker.run_due();
  EXPECT_EQ(order, "abc");
}

}  // namespace
}  // namespace cairn::test
