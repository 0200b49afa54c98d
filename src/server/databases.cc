#include "server/databases.h"

#include <algorithm>
#include <bitset>
#include <sstream>

#include "base/error.h"

namespace cairn::server {
namespace {

constexpr const char* kOrderKey = "order";

/// The small options of a table of one record.
TableOptions order_options(bool create) {
  TableOptions options;
  options.create_if_missing = create;
  options.memtable_bytes_max = kMiB;
  return options;
}

}  // namespace

TimelineOptions history_options(const Config& config, int number, bool made) {
  const auto at = static_cast<std::size_t>(number);
  TimelineOptions options;
  options.timeout = config.timeline_timeout.values[at];
  options.expired = config.timeline_policy.values[at];
  if (made && !options.timeout) options.timeout = kDefaultTimeout;
  // A timeout alone must not end keys: a timeline that the library made has the policy drop.
  if (options.timeout && !options.expired) options.expired = Expired::kPersist;
  // What a rollback cuts off takes room no longer than any other history.
  constexpr std::chrono::milliseconds kUndoMost = std::chrono::days(1);
  if (options.timeout && options.timeout->count() != 0) options.undo_time = std::min(*options.timeout, kUndoMost);
  return options;
}

Result<std::unique_ptr<Databases>> Databases::open(Database& database, const Config& config) {
  std::unique_ptr<Databases> databases(new Databases(database, config));
  CAIRN_TRY_VOID(databases->load_order());
  const std::vector<std::string> names = database.timelines();
  for (std::size_t timeline = 0; timeline < kDatabases; ++timeline) {
    const bool there = std::ranges::find(names, name_of(timeline)) != names.end();
    if (timeline == 0 || there) CAIRN_TRY_VOID(databases->get(timeline));
  }
  return databases;
}

/// The value is the timelines of the databases 0 to 15, as 16 numbers with a space between them.
Result<void> Databases::load_order() {
  const std::vector<std::string> tables = database_.tables();
  if (std::ranges::find(tables, kOrderTable) == tables.end()) return {};
  CAIRN_TRY(table, database_.table(kOrderTable, order_options(false)));
  CAIRN_TRY(value, table.get(kOrderKey));
  if (!value) return {};  // The first SWAPDB made the table and was cut off.
  std::istringstream words{std::string(value->view())};
  std::uint64_t order = 0;
  std::bitset<kDatabases> seen;
  unsigned timeline = 0;
  for (int number = 0; number < kDatabases && words >> timeline && timeline < kDatabases; ++number) {
    order |= std::uint64_t{timeline} << (kBits * static_cast<std::uint64_t>(number));
    seen.set(timeline);
  }
  if (!seen.all() || !(words >> std::ws).eof()) {
    return fail(ErrorCode::kCorruption, "the value of '" + std::string(kOrderKey) + "' in table '" + kOrderTable + "' is '" +
                                            std::string(value->view()) +
                                            "', not the numbers 0 to 15 in some order: put the right order there, or erase the "
                                            "key if SWAPDB was never used");
  }
  order_.store(order, std::memory_order_release);
  return {};
}

int Databases::number_of(std::size_t timeline) const {
  int number = 0;
  while (number + 1 < kDatabases && timeline_of(number) != timeline) ++number;
  return number;
}

Result<Timeline*> Databases::get(std::size_t timeline) {
  if (Timeline* const found = this->timeline(timeline)) return found;
  const MutexLock lock(mutex_);
  std::unique_ptr<Timeline>& held = timelines_[timeline];
  if (!held) {
    const std::string name = name_of(timeline);
    const std::vector<std::string> names = database_.timelines();
    const bool made = std::ranges::find(names, name) == names.end();
    CAIRN_TRY(opened, database_.timeline(name, history_options(config_, number_of(timeline), made)));
    held = std::make_unique<Timeline>(opened);
    opened_[timeline].store(held.get(), std::memory_order_release);
  }
  return held.get();
}

Result<void> Databases::swap(int first, int second) {
  if (first == second) return {};
  // A client that follows one of the databases goes on with the other, so both timelines must exist.
  for (const int number : {first, second}) CAIRN_TRY_VOID(get(timeline_of(number)));
  std::uint64_t order = order_.load(std::memory_order_relaxed);
  const std::uint64_t differs = place(order, first) ^ place(order, second);
  for (const int number : {first, second}) order ^= differs << (kBits * static_cast<std::uint64_t>(number));
  std::string value;
  for (int number = 0; number < kDatabases; ++number) {
    value += (number == 0 ? "" : " ") + std::to_string(place(order, number));
  }
  CAIRN_TRY(table, database_.table(kOrderTable, order_options(true)));
  CAIRN_TRY_VOID(table.put(kOrderKey, value, {.durability = Durability::kDisk, .account = {}}));
  order_.store(order, std::memory_order_release);
  return {};
}

}  // namespace cairn::server
