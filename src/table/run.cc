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
  (*map)->expect_random_reads();  // Of gets; whoever walks asks ahead.
  auto file = std::make_shared<RunFile>();
  CAIRN_TRY(reader, sealed::SealedReader::open(*map, {.database = directory.database_id(),
                                                      .number = directory::FileName::parse(name)->number,
                                                      .view = view,
                                                      .family = family}));
  CAIRN_TRY(keys, reader->key_bounds());
  file->first_key = keys.first;
  file->last_key = keys.last;
  file->cover_from = keys.cover_from;
  file->cover_to = keys.cover_to;
  CAIRN_TRY(tombstones, reader->range_tombstones());  // Which says if the keys could not be read either.
  file->range_tombstones = RangeTombstones(tombstones);
  file->live = directory.live(*map);
  file->reader = reader;
  return file;
}

std::shared_ptr<const RunFile> RunFile::covering(Bytes from, Bytes to) const {
  auto file = std::make_shared<RunFile>(*this);
  file->cover_from = std::move(from);
  file->cover_to = std::move(to);
  return file;
}

Result<std::shared_ptr<const Run>> Run::open(directory::Directory& directory, const directory::RunEntry& entry,
                                             std::uint16_t view, std::uint16_t family) {
  std::vector<std::shared_ptr<const RunFile>> files;
  for (std::size_t i = 0; i < entry.files.size(); ++i) {
    CAIRN_TRY(file, RunFile::open(directory, entry.files[i], view, family));
    if (!entry.starts.empty()) {
      file = file->covering(i == 0 ? file->cover_from : entry.starts[i - 1],
                            i < entry.starts.size() ? entry.starts[i] : file->cover_to);
      if (file->first_key < file->cover_from || !below(file->last_key, file->cover_to)) {
        return corruption("a file has keys outside what `starts` in the manifest says it covers", file->name());
      }
    }
    files.push_back(file);
  }
  return make(std::move(files), entry.version_first, entry.version_last, entry.from, !entry.starts.empty());
}

namespace {

/// Whether a merge would keep every record of the file, whatever may be hidden by now.
bool drops_nothing(const sealed::Preamble& preamble) {
  return preamble.record_count != 0 && preamble.key_count == preamble.record_count && preamble.tombstone_count == 0 &&
         preamble.range_tombstone_count == 0 && preamble.expiring_count == 0;
}

/// The shortest key above `last` and not above `first`.
Bytes between(ByteView last, ByteView first) {
  const auto differ = std::mismatch(last.begin(), last.end(), first.begin(), first.end());
  return Bytes(first.begin(), differ.second + 1);
}

}  // namespace

std::shared_ptr<const Run> Run::join(std::span<const std::shared_ptr<const Run>> runs, std::uint64_t file_bytes_mean_min) {
  std::vector<std::shared_ptr<const RunFile>> files;
  for (const auto& run : runs) {
    if (!run->from_.empty() || run->bytes_ < run->files_.size() * file_bytes_mean_min) return nullptr;
    for (const auto& file : run->files_) {
      if (!drops_nothing(file->preamble())) return nullptr;
      files.push_back(file);
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a->first_key < b->first_key; });
  for (std::size_t i = 1; i < files.size(); ++i) {
    if (files[i - 1]->last_key >= files[i]->first_key) return nullptr;
  }
  Bytes from;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Bytes to = i + 1 < files.size() ? between(files[i]->last_key, files[i + 1]->first_key) : Bytes();
    files[i] = files[i]->covering(from, to);
    from = to;
  }
  return make(std::move(files), runs.front()->version_first_, runs.back()->version_last_, {}, true).value_or(nullptr);
}

Result<std::shared_ptr<const Run>> Run::make(std::vector<std::shared_ptr<const RunFile>> files, std::uint64_t version_first,
                                             std::uint64_t version_last, Bytes from, bool joined) {
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
  run->joined_ = joined;
  const RunFile& first = *run->files_.front();
  run->whole_ = run->files_.size() == 1 && run->from_.empty() && first.cover_from.empty() && first.cover_to.empty();
  return run;
}

directory::RunEntry Run::entry() const {
  directory::RunEntry entry{
      .files = {}, .version_first = version_first_, .version_last = version_last_, .from = from_, .starts = {}};
  for (const auto& file : files_) {
    if (joined_ && file != files_.front()) entry.starts.push_back(file->cover_from);
    entry.files.push_back(file->name());
  }
  return entry;
}

std::size_t Run::index_of(ByteView key) const {
  const auto after = std::upper_bound(files_.begin() + 1, files_.end(), key,
                                      [](ByteView wanted, const auto& file) { return wanted < file->cover_from; });
  return static_cast<std::size_t>(after - files_.begin()) - 1;
}

const RunFile* Run::file_of(ByteView key) const {
  if (whole_) return files_.front().get();
  if (key < from_) return nullptr;
  const RunFile& file = *files_[index_of(key)];
  return key >= file.cover_from && below(key, file.cover_to) ? &file : nullptr;
}

/// The files one after the other; never below the run's first key.
class RunCursor final : public sealed::Cursor {
 public:
  explicit RunCursor(std::shared_ptr<const Run> run) : run_(std::move(run)) {}

  Result<void> prepare_seek(ByteView key) override {
    const ByteView wanted = std::max(key, ByteView(run_->from_));
    return open(run_->index_of(wanted), [&](sealed::Cursor& at) { return at.prepare_seek(wanted); });
  }
  Result<void> seek(ByteView key) override {
    const ByteView wanted = std::max(key, ByteView(run_->from_));
    CAIRN_TRY_VOID(open(run_->index_of(wanted), [&](sealed::Cursor& at) { return at.seek(wanted); }));
    return skip_forward();
  }
  Result<void> seek_first() override { return seek(run_->from_); }
  Result<void> seek_before(ByteView key, std::uint64_t version) override {
    CAIRN_TRY_VOID(open(run_->index_of(key), [&](sealed::Cursor& at) { return at.seek_before(key, version); }));
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
