// A table: its log, its memtables, its runs, and the ways through them.
//
//   table_open.cc    opening (replay), closing, stats
//   table_write.cc   the commit path
//   table_read.cc    get, multi_get, scan
//   table_jobs.cc    which layers flush and compaction merge, and when
//   table_merge.cc   how they are merged
//   table_explain.cc where each version of a key is
//   table_large.cc   values in segments of their own
//   table_ingest.cc  taking in sealed files made outside
//
// Locks, outermost first; never take one above a lock you hold.
//   log_.mutex     Orders writes in the log. Never held across I/O.
//   state_mutex_   The line-up of layers, for writers and jobs. Never held across I/O.
// Readers take neither: they reach the line-up through Published and filter by visible_version_.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/published.h"
#include "cairn/table.h"
#include "directory/directory.h"
#include "directory/log.h"
#include "directory/write_rules.h"
#include "table/line_up.h"
#include "table/merge.h"
#include "table/pacing.h"
#include "table/scan.h"

namespace cairn::table {

/// Sizes that tests shrink; the defaults are what core documents.
struct Tuning : directory::LogTuning {
  std::uint64_t large_value_bytes = 16 * kMiB;  // Such values stay in segments of their own.
  std::size_t sealed_runs_max = 8;              // Of a family. More start a compaction.
  std::uint64_t sealed_bytes_max = 512 * kMiB;  // Of a sealed file; a run has as many as it takes.
  // Runs whose files are smaller on average than this, or than makes so many of a run, are not joined but merged into larger
  // ones.
  std::uint64_t joined_file_bytes_mean_min = 32 * kMiB;
  std::uint64_t joined_files_max = 4000;
  std::size_t unsealed_segments_at_close_max = 4;        // More are sealed by a clean close,
  std::uint64_t unsealed_bytes_at_close_max = 4 * kMiB;  // as is more: the next open would index it all anew.
  std::uint64_t dead_keys_min = 32;                      // In a row: a scan then notes the range for scans to come.
  bool compact_by_itself = true;
};

/// One write of a batch; borrows its bytes. `kind`: put, tombstone, or range tombstone, whose value is its end.
struct WriteRef {
  std::uint16_t family = 0;
  RecordKind kind = RecordKind::kPut;
  ByteView key;
  ByteView value;
  ByteView large;  // Of a reference: the value it stands for.
};

inline constexpr std::uint64_t kWriteBytesMax = kGiB;  // Of log, for one write.

/// Who writes: the table of a Model is written by its Model alone.
enum class Writer : std::uint8_t { kAnyone, kModel };

/// The key in the family `main` under which a Model keeps what it knows of itself. A table that has it belongs to a Model.
inline constexpr ByteView kModelKey("\0cairn.model", 12);

/// What one write takes: of the log, and of the active memtable's set of range tombstones.
struct RoomNeeded {
  std::uint64_t bytes = 0;
  std::uint64_t range_tombstones = 0;
};

inline constexpr std::int64_t kFlushRetryMs = 1000;  // After a flush that found no room.

class RunWriter;

class TableImpl : public std::enable_shared_from_this<TableImpl> {
 public:
  /// Opens the view `entry` of the manifest: maps its runs, replays its log.
  static Result<std::shared_ptr<TableImpl>> open(std::shared_ptr<directory::Directory> directory, directory::ViewEntry entry,
                                                 const TableOptions& options, const Tuning& tuning = {});
  ~TableImpl();
  TableImpl(const TableImpl&) = delete;
  TableImpl& operator=(const TableImpl&) = delete;

  [[nodiscard]] const HomeProcess& home() const { return home_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }

  // See cairn/table.h.
  Result<WriteVersion> write(std::span<const WriteRef> writes, const WriteOptions& options, Writer writer = Writer::kAnyone)
      CAIRN_EXCLUDES(log_.mutex);
  Result<void> alter(const std::string& name, const FamilyOptions& options) CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] Result<std::uint16_t> family(const std::string& name, const FamilyOptions& options,
                                             Writer writer = Writer::kAnyone) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  [[nodiscard]] std::vector<std::string> families() const;
  [[nodiscard]] Result<std::optional<Pinned>> get(std::uint16_t family, ByteView key, const Snapshot& snapshot) const;
  [[nodiscard]] Result<std::vector<std::optional<Pinned>>> multi_get(std::uint16_t family, std::span<const ByteView> keys,
                                                                     const Snapshot& snapshot) const;
  [[nodiscard]] std::unique_ptr<EntrySource> scan(std::uint16_t family, const Range& range, Direction direction,
                                                  std::uint64_t limit, const Snapshot& snapshot) const;
  [[nodiscard]] std::unique_ptr<EntrySource> find(std::uint16_t family, const std::string& index, ByteView term,
                                                  const Snapshot& snapshot) const;
  [[nodiscard]] Result<std::vector<KeyVersion>> explain(std::uint16_t family, ByteView key, const Snapshot& snapshot) const;
  [[nodiscard]] Snapshot snapshot(const std::string& label) const;
  Result<void> flush() CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  /// Ends the log's active segment, if there is one: everything written so far then stands in files that do not change.
  Result<void> end_log() CAIRN_EXCLUDES(log_.mutex);
  Result<void> compact(const Progress& progress) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  /// Takes in what `files` hold, made by SealedFile.
  Result<WriteVersion> ingest(std::uint16_t family, const std::vector<std::shared_ptr<const storage::MappedFile>>& files,
                              const Progress& progress = {}) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> end_pin(std::uint64_t id);
  [[nodiscard]] TableStats stats() const CAIRN_EXCLUDES(log_.mutex, state_mutex_);

  /// From now on the table belongs to a Model, which alone writes to it. kBusy: another Model has it.
  Result<void> attach_model() CAIRN_EXCLUDES(log_.mutex);
  /// `keeps_objects`: the table belongs to a Model also while none is open.
  void detach_model(bool keeps_objects) CAIRN_EXCLUDES(log_.mutex);
  [[nodiscard]] const segment::DatabaseId& database_id() const { return directory_->database_id(); }
  [[nodiscard]] const std::string& name() const { return entry_.name; }

  /// Merges `count` read-only layers of a family from the `first`-oldest into one; memtables among them leave the other
  /// families too, as runs. kBusy: one of them is in a job already.
  Result<void> compact_layers(std::uint16_t family, std::size_t first, std::size_t count, const Progress& progress = {})
      CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] std::size_t layer_count(std::uint16_t family) const { return line_up_.get()->families[family].layers.size(); }
  [[nodiscard]] std::shared_ptr<const LineUp> line_up() const { return line_up_.get(); }

  /// Ends the log and waits for jobs. Writes fail afterwards, reads go on. If it is short of something it can be called again,
  /// unless `for_good`: then it leaves to the next open what it could not do, and nothing of the table runs any more.
  Result<void> close(bool for_good = false) CAIRN_EXCLUDES(log_.mutex, state_mutex_);

 private:
  TableImpl(std::shared_ptr<directory::Directory> directory, directory::ViewEntry entry, const TableOptions& options,
            const Tuning& tuning);

  // table_open.cc
  [[nodiscard]] directory::FamilyEntry family_in_manifest(std::uint16_t number) const;
  Result<std::uint16_t> add_family(directory::FamilyEntry& entry) CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);
  Result<void> load() CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> replay() CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> add_replayed(const std::shared_ptr<Memtable>& memtable) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  [[nodiscard]] bool run_between(WriteVersion after, WriteVersion before) const;
  void wait_until_below_bound() CAIRN_EXCLUDES(state_mutex_);
  void report_extractor_failures();
  void renew_memtable(LineUp& next) CAIRN_REQUIRES(log_.mutex, state_mutex_);
  /// Whether it can be written to.
  [[nodiscard]] Result<void> check_open() const CAIRN_REQUIRES(log_.mutex);
  /// Readers take `next` from now on.
  void set_line_up(const std::shared_ptr<const LineUp>& next) {
    line_up_.set(next);
    line_up_changes_.fetch_add(1, std::memory_order_release);
  }

  // table_read.cc
  Result<void> check_snapshot(const Snapshot& snapshot) const;
  [[nodiscard]] Result<ReadView> read_view(std::uint16_t family, const Snapshot& snapshot) const;

  // table_large.cc
  struct LargeWritten {
    directory::LargeEntry entry;
    std::shared_ptr<const LargeValue> value;
    Bytes reference;
  };
  [[nodiscard]] bool is_large(const WriteRef& write) const;
  Result<LargeWritten> write_large_value(const WriteRef& write, const WriteOptions& options);
  Result<WriteVersion> write_with_large(std::span<const WriteRef> writes, const WriteOptions& options, Writer writer)
      CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  static void add_large(LineUp& next, const std::vector<LargeWritten>& large);
  Result<void> list_large(const std::vector<LargeWritten>& large) CAIRN_EXCLUDES(state_mutex_);
  Result<void> install_fates(const std::vector<LargeFate>& fates) CAIRN_EXCLUDES(state_mutex_);
  static void apply_fates(directory::ViewEntry& view, const std::vector<LargeFate>& fates);
  static std::vector<std::shared_ptr<const LargeValue>> apply_fates(LineUp& line_up, const std::vector<LargeFate>& fates);
  Result<void> drop_unreferenced(const std::set<std::uint64_t>& referenced) CAIRN_EXCLUDES(state_mutex_);

  // table_ingest.cc
  struct Ingested {
    Progress progress;
    std::exception_ptr thrown;  // By `progress`.
    std::int64_t expiry_ms = 0;
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;  // Of keys and values.
    Bytes last_key;
    std::vector<LargeWritten> large;
    std::vector<std::shared_ptr<const RunFile>> files;

    Result<void> report(const directory::Job& job);
  };
  Result<WriteVersion> ingest_files(std::uint16_t family, const std::vector<std::shared_ptr<const storage::MappedFile>>& files,
                                    const Progress& progress) CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<void> copy_ingested(directory::Job& job, std::uint16_t family, const sealed::SealedReader& reader, RunWriter& to,
                             Ingested& into);
  Result<WriteVersion> install_ingested(std::uint16_t family, RunWriter& writer, Ingested& ingested)
      CAIRN_EXCLUDES(log_.mutex, state_mutex_);
  Result<std::shared_ptr<const Run>> publish_ingested(std::uint16_t family, RunWriter& writer, Ingested& ingested);
  void show_ingested(std::uint16_t family, const std::shared_ptr<const Run>& run, const Ingested& ingested)
      CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);

  // table_write.cc
  Result<WriteVersion> write_in_log(std::span<const WriteRef> writes, const WriteOptions& options, Writer writer, bool& applied)
      CAIRN_EXCLUDES(log_.mutex);
  /// kBusy: the table belongs to a Model.
  [[nodiscard]] Result<void> check_writer(Writer writer) const CAIRN_REQUIRES(log_.mutex);
  [[nodiscard]] std::int64_t expiry_of(const WriteRef& write, std::int64_t ttl_ms) const {
    return ttl_ms != 0 && is_value(write.kind) ? directory::time_after(directory_->now_ms(), ttl_ms) : 0;
  }
  Result<void> make_room(const RoomNeeded& needed, std::int64_t& begin_ms) CAIRN_REQUIRES(log_.mutex);
  Result<void> wait_for_flush(std::int64_t& begin_ms) CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);
  void put_off(std::uint64_t bytes, std::int64_t begin_ms) CAIRN_EXCLUDES(log_.mutex);
  void count_wait(std::int64_t begin_ms);
  [[nodiscard]] double debt() const {
    return Pacing::debt(unsealed_bytes_.load(std::memory_order_relaxed), unsealed_bytes_max(),
                        runs_.load(std::memory_order_relaxed), tuning_.sealed_runs_max);
  }
  void freeze_memtable() CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] std::shared_ptr<Memtable> new_memtable(const LineUp& line_up) const;
  Result<void> extract_terms(std::span<const WriteRef> writes, std::vector<Terms>& terms) const;
  WriteVersion append(std::span<const WriteRef> writes, std::span<const Terms> terms, const WriteOptions& options,
                      const directory::Directory::Stamped& stamped) CAIRN_REQUIRES(log_.mutex);
  Result<void> leave_segment(const RoomNeeded& needed) CAIRN_REQUIRES(log_.mutex) CAIRN_EXCLUDES(state_mutex_);
  Result<void> freeze_and_wait_until_idle() CAIRN_REQUIRES(log_.mutex);

  // table_jobs.cc
  [[nodiscard]] bool frozen_unclaimed() const CAIRN_REQUIRES(state_mutex_);
  void schedule_flush() CAIRN_EXCLUDES(state_mutex_);
  void submit_flush() CAIRN_REQUIRES(state_mutex_);
  void schedule_compaction() CAIRN_EXCLUDES(state_mutex_);
  Merge claim(std::uint16_t family, std::size_t first, std::size_t count) CAIRN_EXCLUDES(state_mutex_);
  Merge claim_frozen() CAIRN_EXCLUDES(state_mutex_);
  Merge claim_unfinished() CAIRN_EXCLUDES(state_mutex_);
  Merge claim_layers(const LineUp& now, const std::set<const void*>& wanted) CAIRN_REQUIRES(state_mutex_);
  void unclaim(const Merge& merge) CAIRN_EXCLUDES(state_mutex_);
  Result<void> flush_all(directory::Job& job);
  Result<void> compact_all(directory::Job& job);
  /// Waits for `job`, and meanwhile tells `progress` how far it is; if that answers false, cancels the job.
  Result<void> wait_for_job(const std::shared_ptr<directory::Job>& job, const Progress& progress);
  Result<void> compact_family(std::uint16_t family, const Progress& progress) CAIRN_EXCLUDES(state_mutex_);
  struct Picked {
    std::uint16_t family;
    std::size_t first;
    std::size_t count;
  };
  [[nodiscard]] std::shared_ptr<const Run> join(std::span<const Layer> layers) const;
  [[nodiscard]] std::optional<Picked> pick_compaction() const;
  [[nodiscard]] bool unfinished() const;
  static std::size_t settled_runs(const LineUp& line_up);

  // table_merge.cc
  Result<void> run_merge(directory::Job& job, Merge& merge);
  Result<void> merge_group(directory::Job& job, Merge& merge, std::size_t group, std::vector<Replacement>& done);
  void claim_instead(Merge& merge, const Replacement& change) CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] bool is_live(const std::string& name) const;
  Result<void> install(const std::vector<Replacement>& replacements) CAIRN_EXCLUDES(state_mutex_);

  [[nodiscard]] std::uint64_t unsealed_bytes_max() const { return 4 * options_.memtable_bytes_max; }

  const HomeProcess home_;
  const std::uint64_t id_;  // No other open table of the process has it.
  const std::shared_ptr<directory::Directory> directory_;
  directory::Environment& environment_;
  const directory::ViewEntry entry_;  // As the manifest had it at open; name and number hold for good.
  const TableOptions options_;
  const Tuning tuning_;

  directory::Log log_;
  bool closed_ CAIRN_GUARDED_BY(log_.mutex) = false;  // close() has ended the log.
  bool of_model_ CAIRN_GUARDED_BY(log_.mutex) = false;
  bool model_open_ CAIRN_GUARDED_BY(log_.mutex) = false;
  int ingests_ CAIRN_GUARDED_BY(log_.mutex) = 0;  // Under way.
  std::shared_ptr<Memtable> active_ CAIRN_GUARDED_BY(log_.mutex);
  std::vector<std::shared_ptr<DeadRanges>> dead_ CAIRN_GUARDED_BY(log_.mutex);  // Of each family, as in the line-up.
  std::vector<std::uint64_t> checksums_ CAIRN_GUARDED_BY(log_.mutex);           // Of the batch being appended.
  std::vector<std::pair<const char*, segment::RecordView>> records_ CAIRN_GUARDED_BY(log_.mutex);  // Of that write.

  mutable Mutex state_mutex_{Rank::kLineUp};
  std::set<const void*> claimed_ CAIRN_GUARDED_BY(state_mutex_);  // Layers in a job; each in at most one.
  std::shared_ptr<directory::Job> flush_job_ CAIRN_GUARDED_BY(state_mutex_);
  std::shared_ptr<directory::Job> last_flush_job_ CAIRN_GUARDED_BY(state_mutex_);  // The same, or one that is at its end.
  std::shared_ptr<directory::Job> compaction_job_ CAIRN_GUARDED_BY(state_mutex_);
  bool stop_jobs_ CAIRN_GUARDED_BY(state_mutex_) = false;
  bool loaded_ CAIRN_GUARDED_BY(state_mutex_) = false;  // Before, neighbours in the line-up need not be neighbours.

  Published<LineUp> line_up_{nullptr};             // Replaced by set_line_up() only; none before load().
  std::atomic<std::uint64_t> line_up_changes_{0};  // Counted after each, before any version that it brings is visible.
  std::atomic<bool> has_indexes_{false};           // Some family has: set before it can be written to, and never unset.
  std::atomic<std::uint64_t> unsealed_bytes_{0};   // Records in memtables.
  std::atomic<std::size_t> runs_{0};               // settled_runs() of the line-up.
  Pacing pacing_;                                  // Its delays under log_.mutex.

  struct Counters {
    // These are changed under log_.mutex alone, with add_alone().
    std::atomic<std::uint64_t> writes{0};
    std::atomic<std::uint64_t> written_bytes{0};

    std::atomic<std::uint64_t> large_bytes{0};  // Written to files of large values.
    std::atomic<std::uint64_t> sealed_bytes{0};
    std::atomic<std::uint64_t> stalls{0};
    std::atomic<std::uint64_t> delays{0};
    std::atomic<std::int64_t> delayed_ms{0};
    std::atomic<std::int64_t> longest_wait_ms{0};
    std::atomic<std::uint64_t> flushes{0};
    std::atomic<std::uint64_t> compactions{0};
    mutable std::atomic<std::uint64_t> extractor_failures{0};
  };
  Counters counters_;
  std::vector<std::string> open_reports_;  // Written by load() only.
  std::atomic<std::uint64_t> merges_{0};   // Begun, each before it asks what is visible.
  const ScanHome scan_home_{*directory_, entry_.number, line_up_, merges_, counters_.written_bytes};
};

}  // namespace cairn::table
