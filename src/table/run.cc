#include "table/run.h"

#include <algorithm>

#include "base/error.h"
#include "directory/file_name.h"

namespace cairn::table {

Result<std::shared_ptr<const RunFile>> RunFile::open(directory::Directory& directory, const std::string& name, std::uint16_t view,
                                                     std::uint16_t family) {
  Result<std::shared_ptr<const storage::MappedFile>> map = directory.storage().open(name);
  if (!map && map.error().code == ErrorCode::kNotFound) return corruption("a live file is missing", name);
  CAIRN_TRY_VOID(map);
  auto file = std::make_shared<RunFile>();
  CAIRN_TRY(reader, sealed::SealedReader::open(*map, {.database = directory.database_id(),
                                                      .number = directory::FileName::parse(name)->number,
                                                      .view = view,
                                                      .family = family}));
  CAIRN_TRY(cover, reader->cover());
  CAIRN_TRY(tombstones, reader->range_tombstones());
  file->live = directory.live(*map);
  file->reader = reader;
  file->cover_from = cover.first;
  file->cover_to = cover.second;
  file->range_tombstones = RangeTombstones(tombstones);
  return file;
}

Result<std::shared_ptr<const Run>> Run::make(std::vector<std::shared_ptr<const RunFile>> files, std::uint64_t version_first,
                                             std::uint64_t version_last, Bytes from) {
  CAIRN_ASSERT(!files.empty());
  auto run = std::make_shared<Run>();
  for (std::size_t i = 0; i < files.size(); ++i) {
    const RunFile& file = *files[i];
    if (i != 0 && (files[i - 1]->cover_to.empty() || files[i - 1]->cover_to != file.cover_from)) {
      return corruption("a file of a run does not begin where the one before it ends", file.name());
    }
    run->bytes_ += file.preamble().file_bytes;
    run->record_count_ += file.preamble().record_count + file.preamble().range_tombstone_count;
    run->has_range_tombstones_ = run->has_range_tombstones_ || !file.range_tombstones.empty();
  }
  run->files_ = std::move(files);
  run->version_first_ = version_first;
  run->version_last_ = version_last;
  run->from_ = std::move(from);
  return run;
}

directory::RunEntry Run::entry() const {
  directory::RunEntry entry{.files = {}, .version_first = version_first_, .version_last = version_last_, .from = from_};
  for (const auto& file : files_) entry.files.push_back(file->name());
  return entry;
}

const RunFile* Run::file_of(ByteView key) const {
  if (key < from_) return nullptr;
  auto after = files_.end();
  if (files_.size() > 1) {
    after = std::upper_bound(files_.begin(), files_.end(), key,
                             [](ByteView wanted, const auto& file) { return wanted < file->cover_from; });
  }
  if (after == files_.begin()) return nullptr;
  const RunFile& file = **std::prev(after);
  return key >= file.cover_from && below(key, file.cover_to) ? &file : nullptr;
}

/// The files one after the other; never below the run's first key.
class RunCursor final : public sealed::Cursor {
 public:
  explicit RunCursor(std::shared_ptr<const Run> run) : run_(std::move(run)) {}

  Result<void> seek(ByteView key) override {
    const ByteView wanted = std::max(key, ByteView(run_->from_));
    // The last file that begins at or below it, else the first.
    std::size_t index = 0;
    while (index + 1 < run_->files_.size() && ByteView(run_->files_[index + 1]->cover_from) <= wanted) ++index;
    CAIRN_TRY_VOID(open(index, [&](sealed::Cursor& at) { return at.seek(wanted); }));
    return skip_forward();
  }
  Result<void> seek_first() override { return seek(run_->from_); }
  Result<void> seek_before(ByteView key) override {
    std::size_t index = run_->files_.size() - 1;
    while (index != 0 && ByteView(run_->files_[index]->cover_from) >= key) --index;
    CAIRN_TRY_VOID(open(index, [&](sealed::Cursor& at) { return at.seek_before(key); }));
    return skip_backward();
  }
  Result<void> seek_last() override {
    CAIRN_TRY_VOID(open(run_->files_.size() - 1, [](sealed::Cursor& at) { return at.seek_last(); }));
    return skip_backward();
  }
  Result<void> next() override {
    CAIRN_TRY_VOID(at_->next());
    return skip_forward();
  }
  Result<void> prev() override {
    CAIRN_TRY_VOID(at_->prev());
    return skip_backward();
  }

 private:
  template <typename Seek>
  Result<void> open(std::size_t index, Seek seek) {
    entry_ = nullptr;
    hold_ = &kNoHold;
    if (!at_ || index != index_) at_ = run_->files_[index]->reader->cursor();
    index_ = index;
    return seek(*at_);
  }
  Result<void> skip_forward() {
    while (!at_->valid() && index_ + 1 < run_->files_.size()) {
      CAIRN_TRY_VOID(open(index_ + 1, [](sealed::Cursor& at) { return at.seek_first(); }));
    }
    return take(at_->valid());
  }
  Result<void> skip_backward() {
    while (!at_->valid() && index_ != 0) {
      CAIRN_TRY_VOID(open(index_ - 1, [](sealed::Cursor& at) { return at.seek_last(); }));
    }
    return take(at_->valid() && at_->entry().key >= ByteView(run_->from_));
  }
  Result<void> take(bool valid) {
    entry_ = valid ? &at_->entry() : nullptr;
    hold_ = &at_->hold();
    return {};
  }

  std::shared_ptr<const Run> run_;
  std::size_t index_ = 0;
  std::unique_ptr<sealed::Cursor> at_;
};

std::unique_ptr<sealed::Cursor> Run::cursor() const {
  if (files_.size() == 1 && from_.empty()) return files_.front()->reader->cursor();
  return std::make_unique<RunCursor>(shared_from_this());
}

}  // namespace cairn::table
