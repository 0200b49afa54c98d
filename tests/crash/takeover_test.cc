// An owner that stops for longer than its lease is taken over; when it goes on it publishes nothing and acknowledges no
// write that the new owner does not have. The takeover happens inside one of the old owner's I/Os, at each in turn.
#include <gtest/gtest.h>

#include "support/workload.h"

namespace cairn::test {
namespace {

/// `clock_stalls`: the old owner does not see the time that passed, so that only the epoch can stop it; its writes are
/// kDisk then, since a kKernel write is acknowledged by the clock alone.
void run_round(std::uint64_t round, bool clock_stalls) {
  SCOPED_TRACE("round " + std::to_string(round));
  storage::SimulatedDisk disk(round);
  SimulatedClock old_clock;
  SimulatedClock new_clock;
  Written written;
  std::unique_ptr<Process> successor;
  std::optional<std::size_t> inherited;  // How many of the writes the new owner has.
  std::uint64_t countdown = ~std::uint64_t{0};

  const auto take_over = [&] {
    countdown = ~std::uint64_t{0};
    aside([&] {
      new_clock.advance_ms(11'000);
      if (!clock_stalls) old_clock.advance_ms(11'000);
      successor = std::make_unique<Process>(disk, new_clock);
      ASSERT_OK(successor->open(database::DatabaseImpl::Mode::kOpen));
      const Result<Model> found = scan_all(successor->table());
      ASSERT_OK(found);
      inherited = written.match(*found, 0, written.writes.size());
      ASSERT_TRUE(inherited.has_value());
      ASSERT_OK(successor->table().put("successor", "writes", {}));
    });
  };
  disk.set_hook([&](storage::Io, const std::string&, std::uint64_t) -> Result<void> {
    if (countdown != ~std::uint64_t{0} && countdown-- == 0) take_over();
    return {};
  });

  Process owner(disk, old_clock);
  ASSERT_OK(owner.open());
  std::size_t acknowledged = 0;
  for (int i = 0; i < 60; ++i) {
    if (i == 20) countdown = round % 37;
    if (i == 40 && !successor) take_over();
    const bool durable = clock_stalls || i % 3 != 0;
    const bool before = !successor;
    const Result<void> done = scripted_write(owner.table(), written, i, durable ? Durability::kDisk : Durability::kKernel);
    if (done) {
      acknowledged = written.writes.size();
    } else {
      ASSERT_TRUE(successor != nullptr) << describe(done);
      ASSERT_EQ(done.error().code, ErrorCode::kLeaseLost) << describe(done);
    }
    // A write begun after the takeover is never acknowledged.
    ASSERT_TRUE(before || !done.has_value());
    if (i % 7 == 6) (void)owner.table().flush();
  }
  ASSERT_TRUE(inherited.has_value());
  EXPECT_LE(acknowledged, *inherited) << "a write was acknowledged that the new owner does not have";
  const Result<Model> still = scan_all(owner.table());
  ASSERT_OK(still);
  EXPECT_TRUE(written.match(*still, acknowledged, written.writes.size()).has_value()) << "reads of the old owner go on";
  (void)owner.close();

  Model expected = written.after(*inherited);
  expected["successor"] = "writes";
  const auto next_disk = disk.killed();
  SimulatedClock third_clock;
  Process third(*next_disk, third_clock);
  ASSERT_OK(third.open(database::DatabaseImpl::Mode::kOpen));
  const Result<Model> found = scan_all(third.table());
  ASSERT_OK(found);
  EXPECT_EQ(*found, expected) << "the old owner changed what the new one serves";
}

TEST(Takeover, AnOwnerThatSleptPublishesAndAcknowledgesNothing) {
  for (std::uint64_t round = 0; round < 100; ++round) {
    run_round(round, false);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Takeover, TheEpochAloneStopsAnOwnerWhoseClockStoodStill) {
  for (std::uint64_t round = 0; round < 100; ++round) {
    run_round(round, true);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(Takeover, ASecondOpenerIsToldWhoOwnsTheDirectory) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process first(disk, clock);
  ASSERT_OK(first.open());
  Process second(disk, clock);

  const Result<void> opened = second.open(database::DatabaseImpl::Mode::kOpen);

  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kBusy);
  EXPECT_NE(opened.error().message.find("held by test"), std::string::npos) << opened.error().message;
  EXPECT_NE(opened.error().message.find("taken 10 s after that process ends"), std::string::npos) << opened.error().message;
}

TEST(Takeover, RenewalKeepsTheLeaseAndAnOwnerThatCannotRenewStopsInTime) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  bool stuck = false;
  disk.set_hook([&](storage::Io io, const std::string&, std::uint64_t) -> Result<void> {
    if (stuck && io == storage::Io::kRewrite) return std::unexpected(Error{ErrorCode::kIo, "no answer", "", 0});
    return {};
  });
  Process process(disk, clock);
  ASSERT_OK(process.open());
  for (int i = 0; i < 10; ++i) {
    clock.advance_ms(4'000);
    process.environment().leases.run_due();
    ASSERT_OK(process.table().put("key", "value", {}));
  }
  stuck = true;
  for (int i = 0; i < 3; ++i) {
    clock.advance_ms(3'300);
    process.environment().leases.run_due();
  }
  ASSERT_OK(process.table().put("key", "value", {.durability = Durability::kKernel}));
  clock.advance_ms(200);
  const std::int64_t begin_ms = clock.boot_ms();
  const auto late = process.table().put("key", "late", {.durability = Durability::kKernel});
  ASSERT_FALSE(late.has_value());
  EXPECT_EQ(late.error().code, ErrorCode::kUnavailable) << late.error().to_string();
  EXPECT_LE(clock.boot_ms() - begin_ms, 10'200) << "it waits for one lease time at most";
  const auto refused = process.table().put("key", "refused", {.durability = Durability::kKernel});
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ((*process.table().get("key"))->view(), "late") << "the second was refused before it was applied";
  stuck = false;
  ASSERT_OK(process.table().put("key", "renewed", {.durability = Durability::kDisk}));
}

TEST(Takeover, AnOwnerStoppedLongerThanItsLeaseGoesOn) {
  for (const std::int64_t stopped_ms : {10'000, 11'000, 3'600'000, 7 * 86'400'000}) {
    storage::SimulatedDisk disk(1);
    SimulatedClock clock;
    Process process(disk, clock);
    ASSERT_OK(process.open());
    ASSERT_OK(process.table().put("key", "before", {}));
    clock.advance_ms(stopped_ms);
    ASSERT_OK(process.table().put("kernel", "after", {.durability = Durability::kKernel}));
    clock.advance_ms(stopped_ms);
    ASSERT_OK(process.table().put("disk", "after", {.durability = Durability::kDisk}));
    clock.advance_ms(stopped_ms);
    ASSERT_OK(process.database().timeline("line", {}));
    clock.advance_ms(stopped_ms);
    ASSERT_OK(process.table().flush());
    clock.advance_ms(stopped_ms);
    ASSERT_OK(process.close());
  }
}

TEST(Takeover, ADeletedLeaseIsNotCalledATakeover) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  Process process(disk, clock);
  ASSERT_OK(process.open());
  disk.erase("lease-1");
  const auto refused = process.table().put("key", "value", {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kReadOnly);
  EXPECT_NE(refused.error().message.find("lease-1 was deleted"), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace cairn::test
