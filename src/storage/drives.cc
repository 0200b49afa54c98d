// Who owns the directory is known to drive 0 alone, so what changes another drive asks that one first.
#include "storage/drives.h"

#include "base/error.h"

namespace cairn::storage {

void Drives::place(const std::string& name, std::size_t drive) {
  if (further_.empty()) return;
  const MutexLock lock(mutex_);
  places_[name] = drive;
}

std::size_t Drives::drive_of(const std::string& name) const {
  if (further_.empty()) return 0;
  const MutexLock lock(mutex_);
  const auto found = places_.find(name);
  return found == places_.end() ? 0 : found->second;
}

void Drives::forget(const std::string& name) {
  if (further_.empty()) return;
  const MutexLock lock(mutex_);
  places_.erase(name);
}

Result<std::vector<std::string>> Drives::list() {
  CAIRN_TRY(names, first_.list());
  for (std::size_t i = 1; i < count(); ++i) {
    CAIRN_TRY(here, drive(i).list());
    const MutexLock lock(mutex_);
    for (std::string& name : here) {
      places_.try_emplace(name, i);
      names.push_back(std::move(name));
    }
  }
  return names;
}

Result<std::unique_ptr<AppendFile>> Drives::create(const std::string& name, std::uint64_t capacity) {
  return first_.create(name, capacity);
}

Result<std::unique_ptr<AppendFile>> Drives::create_on(std::size_t drive, const std::string& name, std::uint64_t capacity) {
  if (drive == 0) return first_.create(name, capacity);
  CAIRN_TRY_VOID(check_epoch());
  CAIRN_TRY(file, this->drive(drive).create(name, capacity));
  place(name, drive);
  return file;
}

Result<std::unique_ptr<AppendFile>> Drives::recycle(const std::string& from, const std::string& to) {
  const std::size_t drive = drive_of(from);
  CAIRN_TRY_VOID(check_epoch());
  CAIRN_TRY(file, this->drive(drive).recycle(from, to));
  place(to, drive);
  forget(from);
  return file;
}

Result<void> Drives::remove(const std::string& name) {
  CAIRN_TRY_VOID(check_epoch());
  CAIRN_TRY_VOID(of(name).remove(name));
  forget(name);
  return {};
}

Result<void> Drives::reclaim(const std::string& name) {
  CAIRN_TRY_VOID(check_epoch());
  CAIRN_TRY_VOID(of(name).reclaim(name));
  forget(name);
  return {};
}

Result<void> Drives::sync_names() {
  for (std::size_t i = 0; i < count(); ++i) CAIRN_TRY_VOID(drive(i).sync_names());
  return {};
}

}  // namespace cairn::storage
