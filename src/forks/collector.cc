// The collector gives back what no fork sees any more: versions that count move to new segments, those of several old ones
// together, and the old ones are gone. It needs nobody to wait: a version that is replaced while it moves counts where it is.
//
// At most as much as is live, and some segments, may be stale: sooner than that the segments with the most of it are taken, and
// beyond it who stores waits. An erase of the root stays as long as another segment may have an older version of its account:
// one that was made when the erase was the root's already has none (as_of), so in time the oldest are taken too.
#include <algorithm>
#include <array>
#include <set>

#include "base/error.h"
#include "base/reached.h"
#include "directory/liveness.h"
#include "forks/fork_store_impl.h"
#include "forks/version_writer.h"
#include "segment/segment_reader.h"

namespace cairn::forks {
namespace {

constexpr std::size_t kLookupBatch = 16;  // Looked up in the index.
constexpr std::int64_t kRetryMs = 1000;
constexpr std::uint64_t kAskedBytes = 512 * kKiB;  // Of a segment that is read with others at once.

}  // namespace

/// Of some segments, what moves.
struct ForkStoreImpl::Survivors {
  std::map<std::uint32_t, SegmentUse> from;
  std::map<std::uint32_t, SegmentUse> others;  // All that stay.
  std::uint64_t root = 0;
  std::uint64_t as_of = 0;
  struct Version {
    std::uint64_t write_version;
    Hash128 account;
    Place from;
    Place to;
  };
  std::vector<Version> versions;
  std::uint64_t bytes = 0;      // Of them.
  std::vector<Version> erases;  // That nobody needs any more though the index refers to them.
  struct Made {
    std::uint32_t number;
    directory::SegmentEntry entry;
  };
  std::vector<Made> made;
};

ForkStoreImpl::Space ForkStoreImpl::space() const {
  Space space;
  std::set<std::string> ended;
  const directory::Manifest manifest = directory_->manifest();
  for (const directory::ViewEntry& view : manifest.views) {
    if (view.number != view_) continue;
    for (const directory::SegmentEntry& segment : view.log) {
      if (segment.state == directory::SegmentState::kEnded) ended.insert(segment.file);
    }
  }
  for (auto& [number, use] : segments_.all()) {
    const std::uint64_t erase_bytes = use.sizes.live_erase_bytes();
    const std::uint64_t live_bytes = use.sizes.live_bytes() - erase_bytes;
    if (use.storing != 0 || !ended.contains(use.file())) continue;
    space.bytes += use.bytes;
    space.live_bytes += live_bytes;
    space.erase_bytes += erase_bytes;
    space.ended.emplace(number, use);
  }
  return space;
}

/// What segments may take.
std::uint64_t ForkStoreImpl::most_bytes(const Segments::Totals& now) const { return 2 * now.live_bytes + tuning_.slack_bytes; }

/// Whether more is stale than may be.
bool ForkStoreImpl::look_at_space() {
  const Segments::Totals now = segments_.count();
  const bool is_short = now.bytes > most_bytes(now);
  if (space_is_short_.exchange(is_short) != is_short) allowance_ = 0;
  return is_short;
}

void ForkStoreImpl::schedule_collect() {
  const MutexLock lock(state_mutex_);
  collect_again_ = collect_job_ != nullptr;
  if (!collect_job_ && !closed_) submit_collect();
}

void ForkStoreImpl::submit_collect() {
  const auto work = [this](directory::Job& job) {
    Result<void> done = collect_as_due(job);
    if (done && seal_is_due()) done = seal_index();
    if (!done && directory_->state()) {
      CAIRN_REACHED("collecting failed and is tried again");
      environment_.syncs.after(kRetryMs, this, [this] { schedule_collect(); });
    }
    const MutexLock lock(state_mutex_);  // The last thing it does: close() waits for the last job only.
    collect_job_.reset();
    collect_error_ = done ? "" : done.error().to_string();
    if (std::exchange(collect_again_, false) && done && !closed_) submit_collect();
    return done;
  };
  collect_job_ =
      environment_.jobs.submit("collect " + name_, directory::JobRunner::Urgency::kUrgent, work, options_.job_bytes_per_s_max);
  last_collect_job_ = collect_job_;
}

/// Takes the segments with the most that is stale until there is little enough of it.
Result<void> ForkStoreImpl::collect_as_due(directory::Job& job) {
  const MutexLock lock(collect_mutex_);
  // Segments that wait to be recycled count too, and go first.
  if (const Segments::Totals now = segments_.count(); now.bytes + directory_->spare_bytes() > most_bytes(now)) {
    if (directory_->release_spares()) CAIRN_REACHED("spares gave way to the bound");
  }
  std::set<std::uint32_t> made;  // By this run: it ends though nothing could be given back.
  bool ended_logs = false;
  while (true) {
    const bool is_short = look_at_space();
    const Space now = space();
    std::vector<std::uint32_t> worst;
    for (const auto& [number, use] : now.ended) {
      if (!made.contains(number)) worst.push_back(number);
    }
    const bool due = now.bytes > now.live_bytes + now.live_bytes / 2 + tuning_.slack_bytes / 2;
    const bool of_erases = now.erase_bytes > now.bytes / 2;
    const auto rank = [&](std::uint32_t number) {
      const SegmentUse& use = now.ended.at(number);
      const double old = static_cast<double>(std::max(use.first_version, use.as_of));
      return of_erases ? old : static_cast<double>(use.sizes.live_bytes()) / static_cast<double>(use.bytes);
    };
    std::ranges::sort(worst, {}, rank);
    Survivors survivors;
    std::uint64_t bytes = 0;
    for (const std::uint32_t number : worst) {
      const SegmentUse& use = now.ended.at(number);
      const std::uint64_t live_bytes = use.sizes.live_bytes();
      const bool takes = live_bytes == 0 || (due && (survivors.from.empty() || bytes + live_bytes <= tuning_.collect_bytes_max));
      if (!takes) break;
      bytes += live_bytes;
      survivors.from.emplace(number, use);
    }
    if (survivors.from.empty() && (due || is_short) && !std::exchange(ended_logs, true)) {
      CAIRN_REACHED("collector ended the logs");
      if (const Result<bool> ended = end_logs(); !ended) return std::unexpected(ended.error());
      made.clear();
      continue;
    }
    if (survivors.from.empty()) break;
    CAIRN_TRY_VOID(collect_these(job, survivors));
    for (const Survivors::Made& each : survivors.made) made.insert(each.number);
  }
  space_is_short_ = false;
  return {};
}

/// For a writer that finds no room: gives back what is stale, though there is less of it than the bound lets there be. Whether
/// anything was given back. Holds no lock of the store: the collector needs that of the tree.
bool ForkStoreImpl::collect_for_room() {
  constexpr std::int64_t kLookMs = 10;
  bool any = false;
  const auto work = [&](directory::Job& job) -> Result<void> {
    // Not without end: a step of the collector waits for a change of the tree, and that for a store which waits for room.
    const std::int64_t end_ms = environment_.clock.boot_ms() + tuning_.write_wait_ms_max;
    while (!collect_mutex_.try_lock()) {
      if (environment_.clock.boot_ms() >= end_ms) return {};
      environment_.clock.sleep_ms(kLookMs);
    }
    Result<void> done = give_room_back(job, any);
    collect_mutex_.unlock();
    return done;
  };
  // A failure frees no room; the writer that waits for it then reports kNoSpace itself.
  environment_.jobs.run_here("make room in " + name_, work).ignore_error();
  if (any) CAIRN_REACHED("store without room collected first");
  return any;
}

Result<void> ForkStoreImpl::give_room_back(directory::Job& job, bool& any) {
  CAIRN_TRY_VOID(check_not_closed());
  segments_.count();
  CAIRN_TRY(collected, collect_least_live(job));
  any = collected;
  if (any) return {};
  CAIRN_TRY_VOID(directory_->state());
  // Stale versions may stand in active segments, which cannot be collected; and these give their unused room back.
  CAIRN_TRY(ended, end_logs());
  any = ended;
  CAIRN_TRY(more, collect_least_live(job));
  any = any || more;
  return {};
}

/// Segments of which nothing lives, all at once and without a copy; else the one with the least, if at least half of it is stale.
Result<bool> ForkStoreImpl::collect_least_live(directory::Job& job) {
  const Space now = space();
  Survivors survivors;
  const SegmentUse* least = nullptr;
  std::uint32_t least_number = 0;
  for (const auto& [number, use] : now.ended) {
    if (use.sizes.live_bytes() == 0) survivors.from.emplace(number, use);
    if (least != nullptr && use.sizes.live_bytes() >= least->sizes.live_bytes()) continue;
    least = &use;
    least_number = number;
  }
  if (survivors.from.empty() && least != nullptr && 2 * least->sizes.live_bytes() <= least->bytes) {
    survivors.from.emplace(least_number, *least);
  }
  if (survivors.from.empty()) return false;
  CAIRN_TRY_VOID(collect_these(job, survivors));
  return true;
}

Result<void> ForkStoreImpl::collect() {
  const auto work = [&](directory::Job& job) -> Result<void> {
    const MutexLock lock(collect_mutex_);
    CAIRN_TRY_VOID(check_not_closed());
    segments_.count();
    Space now = space();
    // Those with little that is stale stay as they are.
    std::erase_if(now.ended, [](const auto& each) {
      const SegmentUse& use = each.second;
      return use.sizes.live_bytes() - use.sizes.live_erase_bytes() > use.bytes / 8 * 7;
    });
    while (!now.ended.empty()) {
      Survivors survivors;
      std::uint64_t bytes = 0;
      while (!now.ended.empty() && (survivors.from.empty() || bytes < tuning_.collect_bytes_max)) {
        bytes += now.ended.begin()->second.sizes.live_bytes();
        survivors.from.insert(now.ended.extract(now.ended.begin()));
      }
      CAIRN_TRY_VOID(collect_these(job, survivors));
    }
    return {};
  };
  return environment_.jobs.run_here("collect " + name_, work, options_.job_bytes_per_s_max);
}

Result<void> ForkStoreImpl::collect_these(directory::Job& job, Survivors& survivors) {
  CAIRN_TRY_VOID(find_survivors(job, survivors));
  Result<void> copied = copy_survivors(job, survivors);
  if (!copied) {
    for (const Survivors::Made& made : survivors.made) segments_.remove(made.number);
    return copied;
  }
  move_survivors(survivors);
  index_->wait_for_readers();
  stale_at_hand_.wait_until_left();
  std::int64_t given_back = 0;
  for (const auto& [number, use] : survivors.from) {
    use.live->set_obsolete(use.recyclable_bytes);
    segments_.remove(number);
    given_back += static_cast<std::int64_t>(use.bytes);
  }
  for (const Survivors::Made& made : survivors.made) given_back -= static_cast<std::int64_t>(made.entry.end);
  allowance_.fetch_add(given_back / 2);
  counters_.reclaimed.fetch_add(survivors.from.size(), std::memory_order_relaxed);
  survivors.from.clear();
  directory_->reclaim();
  return {};
}

/// Every batch with a version up to this one is in the index.
std::uint64_t ForkStoreImpl::all_indexed_up_to() const {
  const std::uint64_t used = directory_->versions_used();
  for (const auto& writer : writers()) const MutexLock lock(writer->log.mutex);  // Who had one of these has stored it then.
  const std::optional<std::uint64_t> pending = segments_.first_pending();
  return pending ? std::min(used, *pending - 1) : used;
}

/// As things stand between two changes of the tree. What is newer than the oldest child of the root may be of the root one day:
/// what it replaces then counts now.
void ForkStoreImpl::take_root(Survivors& survivors) {
  const MutexLock lock(tree_mutex_);
  survivors.as_of = all_indexed_up_to();
  const std::shared_ptr<const ForkTree> tree = tree_.get();
  survivors.root = tree->root();
  for (const Fork& fork : tree->forks()) {
    if (fork.parent == survivors.root && fork.number != survivors.root) survivors.as_of = std::min(survivors.as_of, fork.since);
  }
}

Result<void> ForkStoreImpl::find_survivors(directory::Job& job, Survivors& survivors) {
  take_root(survivors);
  survivors.others = segments_.all();
  for (const auto& [number, use] : survivors.from) survivors.others.erase(number);
  for (const auto& [number, use] : survivors.from) {
    const auto& map = use.live->map();
    CAIRN_TRY(reader, segment::SegmentReader::open(map, directory_->database_id(),
                                                   directory::FileName::parse(map->name())->number, view_));
    std::vector<segment::RecordView> some;
    CAIRN_TRY_VOID(reader.replay(use.bytes, [&, segment = number](const segment::RecordView& record) -> Result<void> {
      some.push_back(record);
      if (some.size() < kLookupBatch) return {};
      sort_out(some, segment, survivors);
      some.clear();
      return {};
    }));
    sort_out(some, number, survivors);
    CAIRN_TRY_VOID(job.progress(use.bytes));
  }
  std::ranges::sort(survivors.versions, {}, &Survivors::Version::write_version);
  return {};
}

void ForkStoreImpl::sort_out(std::span<const segment::RecordView> records, std::uint32_t segment, Survivors& survivors) {
  std::array<Hash128, kLookupBatch> accounts;
  for (std::size_t i = 0; i < records.size(); ++i) {
    accounts[i] = index_->hash_of(records[i].key.substr(8));
    index_->prefetch(accounts[i]);
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    const segment::RecordView& record = records[i];
    const Place place(segment, record.offset, SizeClass(record.bytes, record.kind() == RecordKind::kTombstone));
    const std::uint64_t version = record.header.write_version;
    directory::StoredAccount stored{.referred = index_->refers(accounts[i], place)};
    if (!stored.referred && open_.any()) {
      const MutexLock lock(open_.mutex);
      stored.after_crash = open_.standing_for(place) != nullptr;
    }
    stored.erase_of_root = record.kind() == RecordKind::kTombstone && fork_in(record.key) <= survivors.root;
    if (stored.referred && stored.erase_of_root) {
      stored.hides_nothing =
          std::ranges::none_of(survivors.others, [&](const auto& other) { return other.second.may_hide(version); });
    }
    if (directory::live_account(stored)) {
      survivors.versions.push_back({.write_version = version, .account = accounts[i], .from = place, .to = {}});
      survivors.bytes += record.bytes;
    } else if (stored.referred) {
      CAIRN_REACHED("erase of the root forgotten");
      survivors.erases.push_back({.write_version = version, .account = accounts[i], .from = place, .to = {}});
    }
  }
}

Result<void> ForkStoreImpl::copy_survivors(directory::Job& job, Survivors& survivors) {
  VersionWriter writer(*directory_, view_, name_, tuning_.segment_bytes_max, survivors.bytes);
  std::vector<VersionWriter::At> places;
  std::map<std::uint32_t, std::uint64_t> asked;  // How far, of each segment: its versions come in its order.
  for (const Survivors::Version& version : survivors.versions) {
    std::uint64_t& upto = asked[version.from.segment()];
    if (const std::uint64_t offset = version.from.offset(); offset + kAskedBytes / 2 > upto) {
      survivors.from.at(version.from.segment()).live->map()->will_read(std::max(offset, upto), offset + kAskedBytes);
      upto = offset + kAskedBytes;
    }
    const segment::RecordView record = segment::view_record(table_.at(version.from), version.from.offset());
    // What the root has is part of every fork from now on: which fork it came from is nothing to anybody.
    const ForkNumber fork = fork_in(record.key) <= survivors.root ? 0 : fork_in(record.key);
    CAIRN_TRY(at, writer.add(record, fork, version.write_version));
    places.push_back(at);
  }
  CAIRN_TRY_VOID(writer.finish());
  for (const VersionWriter::Made& made : writer.made()) {
    CAIRN_TRY(number, segments_.add({.live = directory_->live(made.map), .as_of = survivors.as_of}));
    segments_.loaded(number, made.all, made.forks);
    survivors.made.push_back({.number = number,
                              .entry = {.file = made.file,
                                        .state = directory::SegmentState::kEnded,
                                        .end = made.all.end,
                                        .root = made.root,
                                        .writer = kWritersMax,
                                        .as_of = survivors.as_of}});
    counters_.moved_bytes.fetch_add(made.all.end, std::memory_order_relaxed);
    CAIRN_TRY_VOID(job.progress(made.all.end));
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    survivors.versions[i].to = Place(survivors.made[places[i].made].number, places[i].offset, places[i].size);
  }
  const Result<void> listed = list_survivors(survivors);
  if (listed) writer.keep();
  return listed;
}

/// The manifest goes over to the new segments. What replaced versions in the old ones is on disk before.
Result<void> ForkStoreImpl::list_survivors(const Survivors& survivors) {
  CAIRN_TRY_VOID(sync_logs());
  std::set<std::string> from;
  for (const auto& [number, use] : survivors.from) from.insert(use.file());
  return switch_manifest([&](directory::Manifest& manifest) -> Result<void> {
    directory::ViewEntry& view = manifest.edit_view(view_);
    std::erase_if(view.log, [&](const directory::SegmentEntry& segment) { return from.contains(segment.file); });
    for (const Survivors::Made& made : survivors.made) view.log.push_back(made.entry);
    forget_purged(*view.forks, survivors);
    return {};
  });
}

/// Purged forks of which no segment has records any more.
void ForkStoreImpl::forget_purged(directory::ForksEntry& entry, const Survivors& survivors) const {
  std::set<ForkNumber> forks;
  for (const auto& [number, use] : segments_.all()) {
    if (!survivors.from.contains(number)) forks.insert(use.forks.begin(), use.forks.end());
  }
  std::erase_if(entry.purged, [&](const directory::PurgedEntry& purged) { return !forks.contains(purged.fork); });
}

void ForkStoreImpl::move_survivors(const Survivors& survivors) {
  std::vector<Place> stale;
  for (std::size_t i = 0; i < survivors.versions.size(); ++i) {
    const Survivors::Version& version = survivors.versions[i];
    const std::size_t ahead = i + kLookupBatch;
    if (ahead < survivors.versions.size()) index_->prefetch(survivors.versions[ahead].account);
    if (index_->move(version.account, version.from, version.to)) continue;
    const MutexLock lock(open_.mutex);
    OpenAccount* const open = open_.standing_for(version.from);
    if (open != nullptr) {
      open_.set_replaced(*open, version.to);
    } else {
      CAIRN_REACHED("version replaced while it moved");
      stale.push_back(version.to);
    }
  }
  for (const Survivors::Version& erase : survivors.erases) index_->drop(erase.account, erase.from);
  segments_.add_stale(stale);
}

}  // namespace cairn::forks
