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

Result<std::unique_ptr<Databases>> Databases::open(Database& database) {
  std::unique_ptr<Databases> databases(new Databases(database));
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

Result<Timeline*> Databases::get(std::size_t timeline) {
  if (Timeline* const found = this->timeline(timeline)) return found;
  const MutexLock lock(mutex_);
  std::unique_ptr<Timeline>& held = timelines_[timeline];
  if (!held) {
    CAIRN_TRY(opened, database_.timeline(name_of(timeline)));
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
