// Flush and compaction are one thing: some neighbouring read-only layers of a family become one run. The order of its
// steps is what makes a crash harmless: file complete and durable, then its name, then the manifest, then readers, and
// only then do the old files go.
//
// A merge of runs alone switches the manifest after each file it has written: the run being made then holds the keys up
// to there and the inputs only those after it (`from`), so that inputs are freed as it goes and a merge that was
// interrupted goes on where it stopped.
//
// Runs whose keys do not lie among each other, and of which a merge would drop nothing, become one by the manifest alone.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "directory/liveness.h"
#include "table/run_writer.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

sealed::SealedBounds bounds_of(const Group& group) {
  sealed::SealedBounds bounds;
  for (const Layer& layer : group.layers) {
    if (layer.memtable) {
      bounds.add(layer.memtable->bounds(group.family));
      continue;
    }
    for (const auto& file : layer.run->files()) {
      const sealed::Preamble& preamble = file->preamble();
      bounds.add({.records = preamble.record_count,
                  .object_bytes = preamble.raw_object_bytes,
                  .key_bytes_max = std::max({preamble.key_bytes_max, preamble.cover_from_bytes, preamble.cover_to_bytes})});
    }
  }
  return bounds;
}

std::vector<std::uint64_t> numbers_of(const std::vector<Layer>& layers) {
  std::vector<std::uint64_t> numbers;
  for (const Layer& layer : layers) {
    for (const std::string& name : layer.files()) numbers.push_back(directory::FileName::parse(name)->number);
  }
  return numbers;
}

/// All range tombstones of the layers, and those of them that must stay.
struct RangesOf {
  RangeTombstones all;
  RangeTombstones live;
};

RangesOf ranges_of(const Group& group, const directory::Visibility& visibility) {
  std::vector<const RangeTombstones*> sets;
  for (const Layer& layer : group.layers) {
    if (layer.memtable) sets.push_back(&layer.memtable->range_tombstones(group.family));
    if (!layer.run) continue;
    for (const auto& file : layer.run->files()) sets.push_back(&file->range_tombstones);
  }
  RangesOf ranges;
  ranges.all = RangeTombstones::merged(sets);
  std::vector<sealed::Entry> kept;
  for (const RangeTombstones::Fragment& fragment : ranges.all.fragments()) {
    std::vector<std::uint64_t> versions;
    versions.reserve(fragment.versions.size());
    for (const auto& version : fragment.versions) versions.push_back(version.write_version);
    const std::vector<bool> live = directory::live_range_tombstones(versions, visibility, group.older.empty());
    for (std::size_t i = 0; i < versions.size(); ++i) {
      if (!live[i]) continue;
      kept.push_back({.key = fragment.from,
                      .value = fragment.to,
                      .kind = RecordKind::kRangeTombstone,
                      .write_version = versions[i],
                      .stamp = fragment.versions[i].stamp});
    }
  }
  ranges.live = RangeTombstones(kept);
  return ranges;
}

/// The part of a run from `from` on; nullptr if nothing is left of it.
Result<std::shared_ptr<const Run>> rest_of(const Run& run, const Bytes& from) {
  std::vector<std::shared_ptr<const RunFile>> files;
  for (const auto& file : run.files()) {
    if (below(from, file->cover_to)) files.push_back(file);
  }
  if (files.empty()) return nullptr;
  return Run::make(std::move(files), run.version_first(), run.version_last(), from, run.joined());
}

/// Decides which versions of each key live, and copies those.
class Copier {
 public:
  Copier(const Group& group, const directory::Visibility& visibility, const RangeTombstones& ranges, std::uint64_t hash_seed,
         std::int64_t now_ms)
      : group_(group), visibility_(visibility), ranges_(ranges), hash_seed_(hash_seed), now_ms_(now_ms) {}

  /// What became of the large values met since the last call.
  std::vector<LargeFate> take_fates() { return std::exchange(fates_, {}); }

  Result<void> run(const Bytes& first, RunWriter& to, directory::Job& job) {
    std::uint64_t uncounted = 0;
    CAIRN_TRY_VOID(open(first));
    while (from_->valid()) {
      entries_.clear();
      if (holds_.size() > 1) holds_.erase(holds_.begin(), holds_.end() - 1);
      do {
        entries_.push_back(from_->entry());
        // The cursor moves on while the versions of a key are collected.
        if (from_->hold() && (holds_.empty() || holds_.back() != from_->hold())) holds_.push_back(from_->hold());
        const sealed::Entry& entry = entries_.back();
        uncounted += sealed::object_bytes(entry.key.size(), entry.value.size(), entry.flags());
        if (entry.kind == RecordKind::kReference) references_.push_back(entry);
        CAIRN_TRY_VOID(from_->next());
      } while (from_->valid() && from_->entry().key == entries_.front().key);
      const std::span<const sealed::Entry> kept = is_simple() ? std::span<const sealed::Entry>(entries_) : live();
      CAIRN_TRY_VOID(note_fates(kept));
      CAIRN_TRY_VOID(to.add(kept));
      if (uncounted >= kProgressBytes) {
        CAIRN_TRY_VOID(job.progress(uncounted));
        uncounted = 0;
      }
    }
    return job.progress(uncounted);
  }

  /// Goes on in the layers that the group has by now: cursors keep all files they began with, also those they have passed.
  /// What it has read and not yet written must still be in them.
  Result<void> reopen() { return from_->valid() ? open(Bytes(from_->entry().key)) : Result<void>{}; }

 private:
  Result<void> open(const Bytes& first) {
    std::vector<std::unique_ptr<sealed::Cursor>> cursors;
    for (const Layer& layer : group_.layers) {
      if (auto cursor = layer.cursor(group_.family)) cursors.push_back(std::move(cursor));
    }
    from_.emplace(std::move(cursors));
    return first.empty() ? from_->seek_first() : from_->seek(first);
  }
  Result<void> note_fates(std::span<const sealed::Entry> kept) {
    for (const sealed::Entry& reference : references_) {
      CAIRN_TRY(at, LargeReference::of(reference));
      fates_.push_back({at.file, std::any_of(kept.begin(), kept.end(), [&](const sealed::Entry& entry) {
                          return entry.write_version == reference.write_version && entry.kind == RecordKind::kReference;
                        })});
    }
    references_.clear();
    return {};
  }
  /// Whether it is one value that nothing hides: then it lives, without a look at who could see it.
  [[nodiscard]] bool is_simple() const {
    const sealed::Entry& entry = entries_.front();
    return entries_.size() == 1 && entry.kind == RecordKind::kPut && entry.expiry_ms == 0 && ranges_.empty();
  }
  /// Of entries_ those that something can see; an expired one is a tombstone.
  std::span<const sealed::Entry> live() {
    for (sealed::Entry& entry : entries_) {
      if (entry.expiry_ms == 0 || entry.expiry_ms > now_ms_) continue;
      entry.kind = RecordKind::kTombstone;
      entry.value = {};
      entry.expiry_ms = 0;
    }
    // The range tombstones over the key stand among its versions; they are kept or dropped elsewhere.
    stored_.clear();
    const std::vector<RangeTombstones::Version>* const over = ranges_.over(entries_.front().key);
    std::size_t next_range = 0;
    const auto add_ranges_above = [&](std::uint64_t version) {
      while (over != nullptr && next_range < over->size() && (*over)[next_range].write_version > version) {
        stored_.push_back({(*over)[next_range++].write_version, true});
        place_.push_back(entries_.size());
      }
    };
    place_.clear();
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      add_ranges_above(entries_[i].write_version);
      stored_.push_back({entries_[i].write_version, entries_[i].kind == RecordKind::kTombstone});
      place_.push_back(i);
    }
    add_ranges_above(0);
    choose(directory::live_versions(stored_, visibility_, group_.older.empty()));
    if (!group_.older.empty() && !kept_.empty() && kept_.back().kind == RecordKind::kTombstone && nothing_older()) {
      choose(directory::live_versions(stored_, visibility_, true));
    }
    return kept_;
  }
  void choose(const std::vector<bool>& live) {
    kept_.clear();
    for (std::size_t i = 0; i < live.size(); ++i) {
      if (live[i] && place_[i] < entries_.size()) kept_.push_back(entries_[place_[i]]);
    }
  }
  /// Whether no older layer holds the key: then a tombstone has nothing left to hide, and need not sink to the bottom.
  [[nodiscard]] bool nothing_older() const {
    const ByteView key = entries_.front().key;
    const std::uint64_t hash = xxh3(key, hash_seed_);
    return std::none_of(group_.older.begin(), group_.older.end(),
                        [&](const Layer& layer) { return layer.may_contain(group_.family, key, hash); });
  }

  const Group& group_;
  const directory::Visibility& visibility_;
  const RangeTombstones& ranges_;
  const std::uint64_t hash_seed_;
  const std::int64_t now_ms_;
  std::optional<sealed::MergeCursor> from_;
  std::vector<sealed::Entry> entries_;
  std::vector<std::shared_ptr<const void>> holds_;
  std::vector<directory::StoredVersion> stored_;
  std::vector<std::size_t> place_;  // Of each stored version in entries_; its size for a range tombstone.
  std::vector<sealed::Entry> kept_;
  std::vector<sealed::Entry> references_;  // Among the versions of this key.
  std::vector<LargeFate> fates_;
};

}  // namespace

/// Merges the layers of one group. What is not installed on the way is added to `done`.
Result<void> TableImpl::merge_group(directory::Job& job, Merge& merge, std::size_t number, std::vector<Replacement>& done) {
  Group& group = merge.groups[number];
  if (const auto joined = merge.by_itself && group.layers.size() > 1 ? join(group.layers) : nullptr) {
    CAIRN_REACHED("runs joined");
    done.push_back({.family = group.family, .before = group.layers, .after = {Layer(joined)}, .large = {}});
    return {};
  }
  const bool as_it_goes = merge.groups.size() == 1 && std::all_of(group.layers.begin(), group.layers.end(),
                                                                  [](const Layer& layer) { return layer.run != nullptr; });
  merges_.fetch_add(1);
  const directory::Visibility visibility = directory_->visibility(entry_.number, log_.visible());
  const RangesOf ranges = ranges_of(group, visibility);
  const std::uint64_t version_first = group.begun ? group.begun->version_first() : group.layers.front().version_first();
  const std::uint64_t version_last = group.begun ? group.begun->version_last() : group.layers.back().version_last();
  const Bytes from = group.begun ? group.layers.front().run->from() : Bytes();
  RunTarget target{.view = entry_.number,
                   .view_name = entry_.name,
                   .family = line_up_.get()->families[group.family].family,
                   .version_first = version_first,
                   .version_last = version_last,
                   .replaces = numbers_of(group.layers),
                   .from = from,
                   .file_bytes_max = tuning_.sealed_bytes_max,
                   .bounds = bounds_of(group),
                   .range_tombstones = ranges.live,
                   .large_value = [&](const sealed::Entry& entry) -> Result<ByteView> {
                     CAIRN_TRY(large, line_up_.get()->large_value(entry));
                     return large->value(entry);
                   },
                   .extractor_failures = &counters_.extractor_failures};
  job.set_bytes_total(job.bytes_total() + target.bounds.object_bytes);
  Copier copier(group, visibility, ranges.all, directory_->hash_seed(), directory_->confirmed_now_ms());
  std::vector<std::shared_ptr<const RunFile>> files;
  if (group.begun) files = group.begun->files();
  const auto replacement = [&](const Bytes& upto) -> Result<Replacement> {
    Replacement change{.family = group.family, .before = group.layers, .after = {}, .large = copier.take_fates()};
    if (group.begun) change.before.insert(change.before.begin(), Layer(group.begun));
    if (!files.empty()) {
      CAIRN_TRY(output, Run::make(files, version_first, version_last));
      change.after.emplace_back(output);
    }
    for (const Layer& layer : group.layers) {
      if (upto.empty()) break;
      CAIRN_TRY(rest, rest_of(*layer.run, upto));
      if (rest) change.after.emplace_back(rest);
    }
    return change;
  };
  RunWriter writer(*directory_, std::move(target), [&](std::shared_ptr<const RunFile> file) -> Result<void> {
    counters_.sealed_bytes.fetch_add(file->preamble().file_bytes, std::memory_order_relaxed);
    files.push_back(file);
    if (!as_it_goes || file->cover_to.empty()) return {};
    CAIRN_REACHED("merge freed its inputs as it went");
    {
      CAIRN_TRY(change, replacement(file->cover_to));
      const Result<void> installed = install({change});
      if (!installed && directory_->state()) directory_->abandon(file->name());
      CAIRN_TRY_VOID(installed);
      group.begun = change.after.front().run;
      group.layers.assign(change.after.begin() + 1, change.after.end());
      claim_instead(merge, change);
    }
    CAIRN_TRY_VOID(copier.reopen());
    directory_->reclaim();  // Nothing here holds the files any more that were passed.
    if (!merge.by_itself || !pick_compaction()) return {};
    CAIRN_REACHED("merge put off for a smaller one");
    merge.put_off = true;
    return fail(ErrorCode::kUnavailable, "put off for a smaller merge");
  });
  Result<void> copied = copier.run(from, writer, job);
  if (copied) copied = writer.finish();
  if (!copied && !as_it_goes && directory_->state()) {
    for (const auto& file : files) directory_->abandon(file->name());
  }
  CAIRN_TRY_VOID(copied);
  CAIRN_TRY(change, replacement({}));
  done.push_back(std::move(change));
  return {};
}

/// Claims what a step of `merge` has put in the place of other layers.
void TableImpl::claim_instead(Merge& merge, const Replacement& change) {
  const MutexLock lock(state_mutex_);
  for (const Layer& layer : change.before) claimed_.erase(layer.identity());
  merge.claimed.clear();
  for (const Layer& layer : change.after) {
    claimed_.insert(layer.identity());
    merge.claimed.push_back(layer.identity());
  }
}

Result<void> TableImpl::run_merge(directory::Job& job, Merge& merge) {
  std::vector<Replacement> done;
  Result<void> merged;
  {
    const MutexLock lock(log_.mutex);
    merged = log_.end_predecessors();  // Which may be of a memtable here: what is sealed is durable in its log first.
  }
  for (std::size_t i = 0; i < merge.groups.size() && merged; ++i) merged = merge_group(job, merge, i, done);
  if (merged) merged = install(done);
  // A manifest that was not written lists no new file; one that may have been ended writing, and then nothing goes.
  if (!merged && directory_->state()) {
    for (const Replacement& change : done) {
      for (const Layer& layer : change.after) {
        for (const auto& file : layer.run->files()) {
          if (!is_live(file->name())) directory_->abandon(file->name());
        }
      }
    }
  }
  unclaim(merge);
  return merged;
}

/// Whether the line-up has the sealed file `name`.
bool TableImpl::is_live(const std::string& name) const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (const LineUp::OfFamily& family : now->families) {
    for (const Layer& layer : family.layers) {
      if (!layer.run) continue;
      for (const auto& file : layer.run->files()) {
        if (file->name() == name) return true;
      }
    }
  }
  return false;
}

namespace {

void replace_in(LineUp& line_up, const Replacement& change) {
  std::vector<Layer>& layers = line_up.families[change.family].layers;
  const auto place = std::find_if(layers.begin(), layers.end(),
                                  [&](const Layer& layer) { return layer.identity() == change.before.front().identity(); });
  CAIRN_ASSERT(place != layers.end());
  const auto after = layers.erase(place, place + static_cast<std::ptrdiff_t>(change.before.size()));
  layers.insert(after, change.after.begin(), change.after.end());
}

void replace_in(directory::ViewEntry& view, const Replacement& change) {
  std::vector<directory::RunEntry>& runs = view.families[change.family].runs;
  for (const Layer& layer : change.before) {
    if (layer.memtable) {
      const std::vector<std::string> gone = layer.files();
      std::erase_if(view.log, [&](const directory::SegmentEntry& segment) {
        return std::find(gone.begin(), gone.end(), segment.file) != gone.end();
      });
    } else {
      std::erase(runs, layer.run->entry());
    }
  }
  if (change.after.empty()) return;
  const std::uint64_t last = change.after.front().version_last();
  const auto place =
      std::find_if(runs.begin(), runs.end(), [&](const directory::RunEntry& entry) { return entry.version_first > last; });
  std::vector<directory::RunEntry> entries;
  entries.reserve(change.after.size());
  for (const Layer& layer : change.after) entries.push_back(layer.run->entry());
  runs.insert(place, entries.begin(), entries.end());
}

}  // namespace

/// Puts runs in the place of layers: first durably, then for readers.
Result<void> TableImpl::install(const std::vector<Replacement>& replacements) {
  CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
    directory::ViewEntry& view = manifest.edit_view(entry_.number);
    for (const Replacement& change : replacements) {
      replace_in(view, change);
      apply_fates(view, change.large);
    }
    return {};
  }));
  std::vector<std::shared_ptr<const LargeValue>> dropped;
  {
    const MutexLock lock(state_mutex_);
    auto next = std::make_shared<LineUp>(*line_up_.get());
    for (const Replacement& change : replacements) {
      replace_in(*next, change);
      const auto gone = apply_fates(*next, change.large);
      dropped.insert(dropped.end(), gone.begin(), gone.end());
    }
    runs_ = settled_runs(*next);
    set_line_up(next);
  }
  for (const auto& value : dropped) value->live()->set_obsolete();
  std::set<const void*> kept;
  std::set<const Memtable*> sealed;
  for (const Replacement& change : replacements) {
    for (const Layer& layer : change.after) {
      for (const auto& file : layer.run->files()) kept.insert(file->live.get());
    }
  }
  for (const Replacement& change : replacements) {
    for (const Layer& layer : change.before) {
      if (layer.memtable) sealed.insert(layer.memtable.get());
      if (!layer.run) continue;
      for (const auto& file : layer.run->files()) {
        if (!kept.contains(file->live.get())) file->live->set_obsolete();
      }
    }
  }
  for (const Memtable* const memtable : sealed) {
    for (const Memtable::Source& source : memtable->sources()) source.file->set_obsolete(source.recyclable_bytes);
    unsealed_bytes_.fetch_sub(memtable->log_bytes(), std::memory_order_relaxed);
  }
  return {};
}

}  // namespace cairn::table
