// An open directory and the views handed out from it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cairn/database.h"
#include "directory/directory.h"
#include "forks/fork_store_impl.h"
#include "table/table_impl.h"
#include "timeline/timeline_impl.h"

namespace cairn::database {

class DatabaseImpl {
 public:
  enum class Mode : std::uint8_t { kCreate, kOpen, kOpenOrCreate };
  static Result<std::unique_ptr<DatabaseImpl>> open(std::unique_ptr<storage::Storage> storage,
                                                    directory::Environment& environment, Mode mode,
                                                    const DatabaseOptions& options, const table::Tuning& tuning = {},
                                                    const timeline::Tuning& timeline_tuning = {},
                                                    const forks::Tuning& forks_tuning = {});
  DatabaseImpl(std::shared_ptr<directory::Directory> directory, const table::Tuning& tuning,
               const timeline::Tuning& timeline_tuning, const forks::Tuning& forks_tuning)
      : directory_(std::move(directory)), tuning_(tuning), timeline_tuning_(timeline_tuning), forks_tuning_(forks_tuning) {}
  ~DatabaseImpl();
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
  static Result<void> restore(storage::Storage& checkpoint, std::unique_ptr<storage::Storage> target,
                              directory::Environment& environment, const Progress& progress, storage::Storage* base = nullptr);
  static Result<RepairReport> repair(storage::Storage& source, std::unique_ptr<storage::Storage> target,
                                     directory::Environment& environment, const Progress& progress);
  [[nodiscard]] directory::Directory& directory() { return *directory_; }
  Result<void> close() CAIRN_EXCLUDES(mutex_);

 private:
  Result<directory::Manifest> end_logs_and_mark() CAIRN_EXCLUDES(mutex_);
  std::shared_ptr<directory::Directory> directory_;
  Result<directory::ViewEntry> view(const std::string& kind, const std::string& name, bool create,
                                    const std::function<Result<directory::ViewEntry>()>& make) CAIRN_REQUIRES(mutex_);

  const table::Tuning tuning_;
  const timeline::Tuning timeline_tuning_;
  const forks::Tuning forks_tuning_;
  Mutex mutex_{Rank::kDatabase};
  std::map<std::string, std::shared_ptr<table::TableImpl>> tables_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<timeline::TimelineImpl>> timelines_ CAIRN_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<forks::ForkStoreImpl>> forks_ CAIRN_GUARDED_BY(mutex_);
};

}  // namespace cairn::database
