// Writing large values: each is durable in a segment of its own, and that stands in the manifest as pending, before the
// reference to it goes the way of every write. The flush that seals the reference makes it settled; an open drops what
// is pending and in no log.
#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "directory/write_rules.h"
#include "table/table_impl.h"

namespace cairn::table {

bool TableImpl::is_large(const WriteRef& write) const {
  return write.kind == RecordKind::kPut && write.value.size() >= tuning_.large_value_bytes;
}

/// Writes one value, durably. Nothing refers to it yet.
Result<TableImpl::LargeWritten> TableImpl::write_large_value(const WriteRef& write, const WriteOptions& options) {
  // The record has a version of its own, below the reference's: repair may find it where the reference is lost.
  std::optional<directory::Directory::Stamped> stamped;
  while (!stamped) {
    CAIRN_TRY_VOID(directory_->prepare_versions(1));
    stamped = directory_->reserve_versions(1);
  }
  const segment::RecordInput input{.kind = RecordKind::kPut,
                                   .write_version = stamped->write_version,
                                   .stamp = stamped->stamp,
                                   .view = entry_.number,
                                   .family = write.family,
                                   .account = options.account.value_or(directory::account_of(write.key)),
                                   .expiry_ms = expiry_of(write, line_up_.get()->families[write.family].family->ttl_ms),
                                   .key = write.key,
                                   .value = write.value};
  const std::uint64_t capacity =
      segment::kHeaderBytes + segment::SegmentWriter::with_slack(segment::encoded_bytes(input)) + segment::kSyncFrameBytes;
  CAIRN_TRY(fresh, directory_->new_segment(entry_.number, entry_.name, round_up(capacity, 4 * kKiB)));
  segment::SegmentWriter& writer = *fresh.writer;
  const segment::RecordView record = writer.append(input);
  writer.publish();
  LargeWritten written{.entry = {.file = fresh.name, .end = writer.end(), .pending = true}, .value = {}, .reference = {}};
  const LargeReference reference{.file = directory::FileName::parse(fresh.name)->number,
                                 .offset = static_cast<std::uint64_t>(record.value.data() - writer.file().data()),
                                 .bytes = record.value.size()};
  written.reference = bytes_of(reference);
  Result<void> done = writer.file().finish(writer.end());
  if (done) {
    auto opened = LargeValue::open(*directory_, written.entry, entry_.number);
    if (opened) {
      written.value = *opened;
      counters_.large_bytes.fetch_add(writer.end(), std::memory_order_relaxed);
      return written;
    }
    done = std::unexpected(opened.error());
  }
  directory_->abandon(fresh.name);  // Nothing of it was accepted.
  return std::unexpected(done.error());
}

Result<WriteVersion> TableImpl::write_with_large(std::span<const WriteRef> writes, const WriteOptions& options, Writer writer) {
  std::vector<LargeWritten> large;
  Result<void> done;
  for (const WriteRef& write : writes) {
    if (!is_large(write)) continue;
    auto written = write_large_value(write, options);
    if (!written) done = std::unexpected(written.error());
    if (!done) break;
    large.push_back(*std::move(written));
  }
  if (done) done = list_large(large);
  if (!done) {
    const Result<void> state = directory_->state();
    for (const LargeWritten& written : large) {
      if (state) directory_->abandon(written.entry.file);
    }
    return std::unexpected(done.error());
  }
  std::vector<WriteRef> references(writes.begin(), writes.end());
  auto next = large.begin();
  for (WriteRef& write : references) {
    if (!is_large(write)) continue;
    write.large = write.value;
    write.value = next->reference;
    write.kind = RecordKind::kReference;
    ++next;
  }
  bool applied = false;
  const Result<WriteVersion> version = write_in_log(references, options, writer, applied);
  if (!version && !applied && directory_->state()) {
    std::vector<LargeFate> fates;
    fates.reserve(large.size());
    for (const LargeWritten& written : large) fates.push_back({directory::FileName::parse(written.entry.file)->number, false});
    install_fates(fates).ignore_error();  // What cannot be taken back now goes at the next open.
  }
  return version;
}

/// Puts new values beside those of `next`.
void TableImpl::add_large(LineUp& next, const std::vector<LargeWritten>& large) {
  if (large.empty()) return;
  auto values = std::make_shared<LargeValues>(*next.large);
  for (const LargeWritten& written : large)
    values->emplace(directory::FileName::parse(written.entry.file)->number, written.value);
  next.large = std::move(values);
}

/// Puts the new values into the manifest, then into the line-up: before any reference to them is visible.
Result<void> TableImpl::list_large(const std::vector<LargeWritten>& large) {
  CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
    directory::ViewEntry& view = manifest.edit_view(entry_.number);
    for (const LargeWritten& written : large) view.large.push_back(written.entry);
    return {};
  }));
  const MutexLock lock(state_mutex_);
  auto next = std::make_shared<LineUp>(*line_up_.get());
  add_large(*next, large);
  set_line_up(next);
  return {};
}

/// Drops or settles large values, first durably, then for readers.
Result<void> TableImpl::install_fates(const std::vector<LargeFate>& fates) {
  CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& manifest) -> Result<void> {
    apply_fates(manifest.edit_view(entry_.number), fates);
    return {};
  }));
  std::vector<std::shared_ptr<const LargeValue>> dropped;
  {
    const MutexLock lock(state_mutex_);
    auto next = std::make_shared<LineUp>(*line_up_.get());
    dropped = apply_fates(*next, fates);
    set_line_up(next);
  }
  for (const auto& value : dropped) value->live()->set_obsolete();
  return {};
}

void TableImpl::apply_fates(directory::ViewEntry& view, const std::vector<LargeFate>& fates) {
  for (const LargeFate& fate : fates) {
    const auto found = std::find_if(view.large.begin(), view.large.end(), [&](const directory::LargeEntry& entry) {
      return directory::FileName::parse(entry.file)->number == fate.file;
    });
    if (found == view.large.end()) continue;  // An interrupted merge dropped it before.
    found->pending = false;
    if (!fate.kept) view.large.erase(found);
  }
}

std::vector<std::shared_ptr<const LargeValue>> TableImpl::apply_fates(LineUp& line_up, const std::vector<LargeFate>& fates) {
  std::vector<std::shared_ptr<const LargeValue>> dropped;
  if (std::all_of(fates.begin(), fates.end(), [](const LargeFate& fate) { return fate.kept; })) return dropped;
  auto values = std::make_shared<LargeValues>(*line_up.large);
  for (const LargeFate& fate : fates) {
    const auto found = values->find(fate.file);
    if (fate.kept || found == values->end()) continue;
    dropped.push_back(found->second);
    values->erase(found);
  }
  line_up.large = std::move(values);
  return dropped;
}

/// After replay: what is pending and has no reference in any log was never written to its end.
Result<void> TableImpl::drop_unreferenced(const std::set<std::uint64_t>& referenced) {
  std::vector<LargeFate> fates;
  for (const directory::LargeEntry& entry : entry_.large) {
    const std::uint64_t number = directory::FileName::parse(entry.file)->number;
    if (entry.pending && !referenced.contains(number)) fates.push_back({number, false});
  }
  if (fates.empty()) return {};
  CAIRN_REACHED("large value without a reference dropped at open");
  const Result<void> done = install_fates(fates);
  return done || done.error().code == ErrorCode::kNoSpace ? Result<void>{} : done;  // Without room: the next open tries.
}

}  // namespace cairn::table
