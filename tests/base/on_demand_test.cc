#include "base/on_demand.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace cairn {
namespace {

/// Counts how many of it there are.
struct Counted {
  explicit Counted(int the_value) : value(the_value) { ++alive; }
  ~Counted() {
    value = -1;
    --alive;
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  int value;
  static inline std::atomic<int> alive{0};
};

std::shared_ptr<const Counted> ask(OnDemand<Counted>& place, OnDemandLimit& limit, int value) {
  if (auto there = place.get()) return there;
  auto made = place.put(std::make_shared<const Counted>(value));
  limit.trim();
  return made;
}

TEST(OnDemand, WhatWasNotAskedForLatelyGoesFirst) {
  OnDemandLimit limit(3);
  {
    std::vector<std::unique_ptr<OnDemand<Counted>>> places;
    for (int i = 0; i < 5; ++i) places.push_back(std::make_unique<OnDemand<Counted>>(limit));
    for (int i = 0; i < 4; ++i) ask(*places[i], limit, i);
    EXPECT_EQ(limit.count(), 3U);
    EXPECT_EQ(places[0]->get(), nullptr) << "nobody asked for it since";
    EXPECT_NE(places[1]->get(), nullptr);
    EXPECT_NE(places[3]->get(), nullptr);
    ask(*places[4], limit, 4);
    EXPECT_EQ(places[2]->get(), nullptr) << "the only one that was not asked for";
    for (const int i : {1, 3, 4}) EXPECT_NE(places[i]->get(), nullptr) << i;
    const auto kept = places[1]->get();
    places.erase(places.begin() + 1);
    EXPECT_EQ(limit.count(), 2U);
    EXPECT_EQ(kept->value, 1) << "as long as somebody has it";
    EXPECT_EQ(Counted::alive, 3);
  }
  EXPECT_EQ(limit.count(), 0U);
  EXPECT_EQ(Counted::alive, 0);
}

TEST(OnDemand, OfSeveralThatMakeItOneWins) {
  OnDemandLimit limit(3);
  OnDemand<Counted> place(limit);
  const auto first = place.put(std::make_shared<const Counted>(1));
  const auto second = place.put(std::make_shared<const Counted>(2));
  EXPECT_EQ(second, first);
  EXPECT_EQ(place.get(), first);
  EXPECT_EQ(limit.count(), 1U);
}

TEST(OnDemand, ThreadsAskForMoreThanMayBeThere) {
  constexpr int kPlaces = 16;
  OnDemandLimit limit(4);
  {
    std::vector<std::unique_ptr<OnDemand<Counted>>> places;
    for (int i = 0; i < kPlaces; ++i) places.push_back(std::make_unique<OnDemand<Counted>>(limit));
    std::vector<std::jthread> threads;
    std::atomic<int> wrong{0};
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 5000; ++i) {
          const int at = (i * (t + 1)) % kPlaces;
          const auto there = ask(*places[static_cast<std::size_t>(at)], limit, at);
          if (there->value != at) ++wrong;
        }
      });
    }
    threads.clear();
    EXPECT_EQ(wrong, 0);
    EXPECT_LE(limit.count(), 4U);
    EXPECT_LE(Counted::alive, 4);
  }
  EXPECT_EQ(Counted::alive, 0);
}

}  // namespace
}  // namespace cairn
