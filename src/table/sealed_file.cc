#include "table/sealed_file.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/handle.h"
#include "base/random.h"
#include "directory/write_rules.h"
#include "storage/posix_storage.h"
#include "table/table_impl.h"

namespace cairn::table {
namespace {

constexpr std::uint64_t kChunkBytesFirst = 1 * kMiB;  // Each next one is twice as large,
constexpr std::uint64_t kChunkBytesMax = 64 * kMiB;   // up to this.

struct SpoolHeader {
  std::uint32_t key_size;
  std::uint32_t value_size;
  RecordKind kind;
};

}  // namespace

Result<std::unique_ptr<SealedFile>> SealedFile::create(std::unique_ptr<storage::Storage> storage, const std::string& name,
                                                       Compression compression) {
  const auto there = storage->open(name);
  if (there) return fail(ErrorCode::kConflict, "the file exists", name);
  if (there.error().code != ErrorCode::kNotFound) return std::unexpected(there.error());
  return std::unique_ptr<SealedFile>(new SealedFile(std::move(storage), name, compression));
}

Result<void> SealedFile::start_chunk(std::uint64_t bytes) {
  const std::uint64_t usual = spool_.empty() ? kChunkBytesFirst : std::min(2 * spool_.back().file->capacity(), kChunkBytesMax);
  const std::string name = storage::temporary_name(system_random());
  CAIRN_TRY(file, storage_->create(name, std::max(usual, bytes)));
  CAIRN_TRY_VOID(storage_->remove(name));
  spool_.push_back({.file = std::move(file)});
  return {};
}

Result<void> SealedFile::add(const sealed::Entry& entry) {
  if (finished_) return fail(ErrorCode::kInvalidArgument, "the file is finished", name_);
  CAIRN_TRY_VOID(directory::check_record(entry.key, entry.value));
  if (entry.key <= last_key_) {  // Empty at first, which no key is.
    return fail(ErrorCode::kInvalidArgument,
                "key " + std::to_string(bounds_.records + 1) + " does not come after the one before it: keys must ascend");
  }
  sealed::SealedBounds bounds = bounds_;
  bounds.add({.records = 1,
              .object_bytes = sealed::object_bytes(entry.key.size(), entry.value.size(), 0),
              .key_bytes_max = entry.key.size()});
  if (sealed::sealed_bytes_max(bounds) > sealed::kFileBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "a sealed file has at most 32 GiB: finish this one and begin another", name_);
  }
  const SpoolHeader header{.key_size = static_cast<std::uint32_t>(entry.key.size()),
                           .value_size = static_cast<std::uint32_t>(entry.value.size()),
                           .kind = entry.kind};
  const std::uint64_t bytes = sizeof header + entry.key.size() + entry.value.size();
  if (spool_.empty() || spool_.back().end + bytes > spool_.back().file->capacity()) CAIRN_TRY_VOID(start_chunk(bytes));
  Chunk& chunk = spool_.back();
  char* to = chunk.file->data() + chunk.end;
  std::memcpy(to, &header, sizeof header);
  to = std::copy(entry.key.begin(), entry.key.end(), to + sizeof header);
  std::copy(entry.value.begin(), entry.value.end(), to);
  chunk.end += bytes;
  bounds_ = bounds;
  last_key_ = entry.key;
  return {};
}

Result<void> SealedFile::finish() {
  if (finished_) return fail(ErrorCode::kInvalidArgument, "the file is finished", name_);
  finished_ = true;
  CAIRN_TRY(file, storage_->create(name_, sealed::sealed_bytes_max(bounds_)));
  const Result<void> written = write(std::move(file));
  spool_.clear();
  if (!written) storage_->remove(name_).ignore_error();  // The caller gets the error of the write.
  return written;
}

Result<void> SealedFile::write(std::unique_ptr<storage::AppendFile> file) {
  // It belongs to no database: whoever takes it in makes it a file of its own.
  sealed::SealedWriter writer(std::move(file), {.salt = system_random()},
                              {.compression = static_cast<sealed::Compression>(compression_), .terms = {}, .one_version = true});
  while (!spool_.empty()) {
    const Chunk& chunk = spool_.front();
    const storage::MappedFile& map = *chunk.file->view();
    for (const char* at = map.data(); at < map.data() + chunk.end;) {
      const auto header = load<SpoolHeader>(at);
      const Bytes key(at + sizeof header, header.key_size);
      CAIRN_TRY_VOID(map.status());  // After a bus error there are zeros, and keys do not ascend.
      const char* const value = at + sizeof header + header.key_size;
      writer.add({.key = key, .value = {value, header.value_size}, .kind = header.kind});
      at = value + header.value_size;
    }
    CAIRN_TRY_VOID(map.status());
    spool_.pop_front();
  }
  CAIRN_TRY_VOID(writer.complete());
  CAIRN_TRY_VOID(writer.finish());
  return storage_->sync_names();
}

}  // namespace cairn::table

namespace cairn {

Result<SealedFileWriter> SealedFileWriter::create(const std::string& path, Compression compression) {
  CAIRN_TRY(file, storage::PosixStorage::open_around(path));
  CAIRN_TRY(impl, table::SealedFile::create(std::move(file.storage), file.name, compression));
  return SealedFileWriter(std::move(impl));
}

SealedFileWriter::SealedFileWriter(std::unique_ptr<table::SealedFile> impl) : impl_(share_at_home(impl.release())) {}
SealedFileWriter::SealedFileWriter(SealedFileWriter&&) noexcept = default;
SealedFileWriter& SealedFileWriter::operator=(SealedFileWriter&&) noexcept = default;
SealedFileWriter::~SealedFileWriter() = default;

Result<void> SealedFileWriter::put(ByteView key, ByteView value) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->add({.key = key, .value = value});
}
Result<void> SealedFileWriter::erase(ByteView key) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->add({.key = key, .value = {}, .kind = RecordKind::kTombstone});
}
Result<void> SealedFileWriter::finish() {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->finish();
}

}  // namespace cairn
