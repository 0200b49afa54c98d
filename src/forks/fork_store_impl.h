// A fork store: its tree, its writers, its index, and the ways through them.
//
//   fork_store_open.cc   opening (every record is read, in any order), closing, stats
//   fork_store_write.cc  the way of a batch
//   fork_store_read.cc   load
//   fork_store_tree.cc   create_fork, freeze, sync, set_root, purge
//   fork_store_walk.cc   scan, diff, state_hash
//   get_mut.cc           accounts that are changed in place
//   fork_store_index.cc  the index in sealed files, so that an open need not read all segments
//   collector.cc         what no fork sees any more is given back
//
// A version is in a segment first and in the index when it is as durable as was asked. The manifest says which forks there are;
// changing that is what create_fork and the others do first. What the index does not refer to counts no more, but for versions
// that an account in memory stands for (OpenAccounts), and goes from the disk when the logs are synced that hold what replaced
// it.
//
// Locks, outermost first; never take one above a lock you hold.
//   collect_mutex_ One step of the collector at a time. Held across its I/O.
//   tree_mutex_    One change of the tree at a time. Held across its I/O.
//   log.mutex      Of each writer: the order of its batches. Never held across I/O.
//   state_mutex_   The forks as those see them who store. Never held across I/O.
//   open_.mutex    Accounts that are changed in place.
// Readers take none: they reach the tree through Published.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/home_process.h"
#include "base/mutex.h"
#include "base/published.h"
#include "cairn/forks.h"
#include "directory/directory.h"
#include "directory/log.h"
#include "forks/fork_tree.h"
#include "forks/open_accounts.h"
#include "forks/segments.h"
#include "forks/version_index.h"
#include "segment/record.h"

namespace cairn::forks {

/// Sizes that tests shrink.
struct Tuning : directory::LogTuning {
  Tuning() {
    on_all_drives = true;
    unused_given_back = true;  // The bound on space is of what records take.
  }
  std::size_t uncounted_max = 1U << 16U;          // Stale places; more are counted in the background.
  std::uint64_t collect_bytes_max = 64 * kMiB;    // Of live records that one step of the collector moves.
  std::uint64_t open_bytes_max = 512 * kMiB;      // Of accounts changed in place: what is synced of a fork is one batch.
  std::uint64_t slack_bytes = 256 * kMiB;         // Four segments: what may be stale beside as much as is live.
  std::uint64_t unsealed_bytes_max = 256 * kMiB;  // Of segments whose versions the sealed index does not have.
  std::size_t unsealed_at_close_max = 4;          // Of such segments: more are sealed when the store is closed.
  bool collect_by_itself = true;
  std::uint64_t load_order = 0;  // Of segments when opening: 0, as they are listed; else as this seed says.
};

/// kInvalidArgument: it has not 32 bytes.
Result<void> check_key(ByteView key);
/// kNotFound, saying why: the fork is not there.
std::unexpected<Error> no_path(ForkNumber fork, const ForkTree& tree);
/// Of the version that was found; nullopt: there is none, or it is an erase. kIo.
Result<std::optional<Pinned>> value_of(const VersionIndex::Found& found);

/// As many logs, and one more number for what the collector makes.
inline constexpr std::uint16_t kWritersMax = 64;

/// One who stores: a log of its own.
class Writer {
 public:
  Writer(const std::shared_ptr<directory::Directory>& directory, std::uint16_t view, const std::string& view_name,
         const Tuning& tuning, std::uint16_t number)
      : log(directory, view, view_name, tuning, number) {}
  directory::Log log;
  std::uint32_t segment CAIRN_GUARDED_BY(log.mutex) = 0;  // Number of the one that takes records.
  std::vector<std::uint64_t> checksums CAIRN_GUARDED_BY(log.mutex);
};

class ForkStoreImpl : public std::enable_shared_from_this<ForkStoreImpl> {
 public:
  /// Opens the view `entry` of the manifest: reads all its segments.
  static Result<std::shared_ptr<ForkStoreImpl>> open(std::shared_ptr<directory::Directory> directory,
                                                     const directory::ViewEntry& entry, const ForkStoreOptions& options,
                                                     const Tuning& tuning = {});
  ~ForkStoreImpl();
  ForkStoreImpl(const ForkStoreImpl&) = delete;
  ForkStoreImpl& operator=(const ForkStoreImpl&) = delete;
  /// Of a new fork store.
  static directory::ForksEntry initial() { return {.forks = {{}}}; }

  [[nodiscard]] const HomeProcess& home() const { return home_; }

  // See cairn/forks.h.
  Result<void> create_fork(ForkNumber fork, ForkNumber parent) CAIRN_EXCLUDES(tree_mutex_, state_mutex_);
  Result<void> freeze(ForkNumber fork) CAIRN_EXCLUDES(tree_mutex_, state_mutex_);
  Result<void> sync(ForkNumber fork) CAIRN_EXCLUDES(tree_mutex_, state_mutex_);
  Result<void> set_root(ForkNumber fork) CAIRN_EXCLUDES(tree_mutex_, state_mutex_);
  Result<void> purge(ForkNumber fork) CAIRN_EXCLUDES(tree_mutex_, state_mutex_);
  [[nodiscard]] std::vector<ForkInfo> list() const CAIRN_EXCLUDES(state_mutex_);
  Result<WriteVersion> store(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch, Durability durability)
      CAIRN_EXCLUDES(writer.log.mutex, state_mutex_);
  Result<std::shared_ptr<Writer>> take_writer() CAIRN_EXCLUDES(state_mutex_);
  void give_back(const std::shared_ptr<Writer>& writer) CAIRN_EXCLUDES(state_mutex_);
  /// The one that all share who have none of their own.
  [[nodiscard]] Writer& shared_writer() { return *first_writer_; }
  [[nodiscard]] Result<std::optional<Pinned>> load(ForkNumber fork, ByteView key) const;
  [[nodiscard]] Result<std::vector<std::optional<Pinned>>> load_many(ForkNumber fork, std::span<const ByteView> keys) const;
  Result<void> scan(ForkNumber fork, std::size_t part, const AccountVisitor& visit) const;
  Result<void> diff(ForkNumber a, ForkNumber b, const DifferenceVisitor& visit) const CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] Result<StateHash> state_hash(ForkNumber fork) const;
  Result<std::optional<MutableAccount>> get_mut(ForkNumber fork, ByteView key) CAIRN_EXCLUDES(state_mutex_, open_.mutex);
  [[nodiscard]] ForkStoreStats stats() const CAIRN_EXCLUDES(state_mutex_);

  /// Ends the active segments: everything stored so far then stands in files that do not change.
  Result<bool> end_logs() CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] Result<void> check_not_closed() const CAIRN_EXCLUDES(state_mutex_);
  /// As long as it lives the manifest is given no other tree, and no other segments by the collector: these may stand on what the
  /// logs hold, so that a checkpoint has both or neither. Storing goes on.
  class SwitchesStopped {
   public:
    explicit SwitchesStopped(std::shared_ptr<ForkStoreImpl> store);
    ~SwitchesStopped();
    SwitchesStopped(const SwitchesStopped&) = delete;
    SwitchesStopped& operator=(const SwitchesStopped&) = delete;

   private:
    const std::shared_ptr<ForkStoreImpl> store_;
  };
  /// Gives back what no fork sees any more, as far as it stands in segments that have ended.
  Result<void> collect() CAIRN_EXCLUDES(collect_mutex_, state_mutex_);
  /// Writes the index to a sealed file: an open need not read the segments that have ended by then.
  Result<void> seal_index() CAIRN_EXCLUDES(collect_mutex_, state_mutex_);
  /// The same, unless the collector is at work: whoever does not need the index does not wait for it.
  Result<void> seal_index_if_idle() CAIRN_EXCLUDES(collect_mutex_, state_mutex_);
  /// Nothing is stored, and no account is taken to be changed in place, from now on. kConflict, naming one, and all goes on as
  /// before: accounts are being changed in place.
  Result<void> stop_storing() CAIRN_EXCLUDES(state_mutex_, open_.mutex);
  /// kConflict as stop_storing(), and nothing is stopped.
  Result<void> check_nothing_held() CAIRN_EXCLUDES(state_mutex_, open_.mutex);
  void resume_storing() CAIRN_EXCLUDES(state_mutex_);
  /// Stores what was changed in place, ends the logs and waits for jobs. Nothing can be stored afterwards, reads go on. An
  /// account that is still being changed in place leaves its whole fork as it was synced last: kConflict. If it is short of
  /// something it can be called again, unless `for_good`.
  Result<void> close(bool for_good = false) CAIRN_EXCLUDES(tree_mutex_, state_mutex_);

 private:
  /// A fork as those see it who store.
  struct ForkState {
    explicit ForkState(const Fork& fork) : number(fork.number), frozen(fork.frozen) {}
    const ForkNumber number;
    bool frozen;                   // The rest is guarded by the state mutex.
    bool stopped = false;          // Nobody begins to store in it.
    unsigned storing = 0;          // So many are.
    std::vector<Hash128> touched;  // Accounts that have versions of it; of the root none.
  };
  using ForkStates = std::vector<std::shared_ptr<ForkState>>;
  /// Somebody stores in a fork as long as this lives.
  class Storing {
   public:
    Storing(ForkStoreImpl& store, std::shared_ptr<ForkState> fork) : store_(&store), fork_(std::move(fork)) {}
    ~Storing();
    Storing(Storing&& other) noexcept = default;
    Storing& operator=(Storing&&) = delete;
    [[nodiscard]] ForkState& fork() const { return *fork_; }

   private:
    ForkStoreImpl* store_;
    std::shared_ptr<ForkState> fork_;
  };
  /// Nobody stores in some forks as long as this lives.
  class Stopped {
   public:
    Stopped(ForkStoreImpl& store, std::span<const Fork> forks);
    ~Stopped();
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;
    [[nodiscard]] const ForkStates& forks() const { return forks_; }

   private:
    ForkStoreImpl& store_;
    ForkStates forks_;
  };

  ForkStoreImpl(std::shared_ptr<directory::Directory> directory, const directory::ViewEntry& entry, ForkTree tree,
                const ForkStoreOptions& options, const Tuning& tuning);

  // fork_store_open.cc
  Result<void> load(const directory::ViewEntry& entry) CAIRN_EXCLUDES(state_mutex_);
  Result<void> load_segments(const directory::ViewEntry& entry, const std::set<std::string>& covered)
      CAIRN_EXCLUDES(state_mutex_);
  Result<void> load_segment(const directory::SegmentEntry& segment, const directory::ForksEntry& forks)
      CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] Result<void> check_open() const CAIRN_REQUIRES(state_mutex_);
  [[nodiscard]] ForkStates fork_states() const CAIRN_EXCLUDES(state_mutex_);
  ForkStates wait_for_stores() CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] std::vector<std::shared_ptr<Writer>> writers() const CAIRN_EXCLUDES(state_mutex_);

  // fork_store_index.cc
  [[nodiscard]] bool seal_is_due() const;
  Result<void> seal_all() CAIRN_REQUIRES(collect_mutex_) CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] std::optional<Place> sealed_place(Place place, const std::map<std::uint32_t, std::uint32_t>& numbers) const
      CAIRN_EXCLUDES(open_.mutex);
  Result<void> load_sealed(const directory::ViewEntry& entry, std::set<std::string>& covered) CAIRN_EXCLUDES(state_mutex_);
  Result<void> load_others(std::span<const Place> places, const directory::ForksEntry& forks) CAIRN_EXCLUDES(state_mutex_);

  // fork_store_write.cc
  /// Where a batch stands.
  struct Appended {
    WriteVersion first = 0;
    WriteVersion last = 0;
    std::uint32_t segment = 0;
    std::vector<VersionIndex::Stored> stored;
    Result<void> acknowledged;  // Else it is in the log, and may be there after a crash or not.
  };
  [[nodiscard]] Result<Storing> begin_storing(ForkNumber fork) CAIRN_EXCLUDES(state_mutex_);
  Result<Appended> append(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch, std::uint64_t bytes,
                          Durability durability) CAIRN_EXCLUDES(writer.log.mutex);
  Result<void> make_room(Writer& writer, std::uint64_t bytes) CAIRN_REQUIRES(writer.log.mutex);
  Result<void> begin_segment(Writer& writer) CAIRN_REQUIRES(writer.log.mutex);
  void encode(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch, const directory::Directory::Stamped& first,
              Appended& appended) CAIRN_REQUIRES(writer.log.mutex);
  Result<void> index(ForkState& fork, const Appended& appended) CAIRN_EXCLUDES(state_mutex_, open_.mutex);
  Result<void> wait_for_collector(std::uint64_t bytes) CAIRN_EXCLUDES(state_mutex_);
  Result<WriteVersion> try_store(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch, std::uint64_t bytes,
                                 Durability durability) CAIRN_EXCLUDES(writer.log.mutex, state_mutex_);

  // fork_store_read.cc
  Result<void> find(ForkNumber fork, std::span<const ByteView> keys, std::span<VersionIndex::Found> found) const;

  // fork_store_walk.cc
  template <typename Work>
  Result<void> in_one_tree(Work work) const;
  using Differences = std::vector<Hash128>;
  [[nodiscard]] Differences may_differ(const ForkTree& tree, const ForkTree::Path& a, const ForkTree::Path& b) const
      CAIRN_EXCLUDES(state_mutex_);

  // fork_store_tree.cc
  [[nodiscard]] Result<void> still_open() const CAIRN_EXCLUDES(state_mutex_);
  Result<void> switch_manifest(const std::function<Result<void>(directory::Manifest&)>& edit) CAIRN_EXCLUDES(state_mutex_);
  using Edit = std::function<void(directory::ForksEntry&)>;
  void note_forks(std::span<const Fork> now) CAIRN_EXCLUDES(state_mutex_);
  Result<void> change(const ForkTree& tree, const Edit& edit = {}) CAIRN_REQUIRES(tree_mutex_) CAIRN_EXCLUDES(state_mutex_);
  Result<void> publish_and_sync(ForkState& fork) CAIRN_REQUIRES(tree_mutex_) CAIRN_EXCLUDES(state_mutex_, open_.mutex);
  Result<void> sync_logs() CAIRN_EXCLUDES(state_mutex_);
  Result<void> prune(const ForkTree::Pruned& pruned, const ForkStates& forks) CAIRN_REQUIRES(tree_mutex_)
      CAIRN_EXCLUDES(state_mutex_, open_.mutex);

  // get_mut.cc
  /// Splits off what lies in memory; whose it was counts no more.
  void release(std::vector<Place>& stale) CAIRN_EXCLUDES(open_.mutex);
  Result<void> check_not_held(const ForkStates& forks) CAIRN_EXCLUDES(open_.mutex);
  [[nodiscard]] std::unexpected<Error> being_changed(const OpenAccount& account) const;
  /// Accounts of a fork that were changed in place, and where they stand in a segment.
  struct OpenPublished {
    std::vector<std::shared_ptr<OpenAccount>> accounts;
    Appended appended;
  };
  Result<void> publish_open(ForkState& fork) CAIRN_EXCLUDES(open_.mutex);
  void move_to_segments(const OpenPublished& published) CAIRN_EXCLUDES(open_.mutex);
  void release_memory() CAIRN_EXCLUDES(open_.mutex);

  // collector.cc
  void schedule_collect() CAIRN_EXCLUDES(state_mutex_);
  void submit_collect() CAIRN_REQUIRES(state_mutex_);
  /// What stands in segments that have ended.
  struct Space {
    std::map<std::uint32_t, SegmentUse> ended;  // That nobody stores in any more.
    std::uint64_t bytes = 0;
    std::uint64_t live_bytes = 0;  // Erases not counted: they are for what is stale.
    std::uint64_t erase_bytes = 0;
  };
  struct Survivors;
  [[nodiscard]] Space space() const;
  [[nodiscard]] std::uint64_t most_bytes(const Segments::Totals& now) const;
  bool look_at_space();
  bool collect_for_room() CAIRN_EXCLUDES(collect_mutex_, tree_mutex_, state_mutex_);
  Result<void> give_room_back(directory::Job& job, bool& any) CAIRN_REQUIRES(collect_mutex_) CAIRN_EXCLUDES(state_mutex_);
  /// work() again after kNoSpace, as long as the collector gives something back. work() has applied nothing then.
  template <typename Work>
  std::invoke_result_t<Work> with_room(Work work) CAIRN_EXCLUDES(collect_mutex_, tree_mutex_, state_mutex_) {
    auto done = work();
    while (!done && done.error().code == ErrorCode::kNoSpace && collect_for_room()) done = work();
    return done;
  }
  Result<bool> collect_least_live(directory::Job& job) CAIRN_REQUIRES(collect_mutex_) CAIRN_EXCLUDES(state_mutex_);
  Result<void> collect_as_due(directory::Job& job) CAIRN_EXCLUDES(collect_mutex_, state_mutex_);
  Result<void> collect_these(directory::Job& job, Survivors& survivors) CAIRN_REQUIRES(collect_mutex_)
      CAIRN_EXCLUDES(state_mutex_);
  [[nodiscard]] std::uint64_t all_indexed_up_to() const CAIRN_EXCLUDES(state_mutex_);
  void take_root(Survivors& survivors) CAIRN_EXCLUDES(tree_mutex_, state_mutex_);
  Result<void> find_survivors(directory::Job& job, Survivors& survivors) CAIRN_EXCLUDES(open_.mutex);
  void sort_out(std::span<const segment::RecordView> records, std::uint32_t segment, Survivors& survivors)
      CAIRN_EXCLUDES(open_.mutex);
  Result<void> copy_survivors(directory::Job& job, Survivors& survivors);
  Result<void> list_survivors(const Survivors& survivors) CAIRN_EXCLUDES(state_mutex_);
  void move_survivors(const Survivors& survivors) CAIRN_EXCLUDES(open_.mutex);
  void forget_purged(directory::ForksEntry& entry, const Survivors& survivors) const;

  const HomeProcess home_;
  const std::shared_ptr<directory::Directory> directory_;
  directory::Environment& environment_;
  const std::uint16_t view_;
  const std::string name_;
  const ForkStoreOptions options_;
  const Tuning tuning_;

  SegmentTable table_;
  Segments segments_{table_};
  std::unique_ptr<VersionIndex> index_;  // Set by open().
  OpenAccounts open_;
  Published<ForkTree> tree_;
  std::atomic<std::uint64_t> prunings_{0};  // That have begun; stored after the tree.
  Copiers stale_at_hand_;                   // Who took something out of the index and has not said yet that it is stale.

  Mutex tree_mutex_{Rank::kTree};
  mutable Mutex state_mutex_{Rank::kLineUp};
  CondVar state_changed_;
  std::map<ForkNumber, std::shared_ptr<ForkState>> forks_ CAIRN_GUARDED_BY(state_mutex_);
  bool closed_ CAIRN_GUARDED_BY(state_mutex_) = true;                            // Or not open yet.
  bool stopped_ CAIRN_GUARDED_BY(state_mutex_) = false;                          // Nothing is stored: it is being closed.
  unsigned switches_stopped_ CAIRN_GUARDED_BY(state_mutex_) = 0;                 // How many SwitchesStopped live.
  unsigned switching_ CAIRN_GUARDED_BY(state_mutex_) = 0;                        // Switches under way.
  std::vector<std::shared_ptr<Writer>> writers_ CAIRN_GUARDED_BY(state_mutex_);  // Ever made; the first is shared by all.
  std::vector<std::shared_ptr<Writer>> free_writers_ CAIRN_GUARDED_BY(state_mutex_);
  const std::shared_ptr<Writer> first_writer_;

  std::shared_ptr<directory::Job> collect_job_ CAIRN_GUARDED_BY(state_mutex_);  // That waits or runs.
  std::shared_ptr<directory::Job> last_collect_job_ CAIRN_GUARDED_BY(state_mutex_);
  bool collect_again_ CAIRN_GUARDED_BY(state_mutex_) = false;
  std::string collect_error_ CAIRN_GUARDED_BY(state_mutex_);
  Mutex collect_mutex_{Rank::kCollect};      // One step at a time.
  std::atomic<bool> space_is_short_{false};  // Who stores waits for the collector.
  std::atomic<std::int64_t> allowance_{0};   // Bytes that may be stored meanwhile; below 0 by the last that was.

  std::vector<std::string> open_reports_;  // Written by open().

  struct Counters {
    std::atomic<std::uint64_t> writes{0};
    std::atomic<std::uint64_t> written_bytes{0};
    std::atomic<std::uint64_t> moved_bytes{0};
    std::atomic<std::uint64_t> reclaimed{0};
  };
  mutable Counters counters_;
};

}  // namespace cairn::forks
