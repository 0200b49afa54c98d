// explain: every version of a key, where it is, and what a reader makes of it.
#include <algorithm>

#include "table/table_impl.h"

namespace cairn::table {
namespace {

const char* name_of(RecordKind kind) {
  switch (kind) {
    case RecordKind::kTombstone: return "tombstone";
    case RecordKind::kRangeTombstone: return "range tombstone";
    case RecordKind::kReference: return "put, large";
    default: return "put";
  }
}

/// The segment of a memtable that `at` lies in.
std::string file_of(const Memtable& memtable, const char* at) {
  const Memtable::Source* const source = memtable.source_of(at);
  return source != nullptr ? source->file->map()->name() : "";
}

/// What the layers, newest first, hold of one key.
class Explanation {
 public:
  Explanation(const ReadView& view, ByteView key) : view_(view), key_(key) {}

  Result<void> add_memtable(const std::shared_ptr<const Memtable>& memtable, const char* layer) {
    add_range_tombstones(memtable->range_tombstones(view_.family), layer, "");
    const auto cursor = memtable->cursor(view_.family);
    if (!cursor) return {};
    return add_entries(*cursor, layer, [&](const sealed::Entry& entry) { return file_of(*memtable, entry.key.data()); });
  }
  Result<void> add_run(const Run& run) {
    const RunFile* const file = run.file_of(key_);
    if (file == nullptr) return {};
    add_range_tombstones(file->range_tombstones, "sealed", file->name());
    const auto cursor = run.cursor();
    return add_entries(*cursor, "sealed", [&](const sealed::Entry&) { return file->name(); });
  }

  /// With a verdict each, newest first.
  std::vector<KeyVersion> take() {
    std::sort(versions_.begin(), versions_.end(),
              [](const KeyVersion& a, const KeyVersion& b) { return a.write_version > b.write_version; });
    const KeyVersion* above = nullptr;
    for (KeyVersion& version : versions_) {
      version.verdict = verdict(version, above);
      if (above == nullptr && version.write_version <= view_.version_max) above = &version;
    }
    return std::move(versions_);
  }

 private:
  template <typename FileOf>
  Result<void> add_entries(sealed::Cursor& cursor, const char* layer, FileOf file_of_entry) {
    CAIRN_TRY_VOID(cursor.seek(key_));
    while (cursor.valid() && cursor.entry().key == key_) {
      const sealed::Entry& entry = cursor.entry();
      KeyVersion version{.layer = layer,
                         .file = file_of_entry(entry),
                         .kind = name_of(entry.kind),
                         .write_version = entry.write_version,
                         .written_ms = directory::ms_of_stamp(entry.stamp),
                         .value_bytes = entry.value.size(),
                         .expiry_ms = entry.expiry_ms,
                         .verdict = {}};
      if (entry.kind == RecordKind::kReference) {
        CAIRN_TRY(at, LargeReference::of(entry));
        version.value_bytes = at.bytes;
      }
      versions_.push_back(std::move(version));
      CAIRN_TRY_VOID(cursor.next());
    }
    return {};
  }

  void add_range_tombstones(const RangeTombstones& set, const char* layer, const std::string& file) {
    const std::vector<RangeTombstones::Version>* const over = set.over(key_);
    if (over == nullptr) return;
    for (const RangeTombstones::Version& each : *over) {
      versions_.push_back({.layer = layer,
                           .file = file,
                           .kind = name_of(RecordKind::kRangeTombstone),
                           .write_version = each.write_version,
                           .written_ms = directory::ms_of_stamp(each.stamp),
                           .verdict = {}});
    }
  }

  /// `above`: the newest version that the reader sees.
  [[nodiscard]] std::string verdict(const KeyVersion& version, const KeyVersion* above) const {
    if (version.write_version > view_.version_max)
      return "not visible yet: newer than version " + std::to_string(view_.version_max);
    if (above != nullptr) return "hidden by version " + std::to_string(above->write_version);
    if (!version.kind.starts_with("put")) return "the answer: erased";
    if (version.expiry_ms != 0 && version.expiry_ms <= view_.now()) return "the answer: expired";
    return "the answer";
  }

  const ReadView& view_;
  const ByteView key_;
  std::vector<KeyVersion> versions_;
};

}  // namespace

Result<std::vector<KeyVersion>> TableImpl::explain(std::uint16_t family, ByteView key, const Snapshot& snapshot) const {
  CAIRN_TRY(view, read_view(family, snapshot));
  Explanation explanation(view, key);
  CAIRN_TRY_VOID(explanation.add_memtable(view.line_up->active.memtable, "memory, writable"));
  const std::vector<Layer>& layers = view.layers().layers;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    CAIRN_TRY_VOID(layer->run ? explanation.add_run(*layer->run)
                              : explanation.add_memtable(layer->memtable, "memory, read-only"));
  }
  return explanation.take();
}

}  // namespace cairn::table
