// An ordered, durable map from byte strings to byte strings, kept as an LSM tree.
// To use it, read this file. To change it, start at docs/paths.md.
#pragma once
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cairn/bytes.h"
#include "cairn/export.h"
#include "cairn/progress.h"
#include "cairn/result.h"
#include "cairn/stats.h"
#include "cairn/write.h"

namespace cairn {

namespace table {
class TableImpl;
class EntrySource;
}  // namespace table
namespace directory {
class Pin;
}
namespace objects {
class TableStore;
}

enum class Compression : std::uint8_t { kNone, kLz4, kZstd };
/// "none", "lz4" or "zstd".
CAIRN_API const char* name_of(Compression compression);

/// Takes the term of a record out of its value; nullopt: it has none. Must give the same term for the same value, for
/// good, and be safe to call from any thread. It is called before a write is logged: if it throws, the write is
/// kInvalidArgument and nothing is applied. If it throws later, for a record that is stored, that record is in no index of it
/// and is counted (TableStats::extractor_failures).
using Extractor = std::function<std::optional<Bytes>(ByteView value)>;

/// Makes `extractor` known as `name` in this process, for index definitions in manifests to refer to. Call it before
/// opening tables. kInvalidArgument: a name with quotes, backslashes or anything but printable ASCII.
CAIRN_API Result<void> register_extractor(const std::string& name, Extractor extractor);

/// A term index: records are found by a term in their value.
struct CAIRN_API IndexOptions {
  std::string name = {};  ///< 1 to 32 characters of a-z A-Z 0-9 _ - . :
  /// Terms up to this length are kept as they are, longer ones as a hash of it. 1 to 1,024 bytes.
  std::uint32_t term_bytes = 16;
  /// json:/POINTER (RFC 6901; a string as it is, a number or boolean as its JSON text), bytes:OFFSET,LENGTH, or a name given
  /// to register_extractor().
  std::string extractor = {};
};

/// A table has at most so many families, `main` included: each memtable has an index for every one.
inline constexpr std::size_t kFamiliesMax = 256;

/// How a family stores its records. The manifest keeps these options. A member that is not given means "as it is", and for a
/// new family what its comment says. A member that is given and differs from the manifest is kInvalidArgument, which names
/// both; Table::alter() changes the time to live and the compression.
struct CAIRN_API FamilyOptions {
  bool create_if_missing = true;
  std::optional<Compression> compression = {};  ///< Of sealed files. New: kNone.
  /// A record ends this long after it was written, by the clock as it is when it is read. 0: never; more than 4,000 years are
  /// never too. New: 0.
  std::optional<std::chrono::milliseconds> ttl = {};
  std::vector<IndexOptions> indexes = {};  ///< At most 16, in any order. Empty: not given. New: none.
};

/// How a table is opened. `main` is as FamilyOptions says. The rest holds until the database is closed, and may differ from open
/// to open; of several calls for one table in one open the first counts.
struct CAIRN_API TableOptions {
  bool create_if_missing = true;
  FamilyOptions main = {};  ///< The family every table has; its create_if_missing is not looked at.
  /// Log bytes that one memtable takes before it is sealed. 1 MiB to 1 GiB. A table that is written to without a pause works on
  /// the logs of several at once, through the page cache: give it less than a quarter of the memory there is.
  std::uint64_t memtable_bytes_max = 64 * kMiB;
  /// Bytes per second that flush and compaction may read and write; 0 for no limit.
  std::uint64_t job_bytes_per_s_max = 0;
};

class Batch;
class Table;

/// The state of one table at one moment. Cheap to copy; as long as a copy lives, what it sees is kept, which costs disk
/// space: the oldest one is named in stats. A default Snapshot means "now".
class CAIRN_API Snapshot {
 public:
  Snapshot() = default;
  explicit Snapshot(std::shared_ptr<const directory::Pin> pin) : pin_(std::move(pin)) {}
  [[nodiscard]] bool is_now() const { return pin_ == nullptr && !of_nothing_; }
  /// The version it stands on; of a snapshot that is not "now".
  [[nodiscard]] WriteVersion write_version() const;
  [[nodiscard]] const std::shared_ptr<const directory::Pin>& pin() const { return pin_; }
  /// Taken of a handle that can no longer be used: every read of it is refused.
  [[nodiscard]] static Snapshot of_nothing() {
    Snapshot snapshot;
    snapshot.of_nothing_ = true;
    return snapshot;
  }
  [[nodiscard]] bool is_of_nothing() const { return of_nothing_; }

 private:
  std::shared_ptr<const directory::Pin> pin_;
  bool of_nothing_ = false;
};
inline const Snapshot kNow;

/// Keys in [from, to); an empty `to` has no end.
struct CAIRN_API Range {
  Bytes from = {};
  Bytes to = {};
};
/// Every key.
inline Range everything() { return {}; }
/// Every key that begins with `bytes`.
CAIRN_API Range prefix(ByteView bytes);

enum class Direction : std::uint8_t { kForward, kReverse };

/// A walk over a range in key order. Moves only; one thread at a time. Sees the table as it was when the scan began and
/// keeps the files and memtables it reads until it is destroyed, which must happen before the process lets go of the
/// Database. As it goes it lets go of memtables that were flushed, and from then on holds back versions as a snapshot does.
/// It so keeps in memory at most what was unsealed at one time (stats: unsealed_bytes_max), indexed. Keep it in a variable, and
/// read status() at the end: a walk that met damage ends early.
class CAIRN_API Scan {
 public:
  struct Entry {
    ByteView key;
    ByteView value;
  };
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Scan* scan) : scan_(scan) {}
    Entry operator*() const { return scan_->entry(); }
    Iterator& operator++() {
      scan_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !scan_->valid(); }

   private:
    Scan* scan_;
  };

  explicit Scan(std::unique_ptr<table::EntrySource> impl);
  Scan(Scan&&) noexcept;
  Scan& operator=(Scan&&) noexcept;
  ~Scan();

  [[nodiscard]] bool valid() const;
  /// Views that stay valid until next().
  [[nodiscard]] Entry entry() const;
  void next();
  /// Why the walk ended: fine at the end of the range; kCorruption or kIo, with file and offset.
  [[nodiscard]] Result<void> status() const;

  Iterator begin() { return Iterator(this); }
  static std::default_sentinel_t end() { return {}; }

 private:
  std::shared_ptr<table::EntrySource> impl_;  // Not shared: a shared_ptr for its deleter.
};

struct CAIRN_API LayerStats {
  std::string family = {};  ///< Empty: of all families.
  std::string kind = {};    ///< "sealed", "memory, read-only" or "memory, writable".
  std::vector<std::string> files = {};
  std::uint64_t bytes = 0;  ///< On disk.
  std::uint64_t records = 0;
  WriteVersion version_first = 0;
  WriteVersion version_last = 0;
};

/// One version of a key, or a range tombstone over it, somewhere in a table.
struct CAIRN_API KeyVersion {
  std::string layer = {};  ///< As in LayerStats::kind.
  std::string file = {};   ///< Segment or sealed file; empty for a range tombstone in memory.
  std::string kind = {};   ///< "put", "put, large", "tombstone" or "range tombstone".
  WriteVersion write_version = 0;
  std::int64_t written_ms = 0;    ///< Since 1970.
  std::uint64_t value_bytes = 0;  ///< Of a put.
  std::int64_t expiry_ms = 0;     ///< Since 1970; 0: never.
  std::string verdict = {};       ///< "the answer", or why it is not, in words.
};

/// What keeps versions that nothing else needs: a Snapshot, or a scan that has gone on for long.
struct CAIRN_API PinStats {
  std::uint64_t id = 0;
  std::string label = {};
  WriteVersion write_version = 0;
  std::int64_t age_ms = 0;
  std::uint64_t written_bytes_since = 0;  ///< Keys and values; what they replaced or erased is what is held back.
};

/// A family and its options, as the manifest has them.
struct CAIRN_API FamilyStats {
  std::string name = {};
  Compression compression = Compression::kNone;
  std::chrono::milliseconds ttl{0};  ///< 0: records never end.
  std::vector<IndexOptions> indexes = {};
};

struct CAIRN_API TableStats {
  std::vector<FamilyStats> families = {};  ///< By number; `main` is the first.
  std::vector<LayerStats> layers = {};     ///< Oldest first.
  WriteVersion visible_version = 0;
  std::uint64_t large_values = 0;        ///< Kept in files of their own,
  std::uint64_t large_bytes = 0;         ///< of so many bytes.
  std::uint64_t unsealed_bytes = 0;      ///< In logs.
  std::uint64_t unsealed_bytes_max = 0;  ///< At this bound writes wait for a flush.
  std::uint64_t runs_max = 0;            ///< Sealed runs of a family; above it compaction is behind.
  double debt = 0;                       ///< Of background work, 0 to 1. Above 0 writes are delayed.
  std::uint64_t write_rate_max = 0;      ///< Bytes of log per second that the debt allows; 0: no limit.
  std::int64_t write_wait_ms_max = 0;    ///< No write waits longer for background work: then it is refused, kTimeout.
  std::int64_t longest_wait_ms = 0;      ///< Of a write since open, for background work.
  std::uint64_t delays = 0;              ///< Writes that were delayed.
  std::int64_t delayed_ms = 0;           ///< All their delays.
  std::uint64_t stalls = 0;              ///< Writes that waited at the bound on unsealed bytes.
  std::uint64_t writes = 0;              ///< Calls since open, as are all counts below.
  std::uint64_t written_bytes = 0;       ///< Keys and values.
  std::uint64_t log_bytes = 0;
  std::uint64_t sealed_bytes_written = 0;
  std::uint64_t syncs = 0;
  std::uint64_t flushes = 0;
  std::uint64_t compactions = 0;         ///< Those that only joined runs too.
  double write_amplification = 0;        ///< (log + sealed bytes) / written bytes.
  std::uint64_t memory_bytes = 0;        ///< Memtable indexes of this table, range tombstones included.
  std::uint64_t extractor_failures = 0;  ///< Stored records that an extractor threw for: it is in no index of it.
  std::uint32_t maps_open = 0;           ///< Of the process, at most maps_max.
  std::uint32_t maps_max = 0;
  std::optional<PinStats> oldest_pin = {};
  std::vector<JobStats> jobs = {};             ///< Of the process.
  std::vector<std::string> open_reports = {};  ///< What opening had to leave out.
  std::string write_state = {};                ///< Empty, or why nothing can be written.
};

/// One family of a named table of an open Database: at first the family `main`. A handle: cheap to copy, safe to use from any
/// thread, valid as long as the Database it came from.
class CAIRN_API Table {
 public:
  explicit Table(std::shared_ptr<table::TableImpl> impl, std::uint16_t family = 0) : impl_(std::move(impl)), family_(family) {}

  /// The family `name` of this table, made on first use. Families share log, snapshots and batches, each has its own
  /// keys and options. Errors: kNotFound, there is none and options.create_if_missing is false; kInvalidArgument, an option is
  /// given that differs from the family's, or there are kFamiliesMax families already; and as write().
  [[nodiscard]] Result<Table> family(const std::string& name, const FamilyOptions& options = {}) const;
  [[nodiscard]] std::vector<std::string> families() const;
  /// Changes the options of the family `name` ("main" for the first), durably; what is not given stays. Nothing ends at once: a
  /// new time to live counts for records written after this call, records that are stored keep the end they were given. A new
  /// compression counts for files that are sealed from now on, by compaction too. Errors: kNotFound, there is no such family;
  /// kInvalidArgument, an option is out of range, or indexes are given that the family does not have: an index cannot be added
  /// to a family or taken from it; and as write().
  Result<void> alter(const std::string& name, const FamilyOptions& options);

  /// Stores `value` under `key`, and returns the write version it was given. Errors: as write().
  Result<WriteVersion> put(ByteView key, ByteView value, const WriteOptions& options = {});
  /// Erases `key`, present or not. Errors: as write().
  Result<WriteVersion> erase(ByteView key, const WriteOptions& options = {});
  /// Erases every key in `range`, at a cost that does not depend on how many there are. kInvalidArgument: the range is
  /// empty. Other errors: as write().
  Result<WriteVersion> erase_range(const Range& range, const WriteOptions& options = {});
  /// Applies all of `batch` or none of it, and returns the write version of its last write. An empty batch does nothing.
  /// Values of 16 MiB and more go to files of their own, written and synced before the write takes its turn; the rest of a
  /// batch takes at most 1 GiB. It is acknowledged when readers see it. Delayed in proportion to what background work is behind,
  /// and at most stats().write_wait_ms_max. Errors: kInvalidArgument, a key or the whole batch is over its limit; kNoSpace, no
  /// room: nothing was applied, either way. kTimeout: flushes do not keep up; nothing was applied either. kLeaseLost; kReadOnly,
  /// the log could not be synced: what reached the disk is then unknowable, so every later write fails likewise until the
  /// database is reopened. Reads go on working.
  Result<WriteVersion> write(const Batch& batch, const WriteOptions& options = {});

  /// The newest value of `key` visible to `snapshot`, or nullopt: absence is an answer, no error. The value stays valid
  /// as long as the Pinned is held. Never waits for a writer or a job.
  /// Errors: kCorruption, with file and offset; kIo; kInvalidArgument, the snapshot is of another table or another open of this
  /// one; kUnavailable, the snapshot was ended. None harms later calls.
  [[nodiscard]] Result<std::optional<Pinned>> get(ByteView key, const Snapshot& snapshot = kNow) const;
  /// get() of each key, all of one moment.
  [[nodiscard]] Result<std::vector<std::optional<Pinned>>> multi_get(std::span<const ByteView> keys,
                                                                     const Snapshot& snapshot = kNow) const;
  /// The entries of `range`, at most `limit` of them (0: all). Errors come with the scan's status().
  [[nodiscard]] Scan scan(const Range& range = everything(), Direction direction = Direction::kForward, std::uint64_t limit = 0,
                          const Snapshot& snapshot = kNow) const;
  /// The entries whose term in `index` is `term`, in order of key. kInvalidArgument, as the scan's status(): there is no
  /// such index.
  [[nodiscard]] Scan find(const std::string& index, ByteView term, const Snapshot& snapshot = kNow) const;
  /// Where each version of `key` is and what a reader at `snapshot` makes of it, newest first. For people who ask why.
  [[nodiscard]] Result<std::vector<KeyVersion>> explain(ByteView key, const Snapshot& snapshot = kNow) const;
  /// The table, all of its families, as it is now. `label` names it in stats.
  [[nodiscard]] Snapshot snapshot(const std::string& label = "snapshot") const;

  /// Takes in all that `files` hold (SealedFileWriter), at once and atomically, as newer than all that was written before,
  /// and returns the write version of all of it. Keys ascend from file to file too. The files are read, checked and copied,
  /// and are not needed afterwards; indexes, compression and time to live, which runs from the beginning of the call, are
  /// those of the family. What is taken in is durable, and passes neither log nor memtable. Reads and writes go on meanwhile;
  /// only in the last step, which ends the log's segment, writes wait: for a sync of each sealed file it became (512 MiB each,
  /// open until then) and of the manifest. It is a job in stats. Errors: kNotFound; kCorruption, kUnsupported, kIo, with file and
  /// offset; kInvalidArgument, keys do not ascend; kUnavailable, the database was closed; otherwise as write(). After an error
  /// nothing was taken in; only after kReadOnly and kLeaseLost a reopen has to tell. Nor was anything after `progress` cancelled
  /// it.
  Result<WriteVersion> ingest(std::span<const std::string> files, const Progress& progress = {});

  /// Ends the pin `id` (stats: oldest_pin): it holds nothing back any more. Reads of its snapshot fail with kUnavailable from
  /// now on; a scan under way goes on, with the files it has. kNotFound: there is none.
  Result<void> end_pin(std::uint64_t id);

  /// Seals everything written so far, in all families; returns when that is durable.
  Result<void> flush();
  /// Merges everything sealed and unsealed into one run for each family, dropping what nothing can see. If `progress` cancels it,
  /// what was merged by then stays merged. The flush at its beginning does not call `progress`.
  Result<void> compact(const Progress& progress = {});

  [[nodiscard]] TableStats stats() const;

 private:
  friend class Batch;
  friend class objects::TableStore;
  std::shared_ptr<table::TableImpl> impl_;
  std::uint16_t family_ = 0;
};

/// Writes that happen together or not at all, in one family of a table or several. Of two writes to one key the later
/// wins. Owns its bytes.
class CAIRN_API Batch {
 public:
  /// Into the family that write() is called on.
  void put(ByteView key, ByteView value) { add(nullptr, Kind::kPut, key, value); }
  void erase(ByteView key) { add(nullptr, Kind::kErase, key, {}); }
  void erase_range(const Range& range) { add(nullptr, Kind::kEraseRange, range.from, range.to); }
  /// Into `family`, which must be of the same table.
  void put(const Table& family, ByteView key, ByteView value) { add(&family, Kind::kPut, key, value); }
  void erase(const Table& family, ByteView key) { add(&family, Kind::kErase, key, {}); }
  void erase_range(const Table& family, const Range& range) { add(&family, Kind::kEraseRange, range.from, range.to); }
  /// As put(), without a copy of the value: `batch.put(family, key, std::move(value))`.
  template <typename Value>
    requires std::same_as<Value, Bytes>
  void put(ByteView key, Value&& value) {
    add_owned(nullptr, Kind::kPut, key, std::forward<Value>(value));
  }
  template <typename Value>
    requires std::same_as<Value, Bytes>
  void put(const Table& family, ByteView key, Value&& value) {
    add_owned(&family, Kind::kPut, key, std::forward<Value>(value));
  }
  void clear() {
    writes_.clear();
    bytes_ = 0;
  }
  [[nodiscard]] std::size_t size() const { return writes_.size(); }
  [[nodiscard]] bool empty() const { return writes_.empty(); }
  /// Of all keys and values.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  friend class Table;
  enum class Kind : std::uint8_t { kPut, kErase, kEraseRange };
  struct Write {
    std::uint64_t table;  // An id; 0: the one that write() is called on.
    std::uint16_t family;
    Kind kind;
    Bytes key;
    Bytes value;  // Of a range: its end.
  };
  void add(const Table* into, Kind kind, ByteView key, ByteView value) { add_owned(into, kind, key, Bytes(value)); }
  void add_owned(const Table* into, Kind kind, ByteView key, Bytes&& value);
  std::vector<Write> writes_;
  std::uint64_t bytes_ = 0;
};

}  // namespace cairn
