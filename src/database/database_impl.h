// An open directory and the views handed out from it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/home_process.h"
#include "base/mutex.h"
#include "cairn/database.h"
#include "directory/directory.h"
#include "forks/fork_store_impl.h"
#include "table/table_impl.h"
#include "timeline/timeline_impl.h"

namespace cairn::database {

/// A live file as the manifest knows it.
struct LiveEntry {
  std::string name;
  std::uint16_t view = 0;
  std::uint16_t family = 0;
  std::uint64_t end = 0;  // Segments only: where their records end.
};
/// All files of `manifest` but active segments, whose ends are not known.
std::vector<LiveEntry> live_entries(const directory::Manifest& manifest);
/// Checks every byte of a live file that `map` has; bytes checked. kCorruption, kIo: what is wrong with it, with its place.
Result<std::uint64_t> verify_file(const std::shared_ptr<const storage::MappedFile>& map, const segment::DatabaseId& database,
                                  const LiveEntry& entry, const std::function<Result<void>(std::uint64_t)>& progress);
/// The same, but only that it is the file it should be and as long as it should be.
Result<void> check_file(const std::shared_ptr<const storage::MappedFile>& map, const segment::DatabaseId& database,
                        const LiveEntry& entry);

class OwnerListener;

class DatabaseImpl {
 public:
  enum class Mode : std::uint8_t { kCreate, kOpen, kOpenOrCreate };
  static Result<std::unique_ptr<DatabaseImpl>> open(std::unique_ptr<storage::Storage> storage,
                                                    directory::Environment& environment, Mode mode,
                                                    const DatabaseOptions& options, const table::Tuning& tuning = {},
                                                    const timeline::Tuning& timeline_tuning = {},
                                                    const forks::Tuning& forks_tuning = {});
  DatabaseImpl(std::shared_ptr<directory::Directory> directory, const table::Tuning& tuning,
               const timeline::Tuning& timeline_tuning, const forks::Tuning& forks_tuning);
  ~DatabaseImpl();
  /// Sets the permissions of files in checkpoints. Call it before the database is handed out.
  void set_file_mode(unsigned mode) { file_mode_ = mode; }
  [[nodiscard]] unsigned file_mode() const { return file_mode_; }
  DatabaseImpl(const DatabaseImpl&) = delete;
  DatabaseImpl& operator=(const DatabaseImpl&) = delete;

  Result<std::shared_ptr<table::TableImpl>> table(const std::string& name, const TableOptions& options) CAIRN_EXCLUDES(mutex_);
  Result<std::shared_ptr<timeline::TimelineImpl>> timeline(const std::string& name, const TimelineOptions& options)
      CAIRN_EXCLUDES(mutex_);
  Result<std::shared_ptr<forks::ForkStoreImpl>> forks(const std::string& name, const ForkStoreOptions& options)
      CAIRN_EXCLUDES(mutex_);
  /// Of the views of a kind.
  [[nodiscard]] std::vector<std::string> names(const std::string& kind) const;
  Result<VerifyReport> verify(const Progress& progress);
  /// `base`: what has the files that are left out; nullptr: nothing has.
  Result<void> checkpoint(std::unique_ptr<storage::Storage> target, const Progress& progress, storage::Storage* base = nullptr)
      CAIRN_EXCLUDES(mutex_);
  /// `verify`: every byte, before anything is linked.
  static Result<void> restore(storage::Storage& checkpoint, std::unique_ptr<storage::Storage> target,
                              directory::Environment& environment, const Progress& progress, storage::Storage* base = nullptr,
                              bool verify = false);
  static Result<void> verify_checkpoint(storage::Storage& checkpoint, storage::Storage* base, Clock& clock,
                                        const Progress& progress);
  static Result<RepairReport> repair(storage::Storage& source, std::unique_ptr<storage::Storage> target,
                                     directory::Environment& environment, const Progress& progress);
  /// Answers the calls of other processes from now on, on a socket in `path`, the directory. The error says why that is not
  /// possible.
  Result<void> answer_commands(const std::string& path) CAIRN_EXCLUDES(mutex_);
  /// Whether the view is open.
  [[nodiscard]] bool is_open(const std::string& kind, const std::string& name) CAIRN_EXCLUDES(mutex_);
  /// See Database::open_reports().
  [[nodiscard]] const std::vector<std::string>& reports() const { return reports_; }
  /// Before the database is handed out.
  void add_report(std::string report) { reports_.push_back(std::move(report)); }
  [[nodiscard]] directory::Directory& directory() { return *directory_; }
  [[nodiscard]] const HomeProcess& home() const { return home_; }
  /// Closes every view, then the directory. An error while writing goes on otherwise leaves the database to be closed again:
  /// kConflict, an account is being changed in place, and all stays open; kNoSpace, kUnavailable: short of something. After
  /// any other error everything is closed as far as it can be.
  Result<void> close() CAIRN_EXCLUDES(mutex_);

 private:
  struct Checkpoint;
  static Result<std::unique_ptr<Checkpoint>> open_checkpoint(storage::Storage& checkpoint, storage::Storage* base, Clock& clock);
  Result<directory::Manifest> end_logs_and_mark() CAIRN_EXCLUDES(mutex_);
  [[nodiscard]] Result<void> check_open() const CAIRN_REQUIRES(mutex_);
  Result<void> close_all() CAIRN_EXCLUDES(mutex_);
  Result<void> close_views() CAIRN_REQUIRES(mutex_);
  const HomeProcess home_;
  std::shared_ptr<directory::Directory> directory_;
  Result<directory::ViewEntry> view(const std::string& kind, const std::string& name, bool create,
                                    const std::function<Result<directory::ViewEntry>()>& make) CAIRN_REQUIRES(mutex_);

  const table::Tuning tuning_;
  const timeline::Tuning timeline_tuning_;
  const forks::Tuning forks_tuning_;
  Mutex mutex_{Rank::kDatabase};
  unsigned file_mode_ = 0600;
  std::vector<std::string> reports_;  // Changed before the database is handed out.
  std::string listened_at_ CAIRN_GUARDED_BY(mutex_);
  std::unique_ptr<OwnerListener> listener_ CAIRN_GUARDED_BY(mutex_);
  bool closed_ CAIRN_GUARDED_BY(mutex_) = false;
  std::map<std::string, std::shared_ptr<table::TableImpl>> tables_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<timeline::TimelineImpl>> timelines_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<forks::ForkStoreImpl>> forks_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::database
