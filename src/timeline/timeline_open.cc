// Opening, closing and stats of a timeline. Opening costs what has no index yet: that is replayed. Closed blocks are mapped when
// they are read.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/clock.h"
#include "base/error.h"
#include "base/reached.h"
#include "timeline/block_index_writer.h"
#include "timeline/timeline_impl.h"

namespace cairn::timeline {
namespace {

constexpr std::uint64_t kBlockBytesLeast = 4 * kKiB;
constexpr std::uint64_t kBlockBytesMost = kGiB;
constexpr std::uint64_t kBlockKeysMost = std::uint64_t{1} << 40;
constexpr std::int64_t kMsMost = std::int64_t{1} << 46;  // What a stamp can say.

std::atomic<std::uint64_t> next_id{1};

Result<void> set_ms(std::int64_t& ms, const std::optional<std::chrono::milliseconds>& given, std::int64_t least,
                    const char* name) {
  if (!given) return {};
  if (given->count() < least || given->count() > kMsMost) {
    return fail(ErrorCode::kInvalidArgument, std::string(name) + " is " + std::to_string(given->count()) + " ms, not from " +
                                                 std::to_string(least) + " to " + std::to_string(kMsMost));
  }
  ms = given->count();
  return {};
}

directory::LogTuning log_tuning(const directory::TimelineEntry& config, directory::LogTuning tuning) {
  tuning.segment_bytes_max = config.block_bytes_max;
  return tuning;
}

}  // namespace

directory::TimelineEntry TimelineImpl::defaults() {
  constexpr std::int64_t kDayMs = 86'400'000;
  directory::TimelineEntry entry;
  entry.block_keys_max = 1'000'000;
  entry.block_bytes_max = 64 * kMiB;
  entry.block_span_ms_max = kDayMs;
  entry.undo_ms = kDayMs;
  return entry;
}

Result<directory::TimelineEntry> TimelineImpl::configure(directory::TimelineEntry entry, const TimelineOptions& options) {
  CAIRN_TRY_VOID(set_ms(entry.timeout_ms, options.timeout, 0, "timeout"));
  CAIRN_TRY_VOID(set_ms(entry.block_span_ms_max, options.block_span_max, 1, "block_span_max"));
  CAIRN_TRY_VOID(set_ms(entry.undo_ms, options.undo_time, 0, "undo_time"));
  if (options.expired) entry.persist = *options.expired == Expired::kPersist;
  if (options.block_keys_max) entry.block_keys_max = *options.block_keys_max;
  if (options.block_bytes_max) entry.block_bytes_max = *options.block_bytes_max;
  if (entry.block_keys_max == 0 || entry.block_keys_max > kBlockKeysMost) {
    return fail(ErrorCode::kInvalidArgument, "block_keys_max is " + std::to_string(entry.block_keys_max) + ", not from 1 to " +
                                                 std::to_string(kBlockKeysMost));
  }
  if (entry.block_bytes_max < kBlockBytesLeast || entry.block_bytes_max > kBlockBytesMost) {
    return fail(ErrorCode::kInvalidArgument,
                "block_bytes_max is " + std::to_string(entry.block_bytes_max) + ", not from 4 KiB to 1 GiB");
  }
  return entry;
}

Result<void> TimelineImpl::check_same(const TimelineOptions& options) const {
  CAIRN_TRY(given, configure(config_, options));
  const auto policy = [](bool persist) -> std::string { return persist ? "persist" : "drop"; };
  const auto ms = [](std::int64_t value) { return value == 0 ? std::string("none") : words_for_ms(value); };
  const std::array<std::array<std::string, 3>, 6> rows = {
      {{"timeout", ms(config_.timeout_ms), ms(given.timeout_ms)},
       {"expired", policy(config_.persist), policy(given.persist)},
       {"block_keys_max", std::to_string(config_.block_keys_max), std::to_string(given.block_keys_max)},
       {"block_bytes_max", std::to_string(config_.block_bytes_max), std::to_string(given.block_bytes_max)},
       {"block_span_max", ms(config_.block_span_ms_max), ms(given.block_span_ms_max)},
       {"undo_time", ms(config_.undo_ms), ms(given.undo_ms)}}};
  for (const auto& [option, has, wanted] : rows) {
    if (has == wanted) continue;
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("timeline '{}' is open with {} {}, not {} as given; close the database, then open the timeline with the "
                    "new value",
                    name_, option, has, wanted));
  }
  return {};
}

TimelineImpl::TimelineImpl(std::shared_ptr<directory::Directory> directory, const directory::ViewEntry& entry,
                           const TimelineOptions& options, const Tuning& tuning)
    : id_(next_id.fetch_add(1)),
      directory_(std::move(directory)),
      environment_(directory_->environment()),
      view_(entry.number),
      name_(entry.name),
      config_(*entry.timeline),
      options_(options),
      tuning_(tuning),
      log_(directory_, view_, name_, log_tuning(config_, tuning_)) {}

// A destructor cannot report; every acknowledged save is in the log, which the next open replays.
TimelineImpl::~TimelineImpl() { close(true).ignore_error(); }

Result<std::shared_ptr<TimelineImpl>> TimelineImpl::open(std::shared_ptr<directory::Directory> directory,
                                                         directory::ViewEntry entry, const TimelineOptions& options,
                                                         const Tuning& tuning) {
  std::shared_ptr<TimelineImpl> timeline = share_at_home(new TimelineImpl(std::move(directory), entry, options, tuning));
  CAIRN_TRY_VOID(timeline->load(entry));
  return timeline;
}

/// An index that cannot be opened is made anew: its blocks say all that it did.
Result<void> TimelineImpl::open_index(const directory::TimelineEntry& timeline, directory::BlockIndexEntry& index) {
  Result<std::shared_ptr<const IndexFile>> file = IndexFile::open(*directory_, index.file, view_);
  if (!file && file.error().code == ErrorCode::kCorruption) {
    CAIRN_REACHED("index of blocks made anew");
    const Error damage = file.error();
    std::vector<std::shared_ptr<OpenBlock>> blocks;
    std::vector<const OpenBlock*> inputs;
    for (const directory::BlockEntry& block : timeline.blocks) {
      if (std::ranges::find(index.blocks, block.number()) == index.blocks.end()) continue;
      CAIRN_TRY(replayed, OpenBlock::replay(*directory_, block.file, block.end, view_));
      inputs.push_back(replayed.get());
      blocks.push_back(std::move(replayed));
    }
    CAIRN_TRY(name, write_block_index(*directory_, name_, view_, inputs, [](std::uint64_t) { return Result<void>{}; }));
    CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
      auto& indexes = manifest.edit_view(view_).timeline->indexes;
      std::ranges::find(indexes, index.file, &directory::BlockIndexEntry::file)->file = name;
      return {};
    }));
    index.file = name;
    open_reports_.push_back(damage.to_string() + "; the index was made anew");
    file = IndexFile::open(*directory_, name, view_);
  }
  CAIRN_TRY_VOID(file);
  add_index_file(*file);
  return {};
}

Result<void> TimelineImpl::load(const directory::ViewEntry& entry) {
  auto now = std::make_shared<LineUp>();
  directory::TimelineEntry timeline = *entry.timeline;
  std::uint64_t last = std::max(timeline.main_after, timeline.given_until);
  for (const directory::RollbackEntry& rollback : timeline.rollbacks) last = std::max(last, rollback.until);
  if (!timeline.blocks.empty()) last = std::max(last, timeline.blocks.back().stamp_last);
  for (directory::BlockIndexEntry& index : timeline.indexes) CAIRN_TRY_VOID(open_index(timeline, index));
  std::uint64_t before = timeline.blocks.empty() ? 0 : timeline.blocks.back().stamp_last;
  for (const directory::SegmentEntry& segment : entry.log) {
    CAIRN_TRY(block, OpenBlock::replay(*directory_, segment.file, segment.end, view_));
    if (!block->empty() && block->stamp_first() <= before)
      return corruption("blocks of a timeline overlap in time", segment.file);
    if (!block->empty()) before = block->stamp_last();
    last = std::max(last, before);
    now->open.push_back(std::move(block));
  }
  {
    const MutexLock lock(state_mutex_);
    replace_line_up(now);
  }
  follow(timeline, {});
  directory_->raise_stamp(last);
  {
    const MutexLock lock(log_.mutex);
    log_.raise_versions(0, last);
  }
  if (much_is_open()) schedule_close();
  schedule_housekeeping();
  return {};
}

Result<void> TimelineImpl::change(const Edit& edit, const std::function<void(LineUp&)>& then) {
  const std::shared_ptr<const LineUp> before = line_up_.get();  // What leaves is unmapped when no lock is held any more.
  Result<void> changed = directory_->commit([&](directory::Manifest& manifest) { return edit(manifest.edit_view(view_)); },
                                            [&](const directory::Manifest& manifest) { follow(entry_in(manifest), then); });
  environment_.on_demand.trim();  // The blocks that closed were mapped.
  return changed;
}

const directory::TimelineEntry& TimelineImpl::entry_in(const directory::Manifest& manifest) const {
  const auto found = std::find_if(manifest.views.begin(), manifest.views.end(),
                                  [&](const directory::ViewEntry& view) { return view.number == view_; });
  return *found->timeline;
}

/// Makes the line-up follow `entry`.
void TimelineImpl::follow(const directory::TimelineEntry& entry, const std::function<void(LineUp&)>& then) {
  const MutexLock lock(state_mutex_);
  const std::shared_ptr<const LineUp> before = line_up_.get();
  auto next = std::make_shared<LineUp>(*before);
  std::map<std::uint64_t, std::shared_ptr<const Block>> known;
  for (const LineUp::Placed& placed : before->blocks) known[placed.block->number()] = placed.block;
  std::map<std::uint64_t, std::shared_ptr<const Block>> there;
  next->blocks.clear();
  for (const directory::BlockEntry& block : entry.blocks) {
    const std::uint64_t number = block.number();
    std::shared_ptr<const Block> object = known[number];
    if (!object) {
      const auto open = std::ranges::find(before->open, number, [](const auto& each) { return each->number(); });
      object = std::make_shared<const Block>(directory_, block, view_, open == before->open.end() ? nullptr : (*open)->live());
    }
    next->blocks.push_back({object, block.line});
    there[number] = object;
  }
  std::erase_if(next->open, [&](const auto& block) { return there.contains(block->number()); });
  std::set<std::string> files;
  next->indexes.clear();
  next->erases.clear();
  for (const directory::BlockIndexEntry& index : entry.indexes) {
    std::vector<std::shared_ptr<const Block>> of;
    of.reserve(index.blocks.size());
    for (const std::uint64_t number : index.blocks) of.push_back(there.at(number));
    files.insert(index.file);
    next->indexes.push_back(std::make_shared<const BlockIndex>(index_files_.at(index.file), std::move(of)));
    const std::vector<std::uint64_t> erases = next->indexes.back()->erases();
    next->erases.insert(next->erases.end(), erases.begin(), erases.end());
  }
  next->rollbacks = entry.rollbacks;
  next->main_after = entry.main_after;
  // What the manifest does not list any more goes with its last reader.
  for (const LineUp::Placed& placed : before->blocks) {
    if (!there.contains(placed.block->number())) placed.block->set_obsolete();
  }
  for (const auto& index : before->indexes) {
    if (files.contains(index->file()->name())) continue;
    index->file()->live->set_obsolete();
    index_files_.erase(index->file()->name());
  }
  if (then) then(*next);
  replace_line_up(next);
}

void TimelineImpl::replace_line_up(const std::shared_ptr<LineUp>& next) {
  std::erase_if(superseded_, [](const Superseded& each) { return each.line_up.expired(); });
  if (!newest_line_up_.expired()) superseded_.push_back({next_held_++, environment_.clock.boot_ms(), newest_line_up_});
  next->ended = std::make_shared<std::atomic<bool>>(false);
  newest_line_up_ = next;
  line_up_.set(next);
}

void TimelineImpl::add_index_file(const std::shared_ptr<const IndexFile>& file) {
  const MutexLock lock(state_mutex_);
  index_files_[file->name()] = file;
}

Result<void> TimelineImpl::check_open() const {
  if (log_.closed()) return fail(ErrorCode::kUnavailable, "the timeline is closed");
  CAIRN_TRY_VOID(log_.check_not_short());
  return directory_->state();
}

bool TimelineImpl::closed() const {
  const MutexLock lock(log_.mutex);
  return log_.closed();
}

/// More than the next open should have to replay.
bool TimelineImpl::much_is_open() const {
  std::uint64_t bytes = 0;
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (const auto& block : now->open) bytes += block->bytes();
  return now->open.size() > tuning_.open_blocks_max || bytes > tuning_.open_bytes_at_close_max;
}

Result<void> TimelineImpl::close(bool for_good) {
  Result<void> result;
  {
    const MutexLock lock(log_.mutex);
    if (closed_) return {};
    log_.begin_close();
    if (directory_->state()) {
      result = end_block();
      if (result) result = log_.drop_next();
      log_.notify();
      if (!result && directory_->state() && !for_good) return result;  // Short of something: to be closed again.
    }
    closed_ = true;
  }
  if (!line_up_.get()) return {};  // It was never loaded.
  log_.cancel_timers();
  environment_.syncs.cancel(this);
  const Asking asking(*this);
  if (result && directory_->state() && much_is_open()) schedule_close();
  std::shared_ptr<directory::Job> close;
  std::shared_ptr<directory::Job> housekeeping;
  {
    const MutexLock lock(state_mutex_);
    stop_jobs_ = true;
    close = last_close_job_;
    housekeeping = last_housekeeping_job_;
  }
  if (housekeeping) {
    housekeeping->cancel();
    environment_.jobs.wait(housekeeping).ignore_error();  // Cancelled; the next open repeats it.
  }
  // If the job fails, nothing is lost: the next open replays what has no index, and tries again.
  if (close) environment_.jobs.wait(close).ignore_error();
  environment_.syncs.cancel(this);
  return result;
}

Result<void> TimelineImpl::end_log() {
  {
    const MutexLock lock(log_.mutex);
    CAIRN_TRY_VOID(check_open());
    CAIRN_TRY_VOID(end_block());
  }
  schedule_close();
  return {};
}

namespace {

const char* name_of(directory::Line line) {
  constexpr const char* kNames[] = {"next", "persistent", "main"};
  return kNames[static_cast<std::size_t>(line)];
}

LineStats& line_of(TimelineStats& stats, directory::Line line) { return stats.lines[2 - static_cast<std::size_t>(line)]; }

void add(LineStats& line, std::uint64_t bytes, std::uint64_t saves, std::uint64_t first, std::uint64_t last) {
  if (line.blocks == 0) line.first.value = first;
  line.last.value = last;
  ++line.blocks;
  line.bytes += bytes;
  line.saves += saves;
}

/// Of each line in an index: at most as many saves are the last ones of their keys as the index has keys.
void add_live_saves(TimelineStats& stats, const LineUp& now) {
  for (const auto& index : now.indexes) {
    std::array<std::uint64_t, 3> saves{};  // Of each line in it.
    for (const LineUp::Placed& placed : now.blocks) {
      const auto& blocks = index->blocks();
      if (std::ranges::find(blocks, placed.block) != blocks.end())
        saves[static_cast<std::size_t>(placed.line)] += placed.block->saves();
    }
    for (const auto line : {directory::Line::kMain, directory::Line::kPersistent, directory::Line::kNext}) {
      line_of(stats, line).live_saves_max +=
          std::min(saves[static_cast<std::size_t>(line)], index->file()->reader->preamble().key_count);
    }
  }
}

}  // namespace

TimelineStats TimelineImpl::stats() const {
  TimelineStats stats;
  const std::shared_ptr<const LineUp> now = line_up_.get();
  stats.timeout = std::chrono::milliseconds(config_.timeout_ms);
  stats.expired = config_.persist ? Expired::kPersist : Expired::kDrop;
  for (const auto line : {directory::Line::kMain, directory::Line::kPersistent, directory::Line::kNext}) {
    stats.lines.emplace_back().name = name_of(line);
  }
  for (const LineUp::Placed& placed : now->blocks) {
    const Block& block = *placed.block;
    add(line_of(stats, placed.line), block.bytes(), block.saves(), block.stamp_first(), block.stamp_last());
    stats.blocks.push_back({.line = name_of(placed.line),
                            .file = block.name(),
                            .state = "closed",
                            .bytes = block.bytes(),
                            .saves = block.saves(),
                            .first = {block.stamp_first()},
                            .last = {block.stamp_last()}});
    stats.cycle_under_way = stats.cycle_under_way || placed.line == directory::Line::kNext;
  }
  add_live_saves(stats, *now);
  std::shared_ptr<const OpenBlock> active;
  {
    const MutexLock lock(log_.mutex);
    active = active_;
  }
  for (const auto& block : now->open) {
    stats.memory_bytes += block->memory_bytes();
    if (block->empty()) continue;
    add(line_of(stats, directory::Line::kMain), block->bytes(), block->saves(), block->stamp_first(), block->stamp_last());
    line_of(stats, directory::Line::kMain).live_saves_max += block->keys();
    stats.blocks.push_back({.line = "main",
                            .file = block->name(),
                            .state = block == active ? "active" : "ended",
                            .bytes = block->bytes(),
                            .saves = block->saves(),
                            .first = {block->stamp_first()},
                            .last = {block->stamp_last()}});
  }
  const std::int64_t now_ms = directory_->now_ms();
  for (const directory::RollbackEntry& each : now->rollbacks) {
    stats.rollbacks.push_back({.to = {each.to},
                               .until = {each.until},
                               .undoable = each.undo_until_ms > now_ms,
                               .undo_until = Time(std::chrono::milliseconds(each.undo_until_ms))});
  }
  stats.index_files = now->indexes.size();
  for (const auto& index : now->indexes) stats.index_bytes += index->file()->bytes();
  const ReadCounters::Counts read = read_counters_.sum();
  stats.index_probes = read.probes;
  stats.lookups = read.lookups;
  stats.blocks_touched = read.blocks_touched;
  stats.writes = counters_.writes.load();
  stats.written_bytes = counters_.written_bytes.load();
  stats.log_bytes = log_.written_bytes();
  stats.index_bytes_written = counters_.index_bytes.load();
  stats.blocks_closed = counters_.closed.load();
  stats.blocks_expired = counters_.expired.load();
  stats.cycles = counters_.cycles.load();
  stats.syncs = log_.syncs();
  stats.oldest_held = oldest_held(*now);
  add_background(stats);
  return stats;
}

/// Whoever holds a line-up that was superseded keeps what has left since.
std::optional<HeldStats> TimelineImpl::oldest_held(const LineUp& now) const {
  std::vector<Superseded> superseded;
  {
    const MutexLock lock(state_mutex_);
    superseded = superseded_;
  }
  std::set<std::uint64_t> blocks;
  std::set<const OpenBlock*> open;
  std::set<const IndexFile*> indexes;
  for (const LineUp::Placed& placed : now.blocks) blocks.insert(placed.block->number());
  for (const auto& block : now.open) {
    blocks.insert(block->number());
    open.insert(block.get());
  }
  for (const auto& index : now.indexes) indexes.insert(index->file().get());
  for (const Superseded& each : superseded) {
    const auto held = each.line_up.lock();
    if (!held) continue;
    HeldStats stats{.id = each.id, .age_ms = environment_.clock.boot_ms() - each.since_boot_ms};
    for (const LineUp::Placed& placed : held->blocks) {
      if (!blocks.contains(placed.block->number())) stats.bytes += placed.block->bytes();
    }
    for (const auto& index : held->indexes) {
      if (!indexes.contains(index->file().get())) stats.bytes += index->file()->bytes();
    }
    for (const auto& block : held->open) {
      if (!blocks.contains(block->number())) stats.bytes += block->bytes();
      if (!open.contains(block.get())) stats.memory_bytes += block->memory_bytes();
    }
    if (stats.bytes != 0 || stats.memory_bytes != 0) return stats;
  }
  return std::nullopt;
}

Result<void> TimelineImpl::end_held(std::uint64_t id) {
  std::shared_ptr<const LineUp> held;  // Not let go of under the lock: it may be the last to have it.
  const MutexLock lock(state_mutex_);
  const auto found = std::ranges::find(superseded_, id, &Superseded::id);
  if (found != superseded_.end()) held = found->line_up.lock();
  if (!held) return fail(ErrorCode::kNotFound, "nothing is held as " + std::to_string(id));
  *held->ended = true;
  return {};
}

/// What goes on beside saves and lookups, and what was wrong with it.
void TimelineImpl::add_background(TimelineStats& stats) const {
  for (const auto& job : environment_.jobs.list()) stats.jobs.push_back({job->name(), job->bytes_done(), job->bytes_total()});
  stats.open_reports = directory_->reports();
  stats.open_reports.insert(stats.open_reports.end(), open_reports_.begin(), open_reports_.end());
  if (const auto state = directory_->state(); !state) stats.write_state = state.error().message;
  const MutexLock lock(state_mutex_);
  for (const std::string& error : {close_error_, housekeeping_error_}) {
    if (!error.empty()) stats.job_errors.push_back(error);
  }
}

}  // namespace cairn::timeline
