#include "server/databases.h"

#include <algorithm>

namespace cairn::server {

Result<std::unique_ptr<Databases>> Databases::open(Database& database) {
  std::unique_ptr<Databases> databases(new Databases(database));
  const std::vector<std::string> names = database.timelines();
  for (int number = 0; number < kDatabases; ++number) {
    if (number == 0 || std::ranges::find(names, name_of(number)) != names.end()) CAIRN_TRY_VOID(databases->get(number));
  }
  return databases;
}

std::string Databases::name_of(int number) { return number == 0 ? "main" : "redis-" + std::to_string(number); }

Result<Timeline*> Databases::get(int number) {
  if (Timeline* const found = find(number)) return found;
  const MutexLock lock(mutex_);
  std::unique_ptr<Timeline>& timeline = timelines_[static_cast<std::size_t>(number)];
  if (!timeline) {
    CAIRN_TRY(opened, database_.timeline(name_of(number)));
    timeline = std::make_unique<Timeline>(opened);
    opened_[static_cast<std::size_t>(number)].store(timeline.get(), std::memory_order_release);
  }
  return timeline.get();
}

}  // namespace cairn::server
