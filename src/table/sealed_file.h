// What is behind SealedFileWriter (cairn/sealed_file.h): a sealed file is written with bounds of what it holds, which are
// known at the end only, so records are spooled first.
#pragma once
#include <deque>
#include <memory>
#include <string>

#include "base/home_process.h"
#include "cairn/sealed_file.h"
#include "sealed/sealed_writer.h"
#include "storage/storage.h"

namespace cairn::table {

class SealedFile {
 public:
  /// `name` in `storage`. kConflict: it exists.
  static Result<std::unique_ptr<SealedFile>> create(std::unique_ptr<storage::Storage> storage, const std::string& name,
                                                    Compression compression);
  /// A put or a tombstone.
  Result<void> add(const sealed::Entry& entry);
  Result<void> finish();
  [[nodiscard]] const HomeProcess& home() const { return home_; }

 private:
  SealedFile(std::unique_ptr<storage::Storage> storage, std::string name, Compression compression)
      : storage_(std::move(storage)), name_(std::move(name)), compression_(compression) {}
  Result<void> start_chunk(std::uint64_t bytes);
  Result<void> write(std::unique_ptr<storage::AppendFile> file);

  /// Records one after the other; without a name, so that it goes with whoever writes it.
  struct Chunk {
    std::unique_ptr<storage::AppendFile> file;
    std::uint64_t end = 0;
  };
  const HomeProcess home_;
  std::unique_ptr<storage::Storage> storage_;
  std::string name_;
  Compression compression_;
  std::deque<Chunk> spool_;
  sealed::SealedBounds bounds_;
  Bytes last_key_;
  bool finished_ = false;
};

}  // namespace cairn::table
