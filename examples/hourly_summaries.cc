// Statistics that follow a timeline: readings are saved under reading:SENSOR, and a follower saves a summary of each hour under
// hour:SENSOR back into the same timeline. A rollback takes readings and summaries back together; what the follower had added up
// since is taken from the history again.
#include <cairn/cairn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

const std::string kReadings = "reading:";

cairn::Time hour_of(cairn::Time time) { return std::chrono::floor<hours>(time); }

struct Sum {
  long count = 0;
  long sum = 0;
  [[nodiscard]] std::string text() const { return std::to_string(count) + " readings, " + std::to_string(sum) + " in all"; }
  bool operator==(const Sum&) const = default;
};

class Summaries {
 public:
  explicit Summaries(cairn::Timeline timeline) : timeline_(std::move(timeline)), watch_(timeline_.watch(kReadings)) {}

  /// Takes in what came since the last call.
  cairn::Result<void> catch_up() {
    while (true) {
      CAIRN_TRY(event, watch_.next(milliseconds(0)));
      if (!event) return {};
      if (event->kind == cairn::WatchEvent::Kind::kRolledBack) CAIRN_TRY_VOID(begin_at(event->stamp));
      if (event->kind != cairn::WatchEvent::Kind::kSaved) continue;
      const std::string sensor = event->key.substr(kReadings.size());
      const cairn::Time hour = hour_of(event->stamp.time());
      if (hour != hour_) CAIRN_TRY_VOID(end_hour(event->stamp.time()));
      hour_ = hour;
      add(sums_[sensor], event->data);
    }
  }

 private:
  static void add(Sum& sum, cairn::ByteView data) {
    ++sum.count;
    sum.sum += std::atol(std::string(data).c_str());
  }

  /// Saves the summaries of the hour that is over, unless they are there: after an undo they come back by themselves.
  cairn::Result<void> end_hour(cairn::Time now) {
    cairn::Saves saves;
    for (const auto& [sensor, sum] : sums_) {
      const std::string text = std::to_string(hour_.time_since_epoch().count()) + ": " + sum.text();
      bool is_there = false;
      cairn::SaveList history = timeline_.history("hour:" + sensor, hour_, hour_ + hours(24));
      for (const auto entry : history) {
        (void)entry;
        CAIRN_TRY(data, history.data());
        is_there = is_there || data.view() == text;
      }
      CAIRN_TRY_VOID(history.status());
      if (!is_there) saves.put("hour:" + sensor, text);
    }
    sums_.clear();
    if (saves.empty()) return {};
    cairn::SaveOptions options;
    options.time = now;  // Readings of this example bring their own times; elsewhere it is now.
    CAIRN_TRY_VOID(timeline_.write(saves, options));
    return {};
  }

  /// What was added up of the hour of `stamp`, up to there, from the history; nothing else counts any more.
  cairn::Result<void> begin_at(cairn::Stamp stamp) {
    hour_ = hour_of(stamp.time());
    sums_.clear();
    const cairn::Stamp end{stamp.value + 1};
    cairn::SaveList sensors = timeline_.keys(kReadings, hour_, end);
    for (const auto sensor : sensors) {
      cairn::SaveList history = timeline_.history(sensor.key, hour_, end);
      for (const auto entry : history) {
        (void)entry;
        CAIRN_TRY(data, history.data());
        add(sums_[std::string(sensor.key.substr(kReadings.size()))], data);
      }
      CAIRN_TRY_VOID(history.status());
    }
    return sensors.status();
  }

  cairn::Timeline timeline_;
  cairn::Watch watch_;
  cairn::Time hour_{};
  std::map<std::string, Sum> sums_;  // Of that hour, by sensor.
};

/// What the summaries of `sensor` should say, from all readings that count.
cairn::Result<std::map<std::string, Sum>> recount(const cairn::Timeline& timeline, const std::string& sensor) {
  std::map<cairn::Time, Sum> of_hour;
  cairn::SaveList history = timeline.history(kReadings + sensor);
  for (const auto entry : history) {
    CAIRN_TRY(data, history.data());
    Sum& sum = of_hour[hour_of(entry.stamp.time())];
    ++sum.count;
    sum.sum += std::atol(std::string(data.view()).c_str());
  }
  CAIRN_TRY_VOID(history.status());
  if (!of_hour.empty()) of_hour.erase(std::prev(of_hour.end()));  // The hour that is not over.
  std::map<std::string, Sum> texts;
  for (const auto& [hour, sum] : of_hour) texts[std::to_string(hour.time_since_epoch().count()) + ": " + sum.text()] = sum;
  return texts;
}

cairn::Result<bool> right(const cairn::Timeline& timeline) {
  CAIRN_TRY(expected, recount(timeline, "cellar"));
  std::size_t found = 0;
  cairn::SaveList history = timeline.history("hour:cellar");
  for (const auto entry : history) {
    (void)entry;
    CAIRN_TRY(data, history.data());
    std::printf("  %s\n", std::string(data.view()).c_str());
    if (!expected.contains(std::string(data.view()))) return false;
    ++found;
  }
  CAIRN_TRY_VOID(history.status());
  return found == expected.size();
}

cairn::Result<bool> run(const char* path) {
  CAIRN_TRY(database, cairn::Database::open(path, {.create_if_missing = true}));
  CAIRN_TRY(timeline, database.timeline("measurements"));
  bool good = true;
  {
    Summaries summaries(timeline);
    const cairn::Time begin = hour_of(std::chrono::floor<milliseconds>(std::chrono::system_clock::now())) - hours(8);
    const auto measure = [&](int from_minute, int to_minute, int offset) -> cairn::Result<void> {
      for (int minute = from_minute; minute < to_minute; ++minute) {
        cairn::SaveOptions options;
        options.durability = cairn::Durability::kKernel;
        options.time = begin + minutes(minute);
        CAIRN_TRY_VOID(timeline.put(kReadings + "cellar", std::to_string(minute % 7 + offset), options));
        CAIRN_TRY_VOID(summaries.catch_up());
      }
      return {};
    };
    CAIRN_TRY_VOID(measure(0, 280, 10));
    std::printf("after 280 minutes:\n");
    CAIRN_TRY(first, right(timeline));
    CAIRN_TRY_VOID(timeline.rollback(begin + minutes(150)));
    CAIRN_TRY_VOID(summaries.catch_up());
    CAIRN_TRY_VOID(measure(281, 400, 20));  // No stamp comes twice: what follows a rollback is later than what it took back.
    std::printf("taken back to minute 150, and measured on from 281 to 400:\n");
    CAIRN_TRY(second, right(timeline));
    good = first && second;
  }
  CAIRN_TRY_VOID(database.close());
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const cairn::Result<bool> good = run(argc > 1 ? argv[1] : "summaries.data");
  if (!good) std::fprintf(stderr, "%s\n", good.error().to_string().c_str());
  if (good && !*good) std::fprintf(stderr, "a summary is wrong\n");
  return good && *good ? 0 : 1;
}
