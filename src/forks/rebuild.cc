#include "forks/rebuild.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "forks/fork_store_impl.h"
#include "forks/stored_versions.h"
#include "forks/version_writer.h"

namespace cairn::forks {

bool is_version(const segment::RecordView& record) {
  return record.key.size() == kRecordKeyBytes && (record.kind() == RecordKind::kPut || record.kind() == RecordKind::kTombstone);
}

Result<directory::ViewEntry> rebuild(directory::Directory& directory, std::uint16_t number, const std::string& name,
                                     const directory::ForksEntry* as, const std::vector<segment::RecordView>& records,
                                     std::uint64_t& versions) {
  const directory::ForksEntry known = as != nullptr ? *as : ForkStoreImpl::initial();
  CAIRN_TRY(tree, ForkTree::of(known.forks, known.gone, "manifest"));
  const StoredVersions stored(tree, known);
  // Of each account and fork the newest; what is not above the root is one fork.
  std::map<std::pair<ByteView, std::uint64_t>, const segment::RecordView*> newest;
  for (const segment::RecordView& record : records) {
    const std::uint64_t fork = fork_in(record.key);
    if (as != nullptr && !stored.count(fork, record.header.write_version)) continue;
    const bool of_root = as == nullptr || fork <= tree.root();
    const segment::RecordView*& last = newest[{record.key.substr(8), of_root ? 0 : fork}];
    if (last == nullptr || last->header.write_version < record.header.write_version) last = &record;
  }
  struct Version {
    const segment::RecordView* record;
    std::uint64_t fork;
  };
  std::vector<Version> kept;
  std::uint64_t bytes = 0;
  for (const auto& [of, record] : newest) {
    if (of.second == 0 && record->kind() == RecordKind::kTombstone) continue;  // Nothing older is left.
    kept.push_back({record, of.second});
    bytes += record->bytes;
  }
  std::ranges::sort(kept, {}, [](const Version& version) { return version.record->header.write_version; });
  directory::ViewEntry entry{.number = number, .forks = directory::ForksEntry{.forks = known.forks, .gone = known.gone}};
  for (Fork& fork : entry.forks->forks) fork.since = 0;  // None of them has anything of an earlier one.
  versions += kept.size();
  if (kept.empty()) return entry;
  CAIRN_TRY_VOID(directory.prepare_versions(kept.size()));
  const auto given = directory.reserve_versions(kept.size());
  if (!given) return fail(ErrorCode::kUnavailable, "the clock ran away during repair; try again");
  std::uint64_t write_version = given->write_version;
  VersionWriter writer(directory, number, name, Tuning().segment_bytes_max, bytes);
  for (const Version& version : kept) CAIRN_TRY_VOID(writer.add(*version.record, version.fork, write_version++));
  CAIRN_TRY_VOID(writer.finish());
  for (const VersionWriter::Made& made : writer.made()) {
    entry.log.push_back({.file = made.file,
                         .state = directory::SegmentState::kEnded,
                         .end = made.all.end,
                         .root = made.root,
                         .writer = kWritersMax});
  }
  writer.keep();
  return entry;
}

}  // namespace cairn::forks
