// The files of the directory of copies. Invariant: a directory whose name does not begin with "." is a whole, verified copy; a
// copy is removed only if its record names this database.
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
#include <sstream>
#include <utility>

#include "base/error.h"
#include "directory/file_name.h"
#include "directory/manifest.h"
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

/// Calls visit(path) for everything in `directory`.
template <typename Visit>
Result<void> for_each_in(const std::string& directory, Visit visit) {
  std::error_code failed;
  for (fs::directory_iterator entry(directory, failed); !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
    visit(entry->path());
  }
  if (failed) return system_error(failed.value(), "listing " + directory);
  return {};
}

/// The number that a database keeps from its first moment on, in its copies and when it is restored. The server owns the
/// database: its manifests may be replaced while they are looked at.
Result<std::string> id_of(const std::string& database) {
  constexpr int kTries = 10;
  Result<std::string> id = fail(ErrorCode::kNotFound, "there is no manifest", database);
  for (int i = 0; i < kTries && !id; ++i) {
    std::optional<directory::ManifestName> newest;
    CAIRN_TRY_VOID(for_each_in(database, [&](const fs::path& path) {
      const auto name = directory::ManifestName::parse(path.filename().string());
      if (name && (!newest || *newest < *name)) newest = name;
    }));
    if (!newest) continue;
    std::ostringstream text;
    text << std::ifstream(database + "/" + newest->to_string(), std::ios::binary).rdbuf();
    const Result<directory::Manifest> manifest = directory::decode_manifest(text.str(), newest->to_string());
    if (manifest) id = fmt::format("{:016x}{:016x}", manifest->database[0], manifest->database[1]);
  }
  return id;
}

/// nullopt: the file is not a record of a copy of the database `id`. Others may have put files here.
std::optional<BackupRecord> read_record(const fs::path& file, const std::string& id) {
  const Result<std::string> text = read_text_file("the record", file.string());
  if (!text) return std::nullopt;
  const Result<TomlTable> table = parse_toml_file(*text, file.string());
  if (!table || text_in(*table, "database") != id) return std::nullopt;
  const auto made = table->values.find("made_ms");
  const auto* const ms = made == table->values.end() ? nullptr : std::get_if<std::int64_t>(&made->second.data);
  BackupRecord record{.name = text_in(*table, "name"), .base = text_in(*table, "base"), .made_ms = ms == nullptr ? 0 : *ms};
  if (record.name != file.stem().string() || !is_backup_name(record.name)) return std::nullopt;
  return record;
}

/// What a process that was killed was making or removing; records without copies, too.
Result<void> remove_remains(const std::string& directory, const std::string& id) {
  std::vector<fs::path> remains;
  CAIRN_TRY_VOID(for_each_in(directory, [&](const fs::path& path) {
    std::error_code failed;
    const std::string name = path.filename().string();
    const bool unfinished = name.starts_with(kMaking) || name.starts_with(kRemoving);
    const bool lone = path.extension() == kRecordSuffix && read_record(path, id) && !fs::exists(directory / path.stem(), failed);
    if (unfinished || lone) remains.push_back(path);
  }));
  std::error_code failed;  // What stays is removed at the next start.
  for (const fs::path& path : remains) fs::remove_all(path, failed);
  return {};
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
  CAIRN_TRY(id, id_of(database));
  const std::string lock_file = folder + "/.cairn-lock";
  const int lock = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return system_error(errno, "opening " + lock_file);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    close(lock);
    return fail(ErrorCode::kBusy, "backup_directory '" + directory + "' is used by another server: each needs one of its own");
  }
  BackupFolder opened(folder, id, lock);
  CAIRN_TRY_VOID(remove_remains(folder, id));
  return opened;
}

BackupFolder::BackupFolder(BackupFolder&& other) noexcept
    : directory_(std::move(other.directory_)), id_(std::move(other.id_)), lock_(std::exchange(other.lock_, -1)) {}

BackupFolder::~BackupFolder() {
  if (lock_ >= 0) close(lock_);
}

Result<std::vector<BackupRecord>> BackupFolder::records() const {
  std::vector<BackupRecord> records;
  CAIRN_TRY_VOID(for_each_in(directory_, [&](const fs::path& path) {
    if (path.extension() != kRecordSuffix) return;
    const auto record = read_record(path, id_);
    if (record && contains(record->name)) records.push_back(*record);
  }));
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
      json_string(record.name), json_string(id_), json_string(record.base), record.made_ms);
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
