// The index is sealed when the database is checkpointed, when it is closed, and when as much has come since that an open would
// take long to read it. An open takes what is sealed as it is, and reads the other segments.
//
// What is sealed is right as long as the manifest lists it. A segment that has gone since was copied to others, which are read. A
// version that was replaced since was so by one in a segment that is read; and one that was replaced while the index was sealed
// is on disk, since the logs are synced before the manifest lists the index.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "forks/fork_store_impl.h"
#include "forks/sealed_index.h"
#include "forks/stored_versions.h"
#include "segment/segment_reader.h"

namespace cairn::forks {
bool ForkStoreImpl::seal_is_due() const {
  std::uint64_t bytes = 0;
  for (const auto& [number, use] : segments_.all()) bytes += use.sealed ? 0 : use.bytes;
  return bytes > std::max(tuning_.unsealed_bytes_max, 2 * index_->accounts() * sizeof(AccountIndex::Entry));
}

Result<void> ForkStoreImpl::seal_index() {
  const MutexLock lock(collect_mutex_);
  return seal_all();
}

Result<void> ForkStoreImpl::seal_index_if_idle() {
  if (!collect_mutex_.try_lock()) return {};
  const Result<void> sealed = seal_all();
  collect_mutex_.unlock();
  return sealed;
}

/// With the collector kept from its next step: no segment goes meanwhile.
Result<void> ForkStoreImpl::seal_all() {
  if (const Result<bool> ended = end_logs(); !ended) return std::unexpected(ended.error());
  segments_.count();
  const auto all = segments_.all();
  if (!all.empty() && std::ranges::all_of(all, [](const auto& each) { return each.second.sealed; })) return {};
  const Space covered = space();
  std::uint64_t bytes = index_->accounts() * sizeof(AccountIndex::Entry) + index_->list_bytes();
  for (const auto& [number, use] : covered.ended) bytes += sizeof(SealedSegment) + 8 * use.forks.size() + 64;
  SealedIndexWriter writer(*directory_, view_, name_,
                           bytes + std::min<std::uint64_t>(index_->accounts(), VersionIndex::kParts) * 40);
  std::map<std::uint32_t, std::uint32_t> numbers;  // That places in the index have.
  for (const auto& [number, use] : covered.ended) {
    const auto next = static_cast<std::uint32_t>(numbers.size());
    numbers[number] = next;
    CAIRN_TRY_VOID(writer.add_segment(next, use));
  }
  // Each part is looked at once: a change of the tree, which writes no record, makes accounts of the one kind to such of the
  // other.
  VersionIndex::Plain plain;
  std::vector<std::vector<Place>> others(VersionIndex::kParts);  // Written last, as keys ascend.
  for (std::uint32_t part = 0; part < VersionIndex::kParts; ++part) {
    std::vector<Place> places;
    index_->copy_part(part, plain, places);
    VersionIndex::Plain kept;
    for (const AccountIndex::Entry& entry : plain) {
      const auto place = sealed_place(VersionIndex::place_of(entry), numbers);
      if (place) kept.push_back(VersionIndex::with_place(entry, *place));
    }
    for (const Place each : places) {
      if (const auto place = sealed_place(each, numbers)) others[part].push_back(*place);
    }
    CAIRN_TRY_VOID(writer.add_plain(part, kept));
  }
  for (std::uint32_t part = 0; part < VersionIndex::kParts; ++part) CAIRN_TRY_VOID(writer.add_others(part, others[part]));
  CAIRN_TRY(files, writer.finish());
  CAIRN_TRY_VOID(sync_logs());
  std::vector<std::string> before;
  CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
    directory::ForksEntry& forks = *manifest.edit_view(view_).forks;
    before = std::exchange(forks.index, files);
    return {};
  }));
  writer.keep();
  segments_.set_sealed(covered.ended);
  for (const std::string& file : before) directory_->keeper()->drop({file, 0});
  directory_->reclaim();
  return {};
}

/// Where a version lies that an open finds by the index; nullopt: nowhere that the index covers.
std::optional<Place> ForkStoreImpl::sealed_place(Place place, const std::map<std::uint32_t, std::uint32_t>& numbers) const {
  if (open_.any()) {
    const MutexLock lock(open_.mutex);
    if (const auto account = open_.find(place)) place = account->replaced;
  }
  const auto found = numbers.find(place.segment());
  if (place.word() == 0 || found == numbers.end()) return std::nullopt;
  return place.in(found->second);
}

/// Puts what is sealed into the index; the files of segments that need not be read are added to `covered`.
Result<void> ForkStoreImpl::load_sealed(const directory::ViewEntry& entry, std::set<std::string>& covered) {
  std::map<std::uint64_t, const directory::SegmentEntry*> listed;
  for (const directory::SegmentEntry& segment : entry.log) listed[directory::FileName::parse(segment.file)->number] = &segment;
  struct Covered {
    const directory::SegmentEntry* entry;
    SegmentUse use;
    std::uint32_t number = 0;
  };
  std::map<std::uint32_t, Covered> segments;  // By their numbers in the index.
  std::uint64_t most = 0;
  // Read as a whole before anything of it counts.
  CAIRN_TRY_VOID(read_sealed_index(
      *directory_, view_, entry.forks->index,
      {.segment = [&](std::uint32_t number, const SealedSegment& segment, std::vector<std::uint64_t> forks) -> Result<void> {
         const auto found = listed.find(segment.file);
         if (found == listed.end() || found->second->end != segment.bytes) return {};  // It has gone.
         segments[number] = {.entry = found->second,
                             .use = {.bytes = segment.bytes,
                                     .sizes = SizeCounts(segment.sizes),
                                     .first_version = segment.first_version,
                                     .as_of = segment.as_of,
                                     .forks = std::move(forks),
                                     .sealed = true}};
         return {};
       },
       .plain = [&](std::uint32_t, VersionIndex::Plain accounts) -> Result<void> {
         most = std::max<std::uint64_t>(most, accounts.size());
         return {};
       },
       .others = [](std::uint32_t, std::vector<Place>) { return Result<void>(); }}));
  for (auto& [in_index, segment] : segments) {
    CAIRN_TRY(map, directory_->storage().open(segment.entry->file));
    const std::uint64_t file = directory::FileName::parse(segment.entry->file)->number;
    CAIRN_TRY(reader, segment::SegmentReader::open(map, directory_->database_id(), file, view_));
    const segment::SegmentIdentity& identity = reader.identity();
    segment.use.live = directory_->live(map);
    segment.use.seed = segment::segment_seed(identity.database, identity.number, identity.salt);
    CAIRN_TRY(number, segments_.add(segment.use));
    segment.number = number;
    covered.insert(segment.entry->file);
  }
  if (!index_->reserve(most)) return fail(ErrorCode::kNoSpace, "the index of accounts has no room for so many");
  const auto place_now = [&](Place place) -> std::optional<Place> {
    const auto found = segments.find(place.segment());
    if (found == segments.end()) return std::nullopt;
    return place.in(found->second.number);
  };
  std::vector<Place> others;
  CAIRN_TRY_VOID(read_sealed_index(
      *directory_, view_, entry.forks->index,
      {.segment = [](std::uint32_t, const SealedSegment&, const std::vector<std::uint64_t>&) { return Result<void>(); },
       .plain = [&](std::uint32_t part, VersionIndex::Plain accounts) -> Result<void> {
         VersionIndex::Plain kept;
         for (const AccountIndex::Entry& account : accounts) {
           if (const auto place = place_now(VersionIndex::place_of(account)))
             kept.push_back(VersionIndex::with_place(account, *place));
         }
         index_->fill_part(part, kept);
         return {};
       },
       .others = [&](std::uint32_t, const std::vector<Place>& places) -> Result<void> {
         for (const Place place : places) {
           if (const auto now = place_now(place)) others.push_back(*now);
         }
         return {};
       }}));
  return load_others(others, *entry.forks);
}

/// Versions of forks that were above the root when the index was sealed.
Result<void> ForkStoreImpl::load_others(std::span<const Place> places, const directory::ForksEntry& forks) {
  const std::shared_ptr<const ForkTree> tree = tree_.get();
  const StoredVersions versions(*tree, forks);
  VersionIndex::Outcome outcome;
  for (const Place place : places) {
    VersionIndex::Found found{.place = place, .file = table_.hold(place), .seed = table_.seed(place)};
    CAIRN_TRY_VOID(verify(found));
    const segment::RecordView record = segment::view_record(table_.at(place), place.offset());
    const ForkNumber fork = fork_in(record.key);
    if (!versions.count(fork, record.header.write_version)) {
      outcome.stale.push_back(place);  // It was purged since.
      continue;
    }
    const VersionIndex::Stored stored{.key = record.key.substr(8), .place = place};
    CAIRN_TRY_VOID(index_->store(fork, tree->root(), {&stored, 1}, outcome, VersionIndex::Order::kAny));
    if (outcome.touched.empty()) continue;
    const MutexLock lock(state_mutex_);
    forks_.at(fork)->touched.push_back(outcome.touched.front());
    outcome.touched.clear();
  }
  segments_.add_stale(outcome.stale);
  return {};
}

}  // namespace cairn::forks
