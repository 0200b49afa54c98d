// One open directory: it holds the lease, the manifest, the write clock, the pins and the files to be reclaimed.
//
// Locks, outermost first: kManifest (one switch at a time, held across its I/O), then kPins and kFiles, which are never
// held across anything.
//
//   directory.cc           create, open and close, the manifest, the lease, the write clock, pins
//   directory_files.cc     new files, on which drive, and those that nothing refers to any more
//   directory_recovery.cc  what an open finds and mends
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/home_process.h"
#include "base/mutex.h"
#include "base/random.h"
#include "directory/environment.h"
#include "directory/file_name.h"
#include "directory/liveness.h"
#include "directory/manifest.h"
#include "sealed/sealed_writer.h"
#include "segment/segment_reader.h"
#include "segment/segment_writer.h"
#include "storage/drives.h"

namespace cairn::directory {

class Directory;

/// A stamp is milliseconds since 1970 and, below them, a sequence number (hybrid logical clock).
inline constexpr unsigned kStampSequenceBits = 16;
constexpr std::int64_t ms_of_stamp(std::uint64_t stamp) { return static_cast<std::int64_t>(stamp >> kStampSequenceBits); }

/// Keeps track of files that left the manifest and waits for their last reader. Outlives the Directory as long as
/// files do.
class FileKeeper {
 public:
  struct Dropped {
    std::string name;
    std::uint64_t recyclable_bytes;  // 0: to be deleted.
  };
  void drop(Dropped dropped) CAIRN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    dropped_.push_back(std::move(dropped));
  }
  /// Those that may be recycled, or all.
  std::vector<Dropped> take(bool all) CAIRN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    const auto rest = std::ranges::partition(dropped_, [&](const Dropped& each) { return !all && each.recyclable_bytes == 0; });
    std::vector<Dropped> taken(std::move_iterator(rest.begin()), std::move_iterator(rest.end()));
    dropped_.erase(rest.begin(), rest.end());
    return taken;
  }
  [[nodiscard]] bool empty() const CAIRN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return dropped_.empty();
  }

 private:
  mutable Mutex mutex_{Rank::kFiles};
  std::vector<Dropped> dropped_ CAIRN_GUARDED_BY(mutex_);
};

/// A live file, held by whoever may read it. Once it is obsolete and the last holder lets go, it is reclaimed.
class LiveFile {
 public:
  LiveFile(std::shared_ptr<const storage::MappedFile> map, std::shared_ptr<FileKeeper> keeper)
      : map_(std::move(map)), keeper_(std::move(keeper)) {}
  ~LiveFile() {
    const std::string name = map_->name();
    map_.reset();
    if (obsolete_ && home_.is_here()) keeper_->drop({name, recyclable_bytes_});
  }
  LiveFile(const LiveFile&) = delete;
  LiveFile& operator=(const LiveFile&) = delete;

  [[nodiscard]] const std::shared_ptr<const storage::MappedFile>& map() const { return map_; }
  /// To be called after the manifest without the file is durable. `recyclable_bytes`: its capacity, if a segment may
  /// take its place.
  void set_obsolete(std::uint64_t recyclable_bytes = 0) {
    recyclable_bytes_ = recyclable_bytes;
    obsolete_ = true;
  }

 private:
  std::shared_ptr<const storage::MappedFile> map_;
  std::shared_ptr<FileKeeper> keeper_;
  std::atomic<std::uint64_t> recyclable_bytes_{0};
  std::atomic<bool> obsolete_{false};
  const HomeProcess home_;
};

/// A version that something stands on, so that what it sees is kept.
class Pin {
 public:
  Pin(std::shared_ptr<Directory> directory, std::uint16_t view, std::uint64_t id, std::uint64_t write_version,
      std::shared_ptr<const std::atomic<bool>> ended)
      : directory_(std::move(directory)), view_(view), id_(id), write_version_(write_version), ended_(std::move(ended)) {}
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  [[nodiscard]] std::uint64_t write_version() const { return write_version_; }
  [[nodiscard]] const Directory& directory() const { return *directory_; }
  [[nodiscard]] std::uint16_t view() const { return view_; }
  /// Somebody ended it: what it stood on may go. A line-up taken before this was false still has it.
  [[nodiscard]] bool ended() const { return ended_->load(std::memory_order_acquire); }

 private:
  const HomeProcess home_;
  std::shared_ptr<Directory> directory_;
  std::uint16_t view_;  // What it pins versions of.
  std::uint64_t id_;
  std::uint64_t write_version_;
  std::shared_ptr<const std::atomic<bool>> ended_;
};

struct PinInfo {
  std::uint64_t id = 0;
  std::string label;
  std::uint16_t view = 0;
  std::uint64_t write_version = 0;
  std::int64_t age_ms = 0;
  std::uint64_t written_bytes = 0;  // What its taker said had been written by then.
};

struct DirectoryOptions {
  std::string owner;  // For people: shown to whoever finds the directory taken.
  std::int64_t lease_ms = storage::kLeaseDefaultMs;
  std::vector<std::string> drives;  // Further ones to be used; those of the manifest need not be given.
};

class Directory : public std::enable_shared_from_this<Directory> {
 public:
  /// Makes an empty database. kConflict: the directory holds anything but lost+found and what an interrupted create left.
  static Result<std::shared_ptr<Directory>> create(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                   const DirectoryOptions& options);
  /// As create(), but nothing is a database before publish_draft(): until then the manifest is in memory, and commit() changes it
  /// there. Opening the directory meanwhile, or after a crash, fails: it holds no manifest.
  static Result<std::shared_ptr<Directory>> draft(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                  const DirectoryOptions& options);
  /// Makes a draft the database.
  Result<void> publish_draft() CAIRN_EXCLUDES(manifest_mutex_);
  /// Deletes every file of a draft, or of what plant() could not publish: the directory is empty again, as far as it can be told.
  void discard_all();
  /// Whether there are files of a database, complete or not.
  static Result<bool> holds_database(storage::Storage& storage);
  /// Takes the lease over the database and brings it to a state that only this epoch writes to (docs/guarantees.md).
  /// kBusy: it is held. kNotFound: there is none. kCorruption, kUnsupported: it cannot be read.
  static Result<std::shared_ptr<Directory>> open(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                 const DirectoryOptions& options);
  /// Makes a database of `manifest`, all of whose files are in `storage` already, durable but for their names. Nobody
  /// owns it afterwards. kConflict: there is one. After any other error all files of it are deleted.
  static Result<void> plant(std::unique_ptr<storage::Storage> storage, Environment& environment, const DirectoryOptions& options,
                            Manifest manifest);
  /// The newest manifest of a directory that nobody owns and nobody opens. kBusy: somebody does. Other errors as open().
  static Result<Manifest> read_manifest(storage::Storage& storage, Clock& clock);
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  /// Ends ownership: lowers the ceilings to what was used, deletes what nobody reads, gives the lease back. The views
  /// were closed before. Reads of files still held go on. If it fails while state() is fine, the directory is still owned and
  /// close() can be called again.
  Result<void> close() CAIRN_EXCLUDES(manifest_mutex_);
  /// The part of close() that cannot fail: nothing runs by itself any more, and the lease is given back.
  void let_go(bool reclaims) CAIRN_EXCLUDES(manifest_mutex_);

  /// The manifest as it is now, copied.
  [[nodiscard]] Manifest manifest() const CAIRN_EXCLUDES(manifest_mutex_);
  /// Applies `edit` to the manifest and makes the result durable, or changes nothing: kNoSpace, kUnavailable,
  /// kPermissionDenied, and whatever `edit` returned. Any other error ends writing to this directory for good (state()). On a
  /// full disk `edit` may be called twice, each
  /// time with the manifest as it is. `then` is called with the result once it is durable, before anybody else may change it.
  Result<void> commit(const std::function<Result<void>(Manifest&)>& edit, const std::function<void(const Manifest&)>& then = {})
      CAIRN_EXCLUDES(manifest_mutex_);

  /// kReadOnly or kLeaseLost once writing has ended for good; otherwise fine.
  [[nodiscard]] Result<void> state() const CAIRN_EXCLUDES(state_mutex_) {
    return stopped_flag_.load(std::memory_order_acquire) ? why_stopped() : Result<void>{};
  }
  /// Ends writing for good, for `reason`; the first reason stays.
  void stop_writing(const Error& reason) CAIRN_EXCLUDES(state_mutex_);
  /// Whether this process may still acknowledge: by epoch and time. Waits for the renewal of an expired lease, at most one lease
  /// time. kUnavailable: it could not be renewed yet. Any other error has ended writing. Not with a lock of a log held.
  Result<void> check_lease();
  /// By our own clock only, without I/O: if not, check_lease().
  [[nodiscard]] bool lease_in_time() { return lease_->check_time().has_value(); }

  struct Stamped {
    std::uint64_t write_version;
    std::uint64_t stamp;
  };
  /// Whether that much is left, as far as can be seen without a look at the clock.
  [[nodiscard]] bool versions_at_hand(std::uint64_t count) const {
    return !lease_late_.load(std::memory_order_relaxed) && versions_at_hand(count, last_stamp_.load(), kLeastPart);
  }
  /// Makes sure that reserve(count) will find room below the ceilings, with I/O if it must; as a rule they are raised in the
  /// background long before. While renewals of the lease are late it waits for one, so that nothing is appended meanwhile.
  /// Before taking locks.
  Result<void> prepare_versions(std::uint64_t count) CAIRN_EXCLUDES(manifest_mutex_);
  /// `count` consecutive write versions and `stamps` consecutive stamps; the first of them are returned. nullopt:
  /// prepare_versions again.
  std::optional<Stamped> reserve_versions(std::uint64_t count, std::uint64_t stamps = 1);
  /// Stamps from now on are above `stamp`, which was given out.
  void raise_stamp(std::uint64_t stamp);
  /// Milliseconds since 1970 by the wall clock as it is now: what decides whether something has expired for a reader.
  [[nodiscard]] std::int64_t now_ms() const { return environment_.clock.wall_ms(); }
  /// The same as far as elapsed time confirms it: what decides whether something that has expired may be deleted. A clock that
  /// jumped ahead counts here only after it has stayed there for an hour, so that a wrong reading hides things and
  /// deletes nothing. The clock at the open is taken at its word.
  [[nodiscard]] std::int64_t confirmed_now_ms() const CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] std::uint64_t versions_used() const { return next_version_.load() - 1; }

  struct NewSegment {
    std::shared_ptr<segment::SegmentWriter> writer;
    std::string name;
    std::uint16_t root = 0;  // The drive it is on.
  };
  /// A segment of at least `capacity` bytes, new or recycled, durable in name and header, not yet in the manifest. `root`: the
  /// drive it is to be on; where that has no room, is read-only or fails, it is on another (drive_errors()). Not given: it is on
  /// no further one.
  Result<NewSegment> new_segment(std::uint16_t view, const std::string& view_name, std::uint64_t capacity,
                                 std::optional<std::uint16_t> root = {});
  /// The drives in turn, for segments that may be on any.
  [[nodiscard]] std::uint16_t next_root() { return static_cast<std::uint16_t>(next_root_.fetch_add(1) % storage_.count()); }
  [[nodiscard]] std::size_t drive_of(const std::string& file) const { return storage_.drive_of(file); }
  /// For each drive, why the last segment meant for it had to go to another drive; empty if it did not.
  [[nodiscard]] std::vector<std::string> drive_errors() const CAIRN_EXCLUDES(state_mutex_);
  /// `error` with the path of the file, if it names one on a further drive.
  [[nodiscard]] Error with_drive(Error error);
  [[nodiscard]] std::uint16_t roots() const { return static_cast<std::uint16_t>(storage_.count()); }
  /// A name and a file for a sealed file; `identity` is completed with what only the directory knows.
  Result<std::unique_ptr<storage::AppendFile>> new_sealed(sealed::SealedIdentity& identity, std::uint64_t capacity);
  /// Deletes a file that never got into the manifest.
  void abandon(const std::string& name);
  /// Deletes, when it reclaims next, a segment that left the manifest without having been written to.
  void discard(NewSegment segment);
  [[nodiscard]] std::shared_ptr<LiveFile> live(std::shared_ptr<const storage::MappedFile> map) const {
    return std::make_shared<LiveFile>(std::move(map), keeper_);
  }
  /// For files that are mapped when they are needed first, and held by something else than a LiveFile.
  [[nodiscard]] const std::shared_ptr<FileKeeper>& keeper() const { return keeper_; }
  /// Deletes or puts aside for reuse what nobody holds any more, unless a LiveHold lives. Whether it deleted anything. May take
  /// long.
  bool reclaim() CAIRN_EXCLUDES(spares_mutex_);
  /// Bytes of segments that wait to be recycled.
  [[nodiscard]] std::uint64_t spare_bytes() const CAIRN_EXCLUDES(spares_mutex_);
  /// Deletes these. Whether there were any.
  bool release_spares() CAIRN_EXCLUDES(spares_mutex_);
  bool reclaim_all() CAIRN_EXCLUDES(spares_mutex_);
  /// The same, by a job.
  void reclaim_in_background();
  /// Whether there is anything to reclaim.
  [[nodiscard]] bool holds_dropped() const { return !keeper_->empty(); }
  /// Marks every segment that has ended as linked, durably, and returns that manifest, without active segments: what a
  /// checkpoint holds. To be called with a LiveHold.
  Result<Manifest> mark_linked() CAIRN_EXCLUDES(manifest_mutex_);

  /// Pins `visible` as read at the moment the pin is taken. `written_bytes`: of the view so far, to tell later what the
  /// pin holds back.
  std::shared_ptr<Pin> pin(std::uint16_t view, const std::atomic<std::uint64_t>& visible, const std::string& label,
                           std::uint64_t written_bytes) CAIRN_EXCLUDES(pins_mutex_);
  /// Ends a pin: it holds nothing back any more. kNotFound: there is none of this id in the view.
  Result<void> end_pin(std::uint16_t view, std::uint64_t id) CAIRN_EXCLUDES(pins_mutex_);
  /// What a job on `view` that begins now must leave visible.
  [[nodiscard]] Visibility visibility(std::uint16_t view, const std::atomic<std::uint64_t>& visible) const
      CAIRN_EXCLUDES(pins_mutex_);
  [[nodiscard]] std::vector<PinInfo> pins() const CAIRN_EXCLUDES(pins_mutex_);

  [[nodiscard]] storage::Storage& storage() { return storage_; }
  [[nodiscard]] Environment& environment() { return environment_; }
  [[nodiscard]] std::uint64_t epoch() const { return epoch_; }
  [[nodiscard]] const segment::DatabaseId& database_id() const { return database_; }
  [[nodiscard]] std::uint64_t hash_seed() const { return hash_seed_; }
  /// What opening had to leave out, a sentence each: torn tails with file and offset.
  [[nodiscard]] const std::vector<std::string>& reports() const { return reports_; }

 private:
  friend class Pin;
  Directory(std::unique_ptr<storage::Storage> storage, Environment& environment);
  static Result<std::shared_ptr<Directory>> create_as(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                      const DirectoryOptions& options, bool draft);
  Result<void> take_lease(const DirectoryOptions& options, std::uint64_t epoch_above = 0);
  Result<void> publish_planted(const DirectoryOptions& options, Manifest manifest) CAIRN_EXCLUDES(manifest_mutex_);
  Result<void> still_owned();
  static Result<ManifestName> newest_manifest(storage::Storage& storage);
  static Result<Manifest> load_manifest(storage::Storage& storage);
  void schedule_renewal(std::int64_t after_ms);
  [[nodiscard]] Result<void> why_stopped() const CAIRN_EXCLUDES(state_mutex_);
  Result<void> confirm_lease();
  Result<void> check_switch();
  // What part of what the ceilings run ahead should be left: less is raised in the background, still less at once.
  static constexpr std::uint64_t kLowPart = 2;
  static constexpr std::uint64_t kLeastPart = 8;
  [[nodiscard]] bool versions_at_hand(std::uint64_t count, std::uint64_t now, std::uint64_t part) const;
  Result<void> raise_ceilings(std::uint64_t count, std::uint64_t part) CAIRN_EXCLUDES(manifest_mutex_);
  void raise_ahead(std::int64_t after_ms);
  [[nodiscard]] std::uint64_t stamp_now() const;
  Result<void> recover_logs(Manifest& manifest);
  Result<void> recover_view(ViewEntry& view);
  Result<void> recover_segment(ViewEntry& view, const SegmentEntry& active, std::optional<segment::SegmentFrame>& before);
  Result<void> keep_trimmed(const segment::SegmentReader& reader, const segment::Recovered& found);
  Result<SegmentEntry> copy_tail(const segment::SegmentReader& reader, const ViewEntry& view, const SegmentEntry& active,
                                 const segment::Recovered& found);
  Result<void> publish(Manifest& manifest) CAIRN_REQUIRES(manifest_mutex_);
  struct Switch {
    const std::function<Result<void>(Manifest&)>& edit;
    const std::function<void(const Manifest&)>& then;
    Result<void> result = std::unexpected(Error{ErrorCode::kUnavailable, "the switch was not made"});
    bool done = false;  // Guarded by switches_mutex_.
  };
  Result<void> commit_once(const std::function<Result<void>(Manifest&)>& edit, const std::function<void(const Manifest&)>& then)
      CAIRN_EXCLUDES(manifest_mutex_, switches_mutex_);
  void publish_together(std::span<Switch* const> switches) CAIRN_EXCLUDES(manifest_mutex_);
  [[nodiscard]] Result<std::uint64_t> next_file_of(const Manifest& manifest);
  Result<void> drop_strays() CAIRN_EXCLUDES(manifest_mutex_);
  struct Spare {
    std::string name;
    std::uint64_t capacity;
  };
  std::vector<FileKeeper::Dropped> take_dropped(bool all);
  void recycle_dropped() CAIRN_EXCLUDES(spares_mutex_);
  bool remove_dropped(const std::string& name);
  std::optional<Spare> take_spare(std::uint64_t capacity, std::size_t root) CAIRN_EXCLUDES(spares_mutex_);
  Result<NewSegment> new_segment_on(std::uint16_t root, std::uint16_t view, const std::string& view_name, std::uint64_t capacity);
  void note_drive(std::uint16_t root, const std::string& error) CAIRN_EXCLUDES(state_mutex_);
  Result<std::unique_ptr<storage::AppendFile>> segment_file(const std::string& name, std::uint64_t capacity, std::size_t root,
                                                            bool& recycled) CAIRN_EXCLUDES(spares_mutex_);
  Result<std::unique_ptr<storage::AppendFile>> create(const std::string& name, std::uint64_t capacity, std::size_t root = 0);
  bool put_aside(const std::string& name, std::uint64_t capacity) CAIRN_EXCLUDES(spares_mutex_);
  void unpin(std::uint64_t id) CAIRN_EXCLUDES(pins_mutex_);
  FileName new_name(std::string_view suffix);
  std::uint64_t random() CAIRN_EXCLUDES(state_mutex_);

  const std::unique_ptr<storage::Storage> first_storage_;
  storage::Drives storage_{*first_storage_};
  Environment& environment_;
  std::unique_ptr<storage::Lease> lease_;
  std::int64_t lease_ms_ = 0;
  std::shared_ptr<FileKeeper> keeper_ = std::make_shared<FileKeeper>();
  std::uint64_t epoch_ = 0;
  segment::DatabaseId database_{};
  std::uint64_t hash_seed_ = 0;
  std::vector<std::string> reports_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> draft_{false};       // Manifests are not published yet.
  std::atomic<bool> lease_late_{false};  // It expired and could not be renewed when that was tried last.

  Mutex switches_mutex_{Rank::kLeaf};
  CondVar switches_changed_;
  std::vector<Switch*> waiting_switches_ CAIRN_GUARDED_BY(switches_mutex_);  // In the order in which they were asked for.
  bool publishing_ CAIRN_GUARDED_BY(switches_mutex_) = false;

  mutable Mutex manifest_mutex_{Rank::kManifest};
  Manifest manifest_ CAIRN_GUARDED_BY(manifest_mutex_);

  std::atomic<std::uint64_t> next_file_{1};
  std::atomic<std::uint64_t> next_root_{0};
  std::atomic<std::uint64_t> next_version_{1};
  std::atomic<std::uint64_t> version_ceiling_{0};
  std::atomic<std::uint64_t> last_stamp_{0};
  std::atomic<std::uint64_t> stamp_ceiling_{0};
  std::atomic<bool> raise_set_{false};  // The ceilings are about to be raised.

  struct PinState {
    std::uint64_t id;
    std::uint16_t view;
    std::uint64_t write_version;
    std::int64_t since_boot_ms;
    std::string label;
    std::uint64_t written_bytes;
    std::shared_ptr<std::atomic<bool>> ended;
  };
  mutable Mutex pins_mutex_{Rank::kPins};
  std::list<PinState> pins_ CAIRN_GUARDED_BY(pins_mutex_);
  std::uint64_t next_pin_ CAIRN_GUARDED_BY(pins_mutex_) = 1;

  friend class LiveHold;
  std::atomic<int> holds_{0};               // LiveHolds that live.
  std::atomic<std::uint64_t> reclaims_{0};  // How often reclaim_all() gave something back.

  mutable Mutex spares_mutex_{Rank::kFiles};
  std::vector<Spare> spares_ CAIRN_GUARDED_BY(spares_mutex_);
  std::set<std::string> linked_ CAIRN_GUARDED_BY(spares_mutex_);  // By mark_linked(), in this open: not to be recycled.

  mutable Mutex state_mutex_{Rank::kLeaf};
  std::optional<Error> stopped_ CAIRN_GUARDED_BY(state_mutex_);
  /// The wall clock that counts for deletions, and when it was read; since when the clock has been far ahead of it.
  struct ConfirmedClock {
    std::int64_t wall_ms;
    std::int64_t boot_ms;
    std::optional<std::int64_t> ahead_since_boot_ms;
    std::int64_t ahead_ms = 0;  // The least by which the clock was ahead since then.
  };
  std::vector<std::string> drive_errors_ CAIRN_GUARDED_BY(state_mutex_);
  mutable ConfirmedClock confirmed_ CAIRN_GUARDED_BY(state_mutex_);
  Random random_ CAIRN_GUARDED_BY(state_mutex_);
  std::atomic<bool> stopped_flag_{false};
};

/// As long as it lives no file of the directory is deleted or recycled.
class LiveHold {
 public:
  explicit LiveHold(Directory& directory) : directory_(directory) { ++directory_.holds_; }
  /// Files that were dropped meanwhile are deleted by a job: that may take long, and no caller should wait for it.
  ~LiveHold() {
    --directory_.holds_;
    directory_.reclaim_in_background();
  }
  LiveHold(const LiveHold&) = delete;
  LiveHold& operator=(const LiveHold&) = delete;

 private:
  Directory& directory_;
};

}  // namespace cairn::directory
