// Who may take a lease, and when.
#include <gtest/gtest.h>

#include "storage/file_lease.h"
#include "support/world.h"

namespace cairn::test {
namespace {

/// A clock whose sleeper lets somebody else act.
class BusyClock final : public Clock {
 public:
  [[nodiscard]] std::int64_t wall_ms() const override { return clock.wall_ms(); }
  [[nodiscard]] std::int64_t boot_ms() const override { return clock.boot_ms(); }
  void sleep_ms(std::int64_t ms) override {
    clock.advance_ms(ms);
    if (meanwhile) meanwhile();
  }
  SimulatedClock clock;
  std::function<void()> meanwhile;
};

struct Elsewhere : testing::Test {
  Elsewhere() {
    there.set_machine({.host = "other", .boot = "other"});
    holder = here.make_lease(holder_clock);
    EXPECT_TRUE(holder->acquire("holder", 9'000).has_value());
  }
  storage::SimulatedDisk disk{1};
  storage::SimulatedStorage here{disk};
  storage::SimulatedStorage there{disk};
  SimulatedClock holder_clock;
  BusyClock clock;
  std::unique_ptr<storage::Lease> holder;
};

TEST_F(Elsewhere, ALeaseThatDoesNotChangeForItsWholeTimeIsTaken) {
  const auto lease = there.make_lease(clock);
  const std::int64_t begin = clock.boot_ms();
  const auto epoch = lease->acquire("opener", 9'000);
  ASSERT_OK(epoch);
  EXPECT_EQ(*epoch, 2U);
  EXPECT_GE(clock.boot_ms() - begin, 9'000);
  EXPECT_EQ(holder->check().error().code, ErrorCode::kLeaseLost) << "by the epoch, though its clock stood still";
}

TEST_F(Elsewhere, ALeaseThatIsRenewedMeanwhileIsBusy) {
  // At every moment of the watch, its very last included.
  for (int renew_at = 0; renew_at < 90; renew_at += 1) {
    int sleeps = 0;
    clock.meanwhile = [&] {
      if (sleeps++ == renew_at) {
        EXPECT_OK(holder->renew());
      }
    };
    const auto epoch = there.make_lease(clock)->acquire("opener", 9'000);
    ASSERT_FALSE(epoch.has_value()) << renew_at;
    EXPECT_EQ(epoch.error().code, ErrorCode::kBusy);
  }
}

TEST_F(Elsewhere, AReleasedLeaseIsFreeAtOnce) {
  holder->release();
  const std::int64_t begin = clock.boot_ms();
  ASSERT_OK(there.make_lease(clock)->acquire("opener", 9'000));
  EXPECT_EQ(clock.boot_ms(), begin);
}

TEST(Lease, ADeadOwnersLeaseIsFreeAtOnceOnItsMachine) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  {
    storage::SimulatedStorage here(disk);
    auto lease = here.make_lease(clock);
    ASSERT_OK(lease->acquire("dying", 9'000));
    const auto next_disk = disk.killed();  // Its lock died with it; the record says nothing of a release.
    storage::SimulatedStorage next(*next_disk);
    const auto epoch = next.make_lease(clock)->acquire("next", 9'000);
    ASSERT_OK(epoch);
    EXPECT_EQ(*epoch, 2U);
  }
}

TEST(Lease, ADamagedRecordOfALivingOwnerIsBusyAndOfADeadOneFree) {
  storage::SimulatedDisk disk(1);
  SimulatedClock clock;
  storage::SimulatedStorage here(disk);
  auto lease = here.make_lease(clock);
  ASSERT_OK(lease->acquire("owner", 9'000));
  disk.flip_bit("lease-1", 100);
  storage::SimulatedStorage there(disk);
  EXPECT_EQ(there.make_lease(clock)->acquire("next", 9'000).error().code, ErrorCode::kBusy);
  const auto next_disk = disk.killed();
  storage::SimulatedStorage next(*next_disk);
  EXPECT_OK(next.make_lease(clock)->acquire("next", 9'000));
}

}  // namespace
}  // namespace cairn::test
