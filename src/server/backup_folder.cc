#include "server/backup_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "base/error.h"
#include "server/config.h"
#include "text/json.h"
#include "text/toml_file.h"

namespace cairn::server {
namespace {

namespace fs = std::filesystem;
constexpr const char* kMaking = ".making-";
constexpr const char* kRemoving = ".removing-";
constexpr const char* kRecordSuffix = ".toml";

Result<void> sync_path(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return system_error(errno, "opening " + path + " to sync it");
  const int failed = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  if (failed != 0) return system_error(failed, "syncing " + path);
  return {};
}

Result<void> rename_path(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return {};
  return system_error(errno, "renaming " + from + " to " + to);
}

Result<std::string> absolute_path(const std::string& path) {
  std::error_code failed;
  const fs::path whole = fs::canonical(path, failed);
  if (failed) return system_error(failed.value(), "looking for " + path);
  return whole.string();
}

std::string text_in(const TomlTable& table, const char* name) {
  const auto found = table.values.find(name);
  const auto* const text = found == table.values.end() ? nullptr : std::get_if<std::string>(&found->second.data);
  return text == nullptr ? "" : *text;
}

/// nullopt: the file is not a record of a copy of `database`. Others may have put files here.
std::optional<BackupRecord> read_record(const fs::path& file, const std::string& database) {
  const Result<std::string> text = read_text_file("the record", file.string());
  if (!text) return std::nullopt;
  const Result<TomlTable> table = parse_toml_file(*text, file.string());
  if (!table || text_in(*table, "database") != database) return std::nullopt;
  const auto made = table->values.find("made_ms");
  const auto* const ms = made == table->values.end() ? nullptr : std::get_if<std::int64_t>(&made->second.data);
  BackupRecord record{.name = text_in(*table, "name"), .base = text_in(*table, "base"), .made_ms = ms == nullptr ? 0 : *ms};
  if (record.name != file.stem().string() || !is_backup_name(record.name)) return std::nullopt;
  return record;
}

/// What a process that was killed was making or removing.
void remove_remains(const std::string& directory) {
  std::error_code failed;
  std::vector<fs::path> remains;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, failed)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kMaking) || name.starts_with(kRemoving)) remains.push_back(entry.path());
  }
  for (const fs::path& path : remains) fs::remove_all(path, failed);
}

}  // namespace

bool is_backup_name(const std::string& name) {
  constexpr std::size_t kBytesMax = 64;
  const auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.'; };
  return !name.empty() && name.size() <= kBytesMax && name.front() != '.' && std::ranges::all_of(name, fits);
}

std::vector<BackupRecord> backups_to_remove(const std::vector<BackupRecord>& records, std::uint64_t keep) {
  const std::size_t kept = std::min<std::uint64_t>(keep, records.size());
  std::set<std::string> needed;
  for (std::size_t i = records.size() - kept; i < records.size(); ++i) needed.insert(records[i].base);
  std::vector<BackupRecord> removed;
  for (std::size_t i = 0; i + kept < records.size(); ++i) {
    if (!needed.contains(records[i].name)) removed.push_back(records[i]);
  }
  return removed;
}

std::string backup_base(const std::vector<BackupRecord>& records, std::uint64_t incrementals) {
  const auto full = std::ranges::find(records.rbegin(), records.rend(), "", &BackupRecord::base);
  if (full == records.rend()) return "";
  const auto over_it = static_cast<std::uint64_t>(full - records.rbegin());
  return over_it < incrementals ? full->name : "";
}

Result<void> BackupFolder::check(const std::string& directory, const std::string& database) {
  const auto wrong = [&](const std::string& why) {
    return fail(ErrorCode::kInvalidArgument, "backup_directory is '" + directory + "', " + why);
  };
  std::error_code failed;
  if (!fs::is_directory(directory, failed)) return wrong("which is not a directory: make it, writable for the server");
  if (access(directory.c_str(), R_OK | W_OK | X_OK) != 0) return wrong("which the server may not write to");
  const fs::path outer = fs::weakly_canonical(database, failed);
  if (failed) return {};  // There is no database yet, and so nothing in it.
  CAIRN_TRY(whole, absolute_path(directory));
  for (fs::path inner = whole; inner.has_relative_path(); inner = inner.parent_path()) {
    if (inner == outer) return wrong("which lies in the directory of the database: name one outside of it");
  }
  return {};
}

Result<BackupFolder> BackupFolder::open(const std::string& directory, const std::string& database) {
  CAIRN_TRY_VOID(check(directory, database));
  CAIRN_TRY(folder, absolute_path(directory));
  CAIRN_TRY(whole, absolute_path(database));
  const std::string lock_file = folder + "/.cairn-lock";
  const int lock = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return system_error(errno, "opening " + lock_file);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    return fail(ErrorCode::kBusy, "backup_directory '" + directory + "' is used by another server: each needs one of its own");
  }
  remove_remains(folder);
  return BackupFolder(folder, whole, lock);
}

BackupFolder::BackupFolder(BackupFolder&& other) noexcept
    : directory_(std::move(other.directory_)), database_(std::move(other.database_)), lock_(std::exchange(other.lock_, -1)) {}

BackupFolder::~BackupFolder() {
  if (lock_ >= 0) close(lock_);
}

Result<std::vector<BackupRecord>> BackupFolder::records() const {
  std::error_code failed;
  std::vector<BackupRecord> records;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory_, failed)) {
    if (entry.path().extension() != kRecordSuffix) continue;
    const auto record = read_record(entry.path(), database_);
    if (record && contains(record->name)) records.push_back(*record);
  }
  if (failed) return system_error(failed.value(), "listing " + directory_);
  std::ranges::sort(records, {}, [](const BackupRecord& record) { return std::pair(record.made_ms, record.name); });
  return records;
}

bool BackupFolder::contains(const std::string& name) const {
  std::error_code failed;
  return fs::exists(fs::symlink_status(path(name), failed));
}

void BackupFolder::discard_making(const std::string& name) const {
  std::error_code failed;  // What stays is removed at the next start.
  fs::remove_all(path_of_making(name), failed);
}

Result<void> BackupFolder::write_record(const BackupRecord& record) const {
  const std::string file = path(record.name) + kRecordSuffix;
  const std::string making = path_of_making(record.name) + kRecordSuffix;
  std::ofstream out(making, std::ios::binary | std::ios::trunc);
  out << fmt::format(
      "# A copy that cairn serve made. It may remove the copy when newer ones are there; without this file it does not.\n"
      "name = {}\ndatabase = {}\nbase = {}\nmade_ms = {}\n",
      json_string(record.name), json_string(database_), json_string(record.base), record.made_ms);
  out.close();
  if (!out) return system_error(errno, "writing " + making);
  CAIRN_TRY_VOID(sync_path(making));
  return rename_path(making, file);
}

Result<void> BackupFolder::publish(const std::string& name, const std::optional<BackupRecord>& record) const {
  if (contains(name)) return fail(ErrorCode::kConflict, "there is something at " + path(name) + " already");
  if (record) CAIRN_TRY_VOID(write_record(*record));  // A record without a copy is passed over.
  CAIRN_TRY_VOID(rename_path(path_of_making(name), path(name)));
  return sync_path(directory_);
}

Result<void> BackupFolder::remove(const BackupRecord& record) const {
  const std::string going = directory_ + "/" + kRemoving + record.name;
  CAIRN_TRY_VOID(rename_path(path(record.name), going));  // What goes is half a copy soon.
  std::error_code failed;
  fs::remove_all(going, failed);
  if (failed) return system_error(failed.value(), "removing " + going);
  fs::remove(path(record.name) + kRecordSuffix, failed);
  if (failed) return system_error(failed.value(), "removing the record of " + path(record.name));
  return {};
}

}  // namespace cairn::server
