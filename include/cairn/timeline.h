// Binary objects under string keys, in the order of time: every save of the last `timeout` can be looked up as of any moment,
// listed, watched, and rolled back. To use it, read this file. To change it, start at docs/paths.md.
#pragma once
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cairn/bytes.h"
#include "cairn/export.h"
#include "cairn/result.h"
#include "cairn/stats.h"
#include "cairn/time.h"
#include "cairn/write.h"

namespace cairn {

namespace timeline {
class TimelineImpl;
class SaveSource;
class Watcher;
struct SaveRef;
}  // namespace timeline

/// When a save was made: a time and, below it, a sequence number. Ascends from write to write of a timeline, also when the clock
/// steps back; the saves of one batch share theirs.
struct CAIRN_API Stamp {
  static constexpr unsigned kSequenceBits = 16;
  std::uint64_t value = 0;  ///< Milliseconds since 1970 << 16 | sequence.

  /// "MILLISECONDS-SEQUENCE", such as "1795802203465-3": the one way a stamp is written, by the command and the server too.
  [[nodiscard]] std::string to_string() const;
  /// What to_string() wrote; nullopt: `text` is nothing of the kind.
  static std::optional<Stamp> parse(ByteView text);
  [[nodiscard]] Time time() const { return Time(std::chrono::milliseconds(static_cast<std::int64_t>(value >> kSequenceBits))); }
  auto operator<=>(const Stamp&) const = default;
};

/// A point of a timeline: a stamp, or a time, which means all of its millisecond: as the end of a range it leaves out all of it,
/// and as the moment of get_at() or rollback() it has all of it.
class CAIRN_API Moment {
 public:
  // Implicit on purpose: whatever says when is a moment.
  Moment(Stamp stamp) : first_(stamp), last_(stamp) {}  // NOLINT(google-explicit-constructor)
  template <typename Duration>
  Moment(std::chrono::sys_time<Duration> time) {  // NOLINT(google-explicit-constructor)
    constexpr std::int64_t kMsMax = std::int64_t{1} << 46;
    // Compared as what holds the greatest time of any unit.
    const auto about_ms = std::chrono::duration<double, std::milli>(time.time_since_epoch()).count();
    std::uint64_t clamped = about_ms < 0 ? 0 : static_cast<std::uint64_t>(kMsMax);
    if (about_ms >= 0 && about_ms < static_cast<double>(kMsMax)) {
      clamped = static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(time).time_since_epoch().count());
    }
    first_.value = clamped << Stamp::kSequenceBits;
    last_.value = first_.value | ((std::uint64_t{1} << Stamp::kSequenceBits) - 1);
  }
  [[nodiscard]] Stamp first() const { return first_; }
  [[nodiscard]] Stamp last() const { return last_; }

 private:
  Stamp first_;
  Stamp last_;
};
inline const Moment kBeginning = Stamp{0};
inline const Moment kEndOfTime = Stamp{~std::uint64_t{0}};

/// What becomes of saves that are older than the timeout.
enum class Expired : std::uint8_t {
  kDrop,     ///< They are gone.
  kPersist,  ///< The last save of each key stays, for get() alone.
};

/// What is given holds from now on; what is not stays as it is, and for a new timeline is what the comment says.
struct CAIRN_API TimelineOptions {
  bool create_if_missing = true;
  /// How long a save belongs to the timeline; to the millisecond, for every call. 0: for ever (for a new one).
  std::optional<std::chrono::milliseconds> timeout = {};
  std::optional<Expired> expired = {};  ///< kDrop.
  /// A block closes when it has so many different keys (1 M), takes so many bytes (64 MiB; 4 KiB to 1 GiB), or when its saves
  /// would span more time than this (1 day). Blocks expire as a whole: smaller ones give room back sooner.
  std::optional<std::uint64_t> block_keys_max = {};
  std::optional<std::uint64_t> block_bytes_max = {};
  std::optional<std::chrono::milliseconds> block_span_max = {};
  /// How long a rollback can be undone, and what it cut off takes room (1 day).
  std::optional<std::chrono::milliseconds> undo_time = {};
  std::uint64_t job_bytes_per_s_max = 0;  ///< That background jobs may read and write; 0: no limit. Of this open.
};

struct CAIRN_API SaveOptions {
  Durability durability = Durability::kDisk;  ///< As WriteOptions has it, and the next.
  std::optional<std::uint64_t> account = {};
  bool keep_empty = false;                     ///< Zero bytes are data; else they erase.
  std::chrono::milliseconds expires_after{0};  ///< The save is gone for get() so long after it was made; 0: with the timeout.
  /// For histories from elsewhere: when it was made, in place of now. Not before the last save of the timeline, nor in the
  /// future.
  std::optional<Time> time = {};
};

/// Saves that are made together or not at all, with one stamp. Of two of one key the later counts. Owns its bytes.
class CAIRN_API Saves {
 public:
  /// Zero bytes erase the key, as in Timeline::put(). `expires`: in place of SaveOptions::expires_after.
  void put(ByteView key, ByteView data, std::optional<Time> expires = {}) {
    saves_.push_back({Kind::kPut, Bytes(key), Bytes(data), expires});
  }
  void erase(ByteView key) { saves_.push_back({Kind::kErase, Bytes(key), {}, {}}); }
  /// As Timeline::set_expiry(); of a key that is put in the same batch too. Passed over where there is nothing.
  void set_expiry(ByteView key, std::optional<Time> when) { saves_.push_back({Kind::kSetExpiry, Bytes(key), {}, when}); }
  /// As Timeline::erase_all(); of what comes before it, in the batch too.
  void erase_all() { saves_.assign(1, {Kind::kEraseAll, {}, {}, {}}); }
  void clear() { saves_.clear(); }
  [[nodiscard]] std::size_t size() const { return saves_.size(); }
  [[nodiscard]] bool empty() const { return saves_.empty(); }

 private:
  friend class Timeline;
  enum class Kind : std::uint8_t { kPut, kErase, kSetExpiry, kEraseAll };
  struct Save {
    Kind kind;
    Bytes key;
    Bytes data;
    std::optional<Time> time;
  };
  std::vector<Save> saves_;
};

/// What is known of the last save of a key.
struct CAIRN_API SaveInfo {
  Stamp stamp = {};
  std::optional<Time> expires = {};  ///< By itself; none: with the timeout alone.
};

/// Saves that were applied (Timeline::apply()), for Timeline::settle().
struct CAIRN_API Applied {
  Stamp stamp = {};
  WriteVersion version = 0;
  std::uint64_t timeline = 0;  ///< Which open timeline applied them.
};

struct CAIRN_API RollbackOptions {
  /// Also to a moment before the first save, which empties the timeline.
  bool force = false;
};

/// The saves that a rollback has cut off.
struct CAIRN_API RolledBack {
  std::uint64_t saves = 0;          ///< An erase of all keys counts as one.
  bool at_least = false;            ///< There may be more: counting them all would have taken longer than 100 ms.
  std::optional<Stamp> since = {};  ///< The first of them; none: nothing came after the moment, and nothing was changed.
  Time undo_until{};                ///< undo() brings them back until then.
};

/// See Timeline::key_counts().
struct CAIRN_API KeyCounts {
  std::uint64_t keys = 0;      ///< Keys that present() lists.
  std::uint64_t expiring = 0;  ///< Those of them that expire by themselves.
  std::uint64_t expired = 0;   ///< Keys that were counted since the open and have expired since then.
};

/// What a lookup sees.
enum class Sees : std::uint8_t {
  kAcknowledged,  ///< What is as durable as its writer asked: none of it is ever taken back.
  kApplied,       ///< Everything that was applied. Answer for it after settle() alone: a crash may take it back.
};

/// A walk over saves in the order of time, those of one stamp in the order of their keys (Timeline::present(): in the order of
/// keys alone). Moves only; one thread at a time. Sees
/// the timeline as it was when the walk began, and keeps the files it reads until it is destroyed, which must happen before the
/// process lets go of the Database. Read status() at the end: a walk that met damage ends early.
class CAIRN_API SaveList {
 public:
  struct Entry {
    ByteView key;  ///< Valid until next().
    Stamp stamp;
    bool erased = false;  ///< In a history: the key was erased.
  };
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(SaveList* list) : list_(list) {}
    Entry operator*() const { return list_->entry(); }
    Iterator& operator++() {
      list_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !list_->valid(); }

   private:
    SaveList* list_;
  };

  explicit SaveList(std::unique_ptr<timeline::SaveSource> source);
  SaveList(SaveList&&) noexcept;
  SaveList& operator=(SaveList&&) noexcept;
  ~SaveList();

  [[nodiscard]] bool valid() const;
  [[nodiscard]] Entry entry() const;
  /// What was saved; of an entry that did not erase. Errors as Timeline::get().
  [[nodiscard]] Result<Pinned> data() const;
  void next();
  /// Why the walk ended: fine at the end; kCorruption or kIo, with file and offset; kInvalidArgument; kUnavailable, it was ended
  /// (Timeline::end_held()).
  [[nodiscard]] Result<void> status() const;

  Iterator begin() { return Iterator(this); }
  static std::default_sentinel_t end() { return {}; }

 private:
  std::shared_ptr<timeline::SaveSource> source_;  // Not shared: a shared_ptr for its deleter.
};

/// What a Watch says.
struct CAIRN_API WatchEvent {
  enum class Kind : std::uint8_t {
    kSaved,
    kErased,
    kErasedAll,  ///< Every key, under whatever prefix.
    /// What came after `stamp` does not count any more: a rollback. undo() gives the same event again, and after it each save
    /// that came back, with the stamp that it had.
    kRolledBack,
    kMissed,  ///< Saves up to `stamp` expired before they were asked for.
  };
  Kind kind = Kind::kSaved;
  Bytes key = {};
  Stamp stamp = {};
  Pinned data = {};
};

/// Follows the saves under a prefix. Moves only; one thread at a time. Must be gone before the process lets go of the Database.
class CAIRN_API Watch {
 public:
  explicit Watch(std::unique_ptr<timeline::Watcher> watcher);
  /// One that could not begin: next() gives `why`.
  explicit Watch(Error why);
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;
  ~Watch();

  /// The next event; nullopt if there was none for about `wait`. Errors as Timeline::get(), and kUnavailable once the timeline is
  /// closed; after kCorruption the next call goes on behind the save that could not be read or, if it was an index, behind that.
  Result<std::optional<WatchEvent>> next(std::chrono::milliseconds wait);
  /// Whether there are saves that next() has not looked at, under whatever prefix: it may come back before it has seen them all.
  [[nodiscard]] bool behind() const;

 private:
  std::shared_ptr<timeline::Watcher> watcher_;  // Not shared: a shared_ptr for its deleter.
  std::optional<Error> why_not_;
};

/// One of the lines of a timeline: "main", "persistent", "next".
struct CAIRN_API LineStats {
  std::string name = {};
  std::uint64_t blocks = 0;
  std::uint64_t bytes = 0;  ///< Of their segments.
  std::uint64_t saves = 0;
  std::uint64_t live_saves_max = 0;  ///< The last ones of their keys, as far as each index knows by itself.
  Stamp first = {};
  Stamp last = {};
};

struct CAIRN_API BlockStats {
  std::string line = {};
  std::string file = {};
  std::string state = {};  ///< "active", "ended" (its index is being written) or "closed".
  std::uint64_t bytes = 0;
  std::uint64_t saves = 0;
  Stamp first = {};
  Stamp last = {};
};

struct CAIRN_API RollbackStats {
  Stamp to = {};     ///< What came after it,
  Stamp until = {};  ///< up to here, is rolled back.
  bool undoable = false;
  Time undo_until = {};
};

/// What is held by a SaveList, by a Watch that has not given all it read, or by a step of a job, though it has left the timeline
/// meanwhile.
struct CAIRN_API HeldStats {
  std::uint64_t id = 0;            ///< For Timeline::end_held().
  std::int64_t age_ms = 0;         ///< Since the timeline went on without it.
  std::uint64_t bytes = 0;         ///< Of files that are kept for it,
  std::uint64_t memory_bytes = 0;  ///< and of indexes in memory.
};

struct CAIRN_API TimelineStats {
  std::chrono::milliseconds timeout{0};
  Expired expired = Expired::kDrop;
  std::vector<LineStats> lines = {};          ///< Main, persistent, next.
  std::vector<BlockStats> blocks = {};        ///< Oldest first.
  std::vector<RollbackStats> rollbacks = {};  ///< Oldest first.
  std::uint64_t index_files = 0;
  std::uint64_t index_bytes = 0;
  std::uint64_t index_probes = 0;    ///< Looks into the index of one block or many, since open, as are all counts below;
  std::uint64_t lookups = 0;         ///< for so many keys.
  std::uint64_t blocks_touched = 0;  ///< Reads of a save in a closed block.
  std::uint64_t writes = 0;
  std::uint64_t written_bytes = 0;  ///< Keys and data.
  std::uint64_t log_bytes = 0;
  std::uint64_t index_bytes_written = 0;
  std::uint64_t blocks_closed = 0;
  std::uint64_t blocks_expired = 0;  ///< That left the main line.
  std::uint64_t cycles = 0;          ///< Of the persistent line that ended.
  std::uint64_t syncs = 0;
  std::uint64_t memory_bytes = 0;  ///< Indexes of blocks that are not closed yet.
  bool cycle_under_way = false;
  std::optional<HeldStats> oldest_held = {};
  std::vector<JobStats> jobs = {};             ///< Of the process.
  std::vector<std::string> open_reports = {};  ///< What opening had to leave out.
  std::string write_state = {};                ///< Empty, or why nothing can be written.
  std::vector<std::string> job_errors = {};    ///< Why background work stands still, until it goes on; with file and offset.
};

/// A named timeline of an open Database. A handle: cheap to copy, safe to use from any thread, valid as long as the Database it
/// came from. Saves are made one after the other; readers wait for nobody.
class CAIRN_API Timeline {
 public:
  explicit Timeline(std::shared_ptr<timeline::TimelineImpl> impl) : impl_(std::move(impl)) {}

  /// Saves `data` (at most 1 GiB) under `key` (1 to 65,535 bytes), and returns its stamp. Zero bytes erase the key, which
  /// histories show, unless options.keep_empty. Errors: as write().
  Result<Stamp> put(ByteView key, ByteView data, const SaveOptions& options = {});
  Result<Stamp> erase(ByteView key, const SaveOptions& options = {});
  /// Erases every key, in one record, however many there are.
  Result<Stamp> erase_all(const SaveOptions& options = {});
  /// From now on the last save of `key` is gone for get() at `when`; nullopt: with the timeout alone. Its data is not saved anew,
  /// and histories, listings and watches do not show it; a rollback takes it back. kNotFound: there is nothing under the key.
  /// Others as write().
  Result<Stamp> set_expiry(ByteView key, std::optional<Time> when, const SaveOptions& options = {});
  /// Makes all of `saves` or none, and returns the stamp they got. Acknowledged when readers see them. Errors: kInvalidArgument,
  /// a key, the data or the whole is over its limit, an expiry lies before 1970 or thousands of years ahead, or options.time lies
  /// before the last save or in the future; kNotFound: there is nothing but changes of what is not there; kNoSpace, kTimeout:
  /// nothing was saved, try again; kLeaseLost; kReadOnly, as Table::write().
  Result<Stamp> write(const Saves& saves, const SaveOptions& options = {});
  /// As write(), but without waiting until it is acknowledged: for one who makes many saves, one after the other, reads at
  /// Sees::kApplied in between, and answers for all of them together after settle().
  Result<Applied> apply(const Saves& saves, const SaveOptions& options = {});
  /// The same of one save. `expires`: in place of SaveOptions::expires_after.
  Result<Applied> apply_put(ByteView key, ByteView data, std::optional<Time> expires, const SaveOptions& options = {});
  struct Put {
    ByteView key;
    ByteView data;
  };
  /// Makes each of `puts` a write of its own, in their order, with a stamp of its own: as apply_put() of one after the other, but
  /// sooner, as memory is waited for together. On an error none is applied. Returns the last.
  Result<Applied> apply_each(std::span<const Put> puts, const SaveOptions& options = {});
  /// Whether a save of so many bytes would be applied without waiting for room or for background work, as things stand.
  [[nodiscard]] bool applies_at_once(std::uint64_t bytes) const;
  /// Returns when readers see `applied` and all that was applied before it, as durable as was asked. Errors: as write(); which of
  /// them a later open will find is then unknowable.
  Result<void> settle(const Applied& applied);
  /// Returns when all that was acknowledged before the call is on the device. Errors as write().
  Result<void> sync();

  /// What was saved last under `key`; nullopt if nothing was, if that erased it, or if it has expired. Never waits for a writer
  /// or a job. Errors: kCorruption, with file and offset; kIo. Neither harms later calls.
  [[nodiscard]] Result<std::optional<Pinned>> get(ByteView key, Sees sees = Sees::kAcknowledged) const;
  /// get() of each key, all of one moment: sooner than one by one, as memory is waited for together.
  [[nodiscard]] Result<std::vector<std::optional<Pinned>>> multi_get(std::span<const ByteView> keys,
                                                                     Sees sees = Sees::kAcknowledged) const;
  /// When that was saved, and when it expires.
  [[nodiscard]] Result<std::optional<SaveInfo>> info(ByteView key, Sees sees = Sees::kAcknowledged) const;
  /// When `key` was last changed in whatever way: saved, erased, by itself or with all others, or given another expiry. 0:
  /// nothing is known of it. Two equal answers mean that nothing but time has changed it in between; a rollback that is undone
  /// meanwhile changes nothing.
  [[nodiscard]] Result<Stamp> changed(ByteView key, Sees sees = Sees::kAcknowledged) const;
  /// The stamp of the last save that was acknowledged. It never goes back, also not with a rollback.
  [[nodiscard]] Stamp last() const;
  /// As get(), as of `at`, within the timeout.
  [[nodiscard]] Result<std::optional<Pinned>> get_at(ByteView key, Moment at) const;
  /// The keys that begin with `prefix`, each with the last save that it got in [from, to), in the order of these saves; without
  /// those whose last save there erased them. At most `limit` (0: all).
  [[nodiscard]] SaveList keys(ByteView prefix, Moment from = kBeginning, Moment to = kEndOfTime, std::uint64_t limit = 0) const;
  /// The keys that begin with `prefix`, from `from` on, under which get() finds something, in the order of keys; of the
  /// persistent line too. At most `limit` (0: all).
  [[nodiscard]] SaveList present(ByteView prefix, ByteView from = {}, std::uint64_t limit = 0,
                                 Sees sees = Sees::kAcknowledged) const;
  /// Counts the keys that present() lists. A key that expires by itself may be counted for up to 128 ms longer. The first call
  /// walks over all keys; each later call looks at the saves made since the call before, or walks if that is cheaper. Saving
  /// costs nothing for it. Errors: kIo, kCorruption.
  [[nodiscard]] Result<KeyCounts> key_counts() const;
  /// One of those keys, each with the same chance; nullopt: there is none. `random`: any 64 bits. Expected cost: one lookup for
  /// each save that the timeline holds per key; where that is thousands, one walk over all keys.
  [[nodiscard]] Result<std::optional<Bytes>> random_key(std::uint64_t random, Sees sees = Sees::kAcknowledged) const;
  /// All saves of `key` in [from, to), oldest first.
  [[nodiscard]] SaveList history(ByteView key, Moment from = kBeginning, Moment to = kEndOfTime, std::uint64_t limit = 0) const;
  /// Saves under `prefix` from `from` on: all that are there, then those to come. From now on: Stamp{last().value + 1}. `prefix`
  /// is copied, as are the arguments of the lists above.
  [[nodiscard]] Watch watch(ByteView prefix, Moment from = kBeginning) const;

  /// Takes the timeline back to what it was at `to`: later saves do not count any more. Says how many these are; they can be
  /// brought back with undo(), for options.undo_time. Writes wait meanwhile. Errors: kInvalidArgument, `to` lies before what the
  /// timeline still has, or, unless forced, before its first save: that would empty it. Others as write().
  Result<RolledBack> rollback(Moment to, const RollbackOptions& options = {});
  /// Takes back the last rollback that was not confirmed. kNotFound: there is none. kConflict: there are saves since, which
  /// `discard` gives up for good.
  Result<void> undo(bool discard = false);
  /// Gives up what rollbacks have cut off.
  Result<void> confirm();

  /// Closes the block that is being written; returns when all blocks have their indexes.
  Result<void> close_block();
  /// Does what is due in the background: blocks that have expired leave the main line. With `until_done` a whole cycle of the
  /// persistent line too, after which it has the last save of each key alone; as long as a rollback that reaches into it can be
  /// undone, the cycle waits.
  Result<void> housekeep(bool until_done = false);

  /// Ends the lists that keep what stats names as `id` (oldest_held): their next() ends with kUnavailable, and who destroys such
  /// a list gives back what it kept. A Watch lets go of it once it has given what it read. kNotFound: nothing is held as that.
  Result<void> end_held(std::uint64_t id);

  [[nodiscard]] TimelineStats stats() const;

 private:
  static std::vector<timeline::SaveRef> refs_of(const Saves& saves, const SaveOptions& options);
  std::shared_ptr<timeline::TimelineImpl> impl_;
};

}  // namespace cairn
