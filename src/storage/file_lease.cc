#include "storage/file_lease.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/reached.h"
#include "storage/storage.h"

namespace cairn::storage {
namespace {

constexpr std::size_t kRecordBytes = 512;  // One sector: a renewal never tears.
constexpr std::string_view kPrefix = "lease-";

std::string one_line(std::string text, std::size_t bytes_max) {
  text.resize(std::min(text.size(), bytes_max));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text;
}

template <typename T>
bool parse(const std::map<std::string, std::string>& fields, const char* name, T& value) {
  const auto it = fields.find(name);
  if (it == fields.end()) return false;
  const std::string& text = it->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

Bytes encode_lease(const LeaseRecord& record) {
  Bytes text = fmt::format(
      "format = 1\nowner = {}\nhost = {}\nboot = {}\npid = {}\nstarted = {}\nepoch = {}\nlease_ms = {}\n"
      "renewed = {}\nrenewals = {}\nreleased = {}\n",
      one_line(record.owner, 100), one_line(record.host, 64), one_line(record.boot, 40), record.pid, record.started_wall_ms,
      record.epoch, record.lease_ms, record.renewed_boot_ms, record.renewals, record.released ? 1 : 0);
  text += fmt::format("checksum = {:016x}\n", xxh3(text));
  text.resize(kRecordBytes, '\n');
  return text;
}

Result<LeaseRecord> decode_lease(ByteView text, const std::string& file) {
  const std::size_t at = text.find("checksum = ");
  if (at == ByteView::npos || text.size() != kRecordBytes || text.substr(at) != [&] {
        std::string rest = fmt::format("checksum = {:016x}\n", xxh3(text.substr(0, at)));
        rest.resize(kRecordBytes - at, '\n');
        return rest;
      }()) {
    return corruption("lease record checksum", file);
  }
  std::map<std::string, std::string> fields;
  for (ByteView rest = text.substr(0, at); !rest.empty();) {
    const ByteView line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t equals = line.find(" = ");
    if (equals == ByteView::npos) return corruption("lease record line without ' = '", file);
    fields[std::string(line.substr(0, equals))] = line.substr(equals + 3);
  }
  LeaseRecord record;
  int format = 0;
  int released = 0;
  if (!parse(fields, "format", format)) return corruption("lease record without a format", file);
  if (format != 1) return fail(ErrorCode::kUnsupported, "lease record of a newer format", file);
  if (!parse(fields, "pid", record.pid) || !parse(fields, "started", record.started_wall_ms) ||
      !parse(fields, "epoch", record.epoch) || !parse(fields, "lease_ms", record.lease_ms) ||
      !parse(fields, "renewed", record.renewed_boot_ms) || !parse(fields, "renewals", record.renewals) ||
      !parse(fields, "released", released)) {
    return corruption("lease record field missing or malformed", file);
  }
  record.owner = fields["owner"];
  record.host = fields["host"];
  record.boot = fields["boot"];
  record.released = released != 0;
  return record;
}

std::string lease_name(std::uint64_t epoch) { return std::string(kPrefix) + std::to_string(epoch); }

std::optional<std::uint64_t> lease_epoch(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  std::uint64_t epoch = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, epoch);
  if (error != std::errc{} || stop != end || epoch == 0 || lease_name(epoch) != name) return std::nullopt;
  return epoch;
}

Result<std::vector<std::uint64_t>> FileLease::epochs() {
  CAIRN_TRY(names, storage_.list());
  std::vector<std::uint64_t> found;
  for (const std::string& name : names) {
    if (const auto epoch = lease_epoch(name)) found.push_back(*epoch);
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<void> missing_lease(Storage& storage, std::uint64_t epoch) {
  CAIRN_TRY(names, storage.list());
  for (const std::string& name : names) {
    if (lease_epoch(name).value_or(0) > epoch) {
      return fail(ErrorCode::kLeaseLost, "another owner has taken over the directory", storage.describe());
    }
  }
  return fail(ErrorCode::kReadOnly,
              "the lease record " + lease_name(epoch) + " was deleted, or the directory with it; nothing more is written",
              storage.describe());
}

/// Returns once the lease recorded under `name` is free, with the record that says so if there is one; or kBusy.
Result<std::optional<Bytes>> FileLease::ensure_free(const std::string& name) {
  const LeaseFiles::Machine here = files_.machine();
  const std::int64_t watched_since_ms = clock_.boot_ms();
  std::optional<Bytes> first_seen;
  while (true) {
    Result<Bytes> text = storage_.read(name);
    if (!text && text.error().code == ErrorCode::kNotFound) return std::nullopt;
    if (!text) return std::unexpected(text.error());
    CAIRN_TRY(lock, files_.try_lock(name));
    const Result<LeaseRecord> record = decode_lease(*text, name);
    if (!record && record.error().code == ErrorCode::kUnsupported) return std::unexpected(record.error());
    if (!record) {
      // Unreadable: it has no holder we could name, but the kernel knows whether one lives.
      if (lock) return *text;
      return fail(ErrorCode::kBusy, "held by another process; its lease record is damaged", name);
    }
    if (record->released) return *text;
    if (lock && record->host == here.host) return *text;  // The owner's process is gone.
    const bool elsewhere = record->boot != here.boot;
    const bool renewed = first_seen && *first_seen != *text;
    std::int64_t left_ms = record->lease_ms;  // After a renewal that we saw from elsewhere.
    if (!elsewhere) {
      left_ms = record->renewed_boot_ms + record->lease_ms - clock_.boot_ms();
    } else if (!renewed) {
      left_ms = watched_since_ms + record->lease_ms - clock_.boot_ms();
    }
    if (left_ms <= 0) {
      CAIRN_REACHED("lease taken over after its time");
      return *text;
    }
    if (!elsewhere || renewed) {
      return fail(ErrorCode::kBusy,
                  // Not how long the lease still runs: its owner renews it.
                  fmt::format("held by {} (pid {} on {}); it can be taken {} after that process ends or stops renewing its lease",
                              record->owner, record->pid, record->host, words_for_ms(record->lease_ms)),
                  name);
    }
    if (!first_seen) first_seen = *text;
    clock_.sleep_ms(std::min<std::int64_t>(left_ms, 100));
  }
}

/// After our own record was published: if the old owner renewed since `judged`, waits until that renewal has run out. Until then
/// the old owner may acknowledge by its clock alone. Whether it waited.
Result<bool> FileLease::let_run_out(const std::string& name, const std::optional<Bytes>& judged) {
  const Result<Bytes> text = storage_.read(name);
  if (!text && text.error().code == ErrorCode::kNotFound) return false;
  if (!text) return std::unexpected(text.error());
  if (judged && *text == *judged) return false;
  const Result<LeaseRecord> record = decode_lease(*text, name);
  if (!record || record->released) return false;  // A damaged record is none of a renewal: that is one sector, and never tears.
  const LeaseFiles::Machine here = files_.machine();
  {
    CAIRN_TRY(lock, files_.try_lock(name));
    if (lock && record->host == here.host) return false;  // The owner's process is gone.
  }
  CAIRN_REACHED("renewal of the owner before ran out");
  const std::int64_t from_ms = record->boot == here.boot ? record->renewed_boot_ms : clock_.boot_ms();
  const std::int64_t end_ms = from_ms + record->lease_ms;
  for (std::int64_t now_ms = clock_.boot_ms(); now_ms < end_ms; now_ms = clock_.boot_ms()) {
    clock_.sleep_ms(std::min<std::int64_t>(end_ms - now_ms, 100));
  }
  return true;
}

Result<void> FileLease::wait_until_free() {
  CAIRN_TRY(found, epochs());
  if (!found.empty()) CAIRN_TRY_VOID(ensure_free(lease_name(found.back())));
  return {};
}

Result<std::uint64_t> FileLease::acquire(const std::string& owner, std::int64_t lease_ms, std::uint64_t epoch_above) {
  CAIRN_TRY(found, epochs());
  std::optional<Bytes> judged;
  if (!found.empty()) {
    CAIRN_TRY(free, ensure_free(lease_name(found.back())));
    judged = std::move(free);
  }
  const LeaseFiles::Machine here = files_.machine();
  const std::int64_t now_ms = clock_.boot_ms();
  const std::uint64_t mine = std::max(found.empty() ? 0 : found.back(), epoch_above) + 1;
  {
    const MutexLock lock(mutex_);
    CAIRN_ASSERT(lock_ == nullptr);
    record_ = LeaseRecord{.owner = owner,
                          .host = here.host,
                          .boot = here.boot,
                          .pid = getpid(),
                          .started_wall_ms = clock_.wall_ms(),
                          .epoch = mine,
                          .lease_ms = lease_ms,
                          .renewed_boot_ms = now_ms,
                          .renewals = 0,
                          .released = false};
    Result<std::unique_ptr<HeldLock>> held = files_.publish_locked(lease_name(mine), encode_lease(record_));
    if (!held && held.error().code == ErrorCode::kConflict) {
      return fail(ErrorCode::kBusy, "another process took the lease at this moment; try again", lease_name(mine));
    }
    CAIRN_TRY_VOID(held);
    lock_ = *std::move(held);
    ends_boot_ms_ = now_ms + lease_ms;
    storage_.set_epoch(mine);
  }
  // Records of owners before the last one too: an opener may have died while it let an older renewal run out.
  bool waited = false;
  for (const std::uint64_t epoch : found) {
    CAIRN_TRY(ran_out, let_run_out(lease_name(epoch), epoch == found.back() ? judged : std::nullopt));
    waited = waited || ran_out;
  }
  // Oldest first: see the top of file_lease.h.
  for (const std::uint64_t epoch : found) CAIRN_TRY_VOID(storage_.remove(lease_name(epoch)));
  if (waited) CAIRN_TRY_VOID(renew());
  return mine;
}

Result<void> FileLease::renew() {
  const MutexLock lock(mutex_);
  if (lock_ == nullptr) return fail(ErrorCode::kUnavailable, "the lease was given back: the database is closed");
  CAIRN_TRY_VOID(storage_.check_epoch());
  const bool expired = !check_time().has_value();
  const std::int64_t now_ms = clock_.boot_ms();  // From before the renewal is sent.
  record_.renewed_boot_ms = now_ms;
  ++record_.renewals;
  CAIRN_TRY_VOID(lock_->rewrite(encode_lease(record_)));
  if (expired) {
    CAIRN_REACHED("expired lease renewed");
    CAIRN_TRY_VOID(storage_.sync_names());
  }
  // Another owner may have judged the lease by its old record and published its own before this renewal was written.
  CAIRN_TRY_VOID(storage_.check_epoch());
  ends_boot_ms_ = now_ms + record_.lease_ms;
  return {};
}

Result<void> FileLease::check_time() {
  if (clock_.boot_ms() < ends_boot_ms_.load(std::memory_order_relaxed)) return {};
  return fail(ErrorCode::kUnavailable, "the lease has expired and was not renewed yet; try again");
}

Result<void> FileLease::check() {
  CAIRN_TRY_VOID(storage_.check_epoch());  // First: lost is told from expired.
  return check_time();
}

void FileLease::release() {
  const MutexLock lock(mutex_);
  if (lock_ == nullptr) return;
  if (storage_.check_epoch()) {
    record_.released = true;
    // If this fails, the next owner finds our lock free instead.
    lock_->rewrite(encode_lease(record_)).ignore_error();
  }
  ends_boot_ms_ = 0;
  lock_.reset();
}

}  // namespace cairn::storage
