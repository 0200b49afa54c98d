// Opening, closing and stats of a fork store. Opening reads every segment, two at a time and in any order: of each account and
// fork the version counts that was written last.
#include <algorithm>
#include <random>

#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "forks/fork_store_impl.h"
#include "forks/rebuild.h"
#include "forks/stored_versions.h"
#include "segment/segment_reader.h"

namespace cairn::forks {
namespace {

constexpr std::size_t kLoadedTogether = 64;

}  // namespace

ForkStoreImpl::ForkStoreImpl(std::shared_ptr<directory::Directory> directory, const directory::ViewEntry& entry, ForkTree tree,
                             const ForkStoreOptions& options, const Tuning& tuning)
    : directory_(std::move(directory)),
      environment_(directory_->environment()),
      view_(entry.number),
      name_(entry.name),
      options_(options),
      tuning_(tuning),
      open_(table_, environment_.memory, tuning_.open_bytes_max),
      tree_(std::make_shared<const ForkTree>(std::move(tree))),
      first_writer_(std::make_shared<Writer>(directory_, view_, name_, tuning_, 0)) {
  const MutexLock lock(state_mutex_);
  for (const Fork& fork : tree_.get()->forks()) forks_[fork.number] = std::make_shared<ForkState>(fork);
  writers_.push_back(first_writer_);
}

namespace {
/// Also those that were purged before numbers were remembered, as far as it is known.
std::vector<std::uint64_t> gone_of(const directory::ForksEntry& entry) {
  std::set<std::uint64_t> gone(entry.gone.begin(), entry.gone.end());
  for (const directory::PurgedEntry& purged : entry.purged) {
    if (purged.fork > entry.forks.front().number) gone.insert(purged.fork);
  }
  for (const directory::ForkEntry& fork : entry.forks) gone.erase(fork.number);
  return {gone.begin(), gone.end()};
}
}  // namespace

// A destructor cannot report; everything acknowledged is in the segments, which the next open reads.
ForkStoreImpl::~ForkStoreImpl() { close(true).ignore_error(); }

Result<std::shared_ptr<ForkStoreImpl>> ForkStoreImpl::open(std::shared_ptr<directory::Directory> directory,
                                                           const directory::ViewEntry& entry, const ForkStoreOptions& options,
                                                           const Tuning& tuning) {
  CAIRN_TRY(tree, ForkTree::of(entry.forks->forks, gone_of(*entry.forks), "manifest"));
  // Of the secret of the directory, and another one for each store.
  const Hash128 hash_key{.low = mix(directory->hash_seed()),
                         .high = mix(directory->hash_seed() ^ entry.number) ^ directory->database_id()[0]};
  std::shared_ptr<ForkStoreImpl> store =
      share_at_home(new ForkStoreImpl(std::move(directory), entry, std::move(tree), options, tuning));
  CAIRN_TRY(index, VersionIndex::create(store->table_, hash_key));
  store->index_ = std::move(index);
  std::set<std::string> covered;
  const Result<void> sealed = entry.forks->index.empty() ? Result<void>() : store->load_sealed(entry, covered);
  if (!sealed && sealed.error().code == ErrorCode::kCorruption) {
    // The segments say all that it did: without it.
    CAIRN_REACHED("damaged index of accounts passed over");
    directory::ViewEntry without = entry;
    without.forks->index.clear();
    CAIRN_TRY(again, open(store->directory_, without, options, tuning));
    again->open_reports_.push_back(sealed.error().to_string() + "; all segments were read instead");
    return again;
  }
  CAIRN_TRY_VOID(sealed);
  CAIRN_TRY_VOID(store->load_segments(entry, covered));
  const MutexLock lock(store->state_mutex_);
  store->closed_ = false;
  return store;
}

Result<void> ForkStoreImpl::load_segments(const directory::ViewEntry& entry, const std::set<std::string>& covered) {
  std::vector<directory::SegmentEntry> log;
  for (const directory::SegmentEntry& segment : entry.log) {
    if (!covered.contains(segment.file)) log.push_back(segment);
  }
  if (tuning_.load_order != 0) std::ranges::shuffle(log, std::mt19937_64(tuning_.load_order));
  std::vector<Result<void>> loaded(log.size());
  environment_.jobs.share("read segments of " + name_, log.size(),
                          [&](std::size_t i, std::size_t /*worker*/) { loaded[i] = load_segment(log[i], *entry.forks); });
  for (const Result<void>& each : loaded) {
    if (!each) return std::unexpected(directory_->with_drive(each.error()));
  }
  segments_.count();
  return {};
}

/// Puts the versions in it into the index.
Result<void> ForkStoreImpl::load_segment(const directory::SegmentEntry& segment, const directory::ForksEntry& forks) {
  CAIRN_TRY(map, directory_->storage().open(segment.file));
  CAIRN_TRY(reader, segment::SegmentReader::open(map, directory_->database_id(), directory::FileName::parse(segment.file)->number,
                                                 view_));
  const std::shared_ptr<directory::LiveFile> live = directory_->live(map);
  CAIRN_TRY(number, segments_.add({.live = live, .bytes = segment.end, .as_of = segment.as_of}));
  const std::shared_ptr<const ForkTree> tree = tree_.get();
  const StoredVersions versions(*tree, forks);
  Segments::Stored all{.end = segment.end};
  std::vector<ForkNumber> of_forks;
  std::vector<VersionIndex::Stored> some;
  ForkNumber fork = 0;  // Of these.
  VersionIndex::Outcome outcome;
  const auto store_some = [&]() -> Result<void> {
    CAIRN_TRY_VOID(index_->store(fork, tree->root(), some, outcome, VersionIndex::Order::kAny));
    some.clear();
    if (outcome.touched.empty()) return {};
    const MutexLock lock(state_mutex_);
    std::vector<Hash128>& touched = forks_.at(fork)->touched;
    touched.insert(touched.end(), outcome.touched.begin(), outcome.touched.end());
    outcome.touched.clear();
    return {};
  };
  const auto visit = [&](const segment::RecordView& record) -> Result<void> {
    if (!is_version(record)) {
      return corruption("a record that is no version of an account", segment.file, record.offset);
    }
    const ForkNumber of = fork_in(record.key);
    if (all.first_version == 0) all.first_version = record.header.write_version;
    if (of_forks.empty() || of_forks.back() != of) of_forks.push_back(of);
    const SizeClass size(record.bytes, record.kind() == RecordKind::kTombstone);
    all.sizes.add(size, record.bytes);
    if (!versions.count(of, record.header.write_version)) {
      all.sizes.set_stale(size);
      return {};
    }
    if (of != fork || some.size() == kLoadedTogether) CAIRN_TRY_VOID(store_some());
    fork = of;
    some.push_back({.key = record.key.substr(8), .place = Place(number, record.offset, size)});
    return {};
  };
  CAIRN_TRY_VOID(reader.replay(segment.end, visit));
  CAIRN_TRY_VOID(store_some());
  std::ranges::sort(of_forks);
  const auto twice = std::ranges::unique(of_forks);
  of_forks.erase(twice.begin(), twice.end());
  segments_.loaded(number, all, std::move(of_forks));
  segments_.add_stale(outcome.stale);
  return {};
}

Result<void> ForkStoreImpl::check_open() const {
  if (closed_ || stopped_) return fail(ErrorCode::kUnavailable, "the fork store is closed");
  return directory_->state();
}

std::vector<std::shared_ptr<Writer>> ForkStoreImpl::writers() const {
  const MutexLock lock(state_mutex_);
  return writers_;
}

Result<std::shared_ptr<Writer>> ForkStoreImpl::take_writer() {
  const MutexLock lock(state_mutex_);
  CAIRN_TRY_VOID(check_open());
  if (!free_writers_.empty()) {
    std::shared_ptr<Writer> writer = std::move(free_writers_.back());
    free_writers_.pop_back();
    return writer;
  }
  if (writers_.size() == kWritersMax) {
    return fail(ErrorCode::kUnavailable, "a fork store has at most " + std::to_string(kWritersMax) + " writers");
  }
  writers_.push_back(std::make_shared<Writer>(directory_, view_, name_, tuning_, static_cast<std::uint16_t>(writers_.size())));
  return writers_.back();
}

void ForkStoreImpl::give_back(const std::shared_ptr<Writer>& writer) {
  const MutexLock lock(state_mutex_);
  free_writers_.push_back(writer);
}

/// Whether any had a segment to end.
Result<bool> ForkStoreImpl::end_logs() {
  bool any = false;
  for (const auto& writer : writers()) {
    const MutexLock lock(writer->log.mutex);
    CAIRN_TRY_VOID(directory_->state());
    any = any || writer->log.has_segment();
    CAIRN_TRY_VOID(writer->log.end());
  }
  return any;
}

/// For who holds the lock of the collector, which close() waits for.
Result<void> ForkStoreImpl::check_not_closed() const {
  const MutexLock lock(state_mutex_);
  return closed_ ? fail(ErrorCode::kUnavailable, "the fork store is closed") : Result<void>();
}

Result<void> ForkStoreImpl::check_nothing_held() { return check_not_held(fork_states()); }

ForkStoreImpl::ForkStates ForkStoreImpl::fork_states() const {
  const MutexLock lock(state_mutex_);
  ForkStates all;
  for (const auto& [number, fork] : forks_) all.push_back(fork);
  return all;
}

/// Refuses new stores and returns when those under way have ended. A store that waits for room gives up.
ForkStoreImpl::ForkStates ForkStoreImpl::wait_for_stores() {
  for (const auto& writer : writers()) {
    const MutexLock lock(writer->log.mutex);
    writer->log.stop_waiting_for_room(true);
  }
  ForkStates all = fork_states();  // A copy: a change of the tree may replace the map while we wait.
  const MutexLock lock(state_mutex_);
  stopped_ = true;
  state_changed_.notify_all();
  for (const auto& fork : all) {
    while (fork->storing != 0) state_changed_.wait(state_mutex_);
  }
  return all;
}

Result<void> ForkStoreImpl::stop_storing() {
  const Result<void> held = check_not_held(wait_for_stores());
  if (!held) resume_storing();
  return held;
}

void ForkStoreImpl::resume_storing() {
  for (const auto& writer : writers()) {
    const MutexLock lock(writer->log.mutex);
    writer->log.stop_waiting_for_room(false);
  }
  const MutexLock lock(state_mutex_);
  stopped_ = false;
}

/// Up to the logs being ended everything may be called again after an error; what follows cannot fail any more.
Result<void> ForkStoreImpl::close(bool for_good) {
  {
    const MutexLock lock(state_mutex_);
    if (closed_) return {};
  }
  const ForkStates open = wait_for_stores();
  const auto unsealed = [&] {
    const auto all = segments_.all();
    return static_cast<std::size_t>(std::ranges::count_if(all, [](const auto& each) { return !each.second.sealed; }));
  };
  Result<void> result;
  const auto note = [&](const Result<void>& done) {
    if (!done && result) result = done;
  };
  const auto publish = [&](ForkState& fork) {
    const MutexLock lock(tree_mutex_);
    return publish_and_sync(fork);
  };
  if (directory_->state()) {
    for (const auto& fork : open) note(with_room([&] { return publish(*fork); }));
  }
  const auto may_be_repeated = [&] {
    return !result && !for_good && directory_->state() && result.error().code != ErrorCode::kConflict;
  };
  if (may_be_repeated()) return result;
  {
    const MutexLock lock(state_mutex_);
    closed_ = true;  // No job is scheduled any more.
  }
  std::shared_ptr<directory::Job> collect;
  {
    const MutexLock lock(state_mutex_);
    collect = last_collect_job_;
  }
  if (collect) {
    collect->cancel();
    environment_.jobs.wait(collect).ignore_error();  // Cancelled; collection goes on after the next open.
  }
  {
    const MutexLock lock(collect_mutex_);
  }  // Waits for a collection in another thread; later ones find the store closed.
  // Should it fail, nothing is lost: the next open reads the segments.
  // An index that could not be sealed only makes the next open read more segments.
  if (directory_->state() && unsealed() > tuning_.unsealed_at_close_max) seal_index().ignore_error();
  for (const auto& writer : writers()) {
    const MutexLock lock(writer->log.mutex);
    writer->log.begin_close();
    if (directory_->state()) note(writer->log.end());
    if (directory_->state()) note(writer->log.drop_next());
  }
  if (may_be_repeated()) {
    const MutexLock lock(state_mutex_);
    closed_ = false;  // Short of something: to be closed again.
    return result;
  }
  for (const auto& writer : writers()) writer->log.cancel_timers();
  environment_.syncs.cancel(this);
  return result;
}

ForkStoreStats ForkStoreImpl::stats() const {
  ForkStoreStats stats{.forks = list(), .accounts = index_->accounts(), .index_bytes = index_->memory_bytes()};
  stats.open_bytes = open_.bytes();
  const directory::Manifest manifest = directory_->manifest();
  stats.drives.push_back({.path = directory_->storage().describe()});
  for (const std::string& path : manifest.roots) stats.drives.push_back({.path = path});
  const std::vector<std::string> drive_errors = directory_->drive_errors();
  for (std::size_t i = 0; i < std::min(drive_errors.size(), stats.drives.size()); ++i) stats.drives[i].error = drive_errors[i];
  for (const auto& [number, use] : segments_.all()) {
    ++stats.segments;
    stats.segment_bytes += use.bytes;
    stats.live_bytes += use.sizes.live_bytes();
    DriveStats& drive = stats.drives[directory_->drive_of(use.file())];
    ++drive.segments;
    drive.bytes += use.bytes;
  }
  for (const directory::ViewEntry& view : manifest.views) {
    if (view.number == view_) stats.purged_remembered = view.forks->purged.size();
  }
  stats.writes = counters_.writes.load();
  stats.written_bytes = counters_.written_bytes.load();
  stats.moved_bytes = counters_.moved_bytes.load();
  stats.segments_reclaimed = counters_.reclaimed.load();
  for (const auto& writer : writers()) {
    stats.log_bytes += writer->log.written_bytes();
    stats.syncs += writer->log.syncs();
  }
  for (const auto& job : environment_.jobs.list()) stats.jobs.push_back({job->name(), job->bytes_done(), job->bytes_total()});
  stats.open_reports = directory_->reports();
  stats.open_reports.insert(stats.open_reports.end(), open_reports_.begin(), open_reports_.end());
  if (const auto state = directory_->state(); !state) stats.write_state = state.error().message;
  const MutexLock lock(state_mutex_);
  if (!collect_error_.empty()) stats.job_errors.push_back(collect_error_);
  for (const DriveStats& drive : stats.drives) {
    if (!drive.error.empty()) stats.job_errors.push_back("drive " + drive.path + ": " + drive.error);
  }
  return stats;
}

}  // namespace cairn::forks
