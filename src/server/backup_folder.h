// The directory of copies (backup_directory). Each copy that the server may remove again has a record beside it, NAME.toml, which
// says of which database it is. A copy is made under a name that begins with ".making-" and gets its own name when it is whole
// and verified, so what has a name of its own is never half a copy.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cairn/result.h"

namespace cairn::server {

/// What a record says.
struct BackupRecord {
  std::string name;
  std::string base;          ///< Name of the full copy that an incremental one was taken over; empty: this one is full.
  std::int64_t made_ms = 0;  ///< Ascends from copy to copy, whatever the clock does.
};

class BackupFolder {
 public:
  /// kInvalidArgument, naming the setting: `directory` is not a directory that this process may write to, or lies in `database`,
  /// the directory of the database.
  static Result<void> check(const std::string& directory, const std::string& database);
  /// Takes the directory for this process and removes what a process that was killed has left. kBusy: another server has it.
  static Result<BackupFolder> open(const std::string& directory, const std::string& database);
  BackupFolder(BackupFolder&& other) noexcept;
  BackupFolder& operator=(BackupFolder&&) = delete;
  ~BackupFolder();

  /// Copies of this database that have records, oldest first.
  [[nodiscard]] Result<std::vector<BackupRecord>> records() const;
  [[nodiscard]] bool contains(const std::string& name) const;
  [[nodiscard]] std::string path(const std::string& name) const { return directory_ + "/" + name; }
  /// Where a copy is made.
  [[nodiscard]] std::string path_of_making(const std::string& name) const { return directory_ + "/.making-" + name; }
  /// Removes what is there.
  void discard_making(const std::string& name) const;
  /// Gives the copy that was made its name, durably. `record`: the server may remove it again.
  Result<void> publish(const std::string& name, const std::optional<BackupRecord>& record) const;
  /// Removes a copy that has a record, and the record.
  Result<void> remove(const BackupRecord& record) const;

 private:
  BackupFolder(std::string directory, std::string id, int lock)
      : directory_(std::move(directory)), id_(std::move(id)), lock_(lock) {}
  [[nodiscard]] Result<void> write_record(const BackupRecord& record) const;

  std::string directory_;  // Absolute.
  std::string id_;         // Of the database.
  int lock_;               // A descriptor; flock(2) ends with the process.
};

/// Which of `records` (oldest first) are to go so that `keep` stay: the oldest, but none that one which stays was taken over.
std::vector<BackupRecord> backups_to_remove(const std::vector<BackupRecord>& records, std::uint64_t keep);
/// The full copy over which the next one is to be taken: the newest, unless `incrementals` were taken over it; empty: none.
std::string backup_base(const std::vector<BackupRecord>& records, std::uint64_t incrementals);
/// 1 to 64 of a-z A-Z 0-9 _ - . and no "." in front, which keeps it in the directory.
bool is_backup_name(const std::string& name);

}  // namespace cairn::server
