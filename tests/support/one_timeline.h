// A timeline on a simulated disk with a clock that stands still, and short words for what is asked of it.
#pragma once
#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {

using std::chrono::milliseconds;

struct OneTimeline : testing::Test {
  void SetUp() override { open({.timeout = milliseconds(1000), .expired = Expired::kDrop}); }
  void open(const TimelineOptions& options) {
    process = std::make_unique<Process>(*disk, clock);
    process->timeline_tuning.open_blocks_in_burst = open_blocks_in_burst;
    process->timeline_tuning.open_blocks_max = open_blocks_max;
    process->timeline_tuning.block_memory_least = block_memory_least;
    ASSERT_OK(process->open());
    auto opened = process->database().timeline("main", options);
    ASSERT_OK(opened);
    impl = *opened;
    timeline.emplace(impl);
  }
  void reopen(const TimelineOptions& options = {}) {
    ASSERT_OK(process->close());
    end();
    open(options);
  }
  void end() {
    timeline.reset();
    impl.reset();
    process.reset();
  }
  void TearDown() override { end(); }

  Stamp put(const std::string& key, const std::string& data, const SaveOptions& options = {}) {
    const auto stamp = timeline->put(key, data, options);
    EXPECT_OK(stamp);
    return stamp.value_or(Stamp{});
  }
  std::string get(const std::string& key) {
    const auto hit = timeline->get(key);
    EXPECT_OK(hit);
    return hit && *hit ? Bytes((*hit)->view()) : "(none)";
  }
  std::string get_at(const std::string& key, Moment at) {
    const auto hit = timeline->get_at(key, at);
    EXPECT_OK(hit);
    return hit && *hit ? Bytes((*hit)->view()) : "(none)";
  }
  std::string keys(const std::string& prefix, Moment from = kBeginning, Moment to = kEndOfTime, std::uint64_t limit = 0) {
    std::string names;
    SaveList list = timeline->keys(prefix, from, to, limit);
    for (const auto entry : list) names += Bytes(entry.key) + " ";
    EXPECT_OK(list.status());
    return names;
  }
  std::string history(const std::string& key) {
    std::string all;
    SaveList list = timeline->history(key);
    for (const auto entry : list) all += entry.erased ? "- " : Bytes(list.data()->view()) + " ";
    EXPECT_OK(list.status());
    return all;
  }
  std::string watched(Watch& watch) {
    std::string all;
    while (true) {
      const auto event = watch.next(milliseconds(0));
      EXPECT_OK(event);
      if (!event || !*event) return all;
      switch ((*event)->kind) {
        case WatchEvent::Kind::kSaved: all += (*event)->key + "=" + Bytes((*event)->data.view()) + " "; break;
        case WatchEvent::Kind::kErased: all += (*event)->key + "- "; break;
        case WatchEvent::Kind::kErasedAll: all += "-all "; break;
        case WatchEvent::Kind::kRolledBack: all += "back "; break;
        case WatchEvent::Kind::kMissed: all += "missed "; break;
      }
    }
  }
  [[nodiscard]] std::uint64_t blocks(const std::string& state) const {
    const TimelineStats stats = timeline->stats();
    return static_cast<std::uint64_t>(std::ranges::count(stats.blocks, state, &BlockStats::state));
  }

  std::unique_ptr<storage::SimulatedDisk> disk = std::make_unique<storage::SimulatedDisk>(1);
  SimulatedClock clock;
  std::size_t open_blocks_max = 2;
  std::size_t open_blocks_in_burst = 1;
  std::uint64_t block_memory_least = 8 * kMiB;
  std::unique_ptr<Process> process;
  std::shared_ptr<timeline::TimelineImpl> impl;
  std::optional<Timeline> timeline;
};

}  // namespace cairn::test
