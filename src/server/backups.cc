// The thread that makes copies. Invariant: one copy is made at a time, and old copies are removed only after a newer one was
// verified.
#include "server/backups.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>

#include "base/clock.h"
#include "base/error.h"
#include "text/moment.h"

namespace cairn::server {
namespace {

constexpr std::int64_t kRetryMsMost = 300'000;  // After a copy of the schedule that failed.
constexpr std::int64_t kLookMs = 60'000;        // The clock may have been set.

/// "20261128T201448.123Z": names of copies are in the order of time.
std::string name_for(std::int64_t ms) {
  std::string name = format_time(Time(std::chrono::milliseconds(ms)));
  std::erase_if(name, [](char c) { return c == '-' || c == ':'; });
  return name;
}

/// Whether a copy without a base may succeed where one with it failed.
bool is_of_base(ErrorCode code) {
  return code == ErrorCode::kInvalidArgument || code == ErrorCode::kNotFound || code == ErrorCode::kCorruption;
}

}  // namespace

Result<std::unique_ptr<Backups>> Backups::open(const Config& config, Database& database) {
  std::optional<BackupFolder> folder;
  if (!config.backup_directory.empty()) {
    CAIRN_TRY(opened, BackupFolder::open(config.backup_directory, config.dir));
    folder.emplace(std::move(opened));
  }
  std::unique_ptr<Backups> backups(new Backups(config, database, std::move(folder)));
  if (!backups->folder_) return backups;
  CAIRN_TRY(records, backups->folder_->records());
  {
    const MutexLock lock(backups->mutex_);
    Status& status = backups->status_;
    status.copies = records.size();
    if (!records.empty()) {
      status.last_ms = records.back().made_ms;
      status.last_name = records.back().name;
    }
    if (config.backup_every_ms != 0) status.next_ms = std::max(status.last_ms + config.backup_every_ms, system_clock().wall_ms());
  }
  backups->thread_ = std::thread([&backups = *backups] { backups.run(); });
  return backups;
}

Backups::Backups(const Config& config, Database& database, std::optional<BackupFolder> folder)
    : config_(config), database_(database), folder_(std::move(folder)) {}

void Backups::stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<void> Backups::check_on() const {
  if (folder_) return {};
  return fail(ErrorCode::kUnsupported, "no backup_directory is set: the configuration names where copies go");
}

Result<Backups::Taken> Backups::request(bool schedule) {
  CAIRN_TRY_VOID(check_on());
  const MutexLock lock(mutex_);
  const bool busy = is_busy();
  if (busy && !schedule) return fail(ErrorCode::kBusy, "Background save already in progress");
  if (std::ranges::find(wanted_, "") == wanted_.end()) add_wanted("");
  return busy ? Taken::kScheduled : Taken::kStarted;
}

Result<void> Backups::request_named(const std::string& name) {
  CAIRN_TRY_VOID(check_on());
  if (!is_backup_name(name)) {
    return fail(ErrorCode::kInvalidArgument,
                "'" + name.substr(0, 64) + "' is no name of a copy: 1 to 64 of a-z A-Z 0-9 _ - . and no '.' in front");
  }
  if (folder_->contains(name)) {
    return fail(ErrorCode::kConflict, "there is something named '" + name + "' in backup_directory already");
  }
  const MutexLock lock(mutex_);
  if (is_busy()) return fail(ErrorCode::kBusy, "Background save already in progress");
  add_wanted(name);
  return {};
}

void Backups::add_wanted(const std::string& name) {
  if (!is_busy()) status_.running_since_ms = system_clock().wall_ms();
  wanted_.push_back(name);
  changed_.notify_all();
}

Backups::Status Backups::status() const {
  const MutexLock lock(mutex_);
  Status status = status_;
  status.running = is_busy();  // What is wanted begins at once.
  return status;
}

void Backups::run() {
  while (const std::optional<std::string> wanted = wait_for_work()) work(*wanted);
}

/// The name that the next copy is to have, empty: one of its own; nullopt: the server ends.
std::optional<std::string> Backups::wait_for_work() {
  const MutexLock lock(mutex_);
  while (!stopping_) {
    const std::int64_t now_ms = system_clock().wall_ms();
    status_.next_ms = std::min(status_.next_ms, now_ms + config_.backup_every_ms);  // The clock may have been set back.
    const bool due = status_.next_ms != 0 && status_.next_ms <= now_ms;
    if (!wanted_.empty() || due) {
      const std::string name = wanted_.empty() ? "" : wanted_.front();
      if (!wanted_.empty()) wanted_.pop_front();
      status_.running = true;
      status_.running_since_ms = now_ms;
      return name;
    }
    const std::int64_t wait_ms = status_.next_ms == 0 ? kLookMs : std::min(kLookMs, status_.next_ms - now_ms);
    changed_.wait_for(mutex_, std::chrono::milliseconds(wait_ms));
  }
  return std::nullopt;
}

void Backups::work(const std::string& wanted) {
  const std::int64_t began_ms = system_clock().wall_ms();
  const std::string name = wanted.empty() ? name_for(began_ms) : wanted;
  spdlog::info("event=backup_begins name={}", name);
  Result<void> made;
  try {
    made = make(name, !wanted.empty(), began_ms);
  } catch (const std::exception& error) {  // Out of memory, say: it must not end the server.
    made = fail(ErrorCode::kUnavailable, error.what());
  }
  const std::int64_t ended_ms = system_clock().wall_ms();
  if (made) {
    spdlog::info("event=backup_done name={} took_ms={}", name, ended_ms - began_ms);
    const Result<void> removed = remove_oldest();
    if (!removed) spdlog::error("event=backup_removal_failed reason=\"{}\"", removed.error().to_string());
  } else if (!stopping_) {
    spdlog::error("event=backup_failed name={} reason=\"{}\" note=\"copies made before are as they were\"", name,
                  made.error().to_string());
  }
  const MutexLock lock(mutex_);
  status_.running = false;
  status_.error = made ? "" : made.error().message;
  if (made) {
    status_.last_ms = began_ms;
    status_.last_took_ms = std::max<std::int64_t>(ended_ms - began_ms, 1);
    status_.last_name = name;
  }
  if (config_.backup_every_ms == 0 || !wanted.empty()) return;
  status_.next_ms = made ? began_ms + config_.backup_every_ms : ended_ms + std::min(config_.backup_every_ms, kRetryMsMost);
}

/// A copy of which the server keeps a record is incremental where it can be.
Result<void> Backups::make(const std::string& name, bool named, std::int64_t began_ms) {
  std::optional<BackupRecord> record;
  if (!named) {
    CAIRN_TRY(records, folder_->records());
    const auto incrementals = static_cast<std::uint64_t>(config_.backup_incrementals);
    const std::int64_t least_ms = records.empty() ? 0 : records.back().made_ms + 1;
    record = BackupRecord{.name = name, .base = backup_base(records, incrementals), .made_ms = std::max(began_ms, least_ms)};
  }
  Result<void> copied = copy(name, record ? record->base : "");
  if (!copied && record && !record->base.empty() && is_of_base(copied.error().code)) {
    // The base is not one any more: it is gone or damaged.
    spdlog::warn("event=backup_base_unusable base={} reason=\"{}\" note=\"a full copy is made\"", record->base,
                 copied.error().to_string());
    record->base.clear();
    copied = copy(name, "");
  }
  if (copied) copied = folder_->publish(name, record);
  if (!copied) folder_->discard_making(name);
  return copied;
}

/// Under the name for making; verified.
Result<void> Backups::copy(const std::string& name, const std::string& base) {
  folder_->discard_making(name);
  const std::string target = folder_->path_of_making(name);
  const std::string base_path = base.empty() ? "" : folder_->path(base);
  if (base.empty()) {
    CAIRN_TRY_VOID(database_.checkpoint(target, going_on()));
  } else {
    CAIRN_TRY_VOID(database_.incremental_checkpoint(base_path, target, going_on()));
  }
  return Database::verify_checkpoint(target, base_path, going_on());
}

/// Of the copies that have records. Their bases stay as long as they are needed.
Result<void> Backups::remove_oldest() {
  CAIRN_TRY(records, folder_->records());
  const std::vector<BackupRecord> removed = backups_to_remove(records, static_cast<std::uint64_t>(config_.backup_keep));
  for (const BackupRecord& record : removed) {
    CAIRN_TRY_VOID(folder_->remove(record));
    spdlog::info("event=backup_removed name={}", record.name);
  }
  const MutexLock lock(mutex_);
  status_.copies = records.size() - removed.size();
  return {};
}

Progress Backups::going_on() const {
  return [this](std::uint64_t, std::uint64_t) { return !stopping_; };
}

}  // namespace cairn::server
