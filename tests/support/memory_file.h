// A file that is only bytes in memory, for readers.
#pragma once
#include <memory>
#include <string>

#include "storage/storage.h"

namespace cairn::test {

class MemoryFile : public storage::MappedFile {
 public:
  explicit MemoryFile(std::shared_ptr<const Bytes> bytes, const std::string& name = "1-1-00000001.memory")
      : MappedFile(name, bytes->data(), bytes->size()), bytes_(std::move(bytes)) {}
  [[nodiscard]] const std::atomic<bool>& bad_flag() const override {
    static const std::atomic<bool> never{false};
    return never;
  }

 private:
  std::shared_ptr<const Bytes> bytes_;
};

/// Room in memory that writers of files can fill.
class MemoryAppendFile final : public storage::AppendFile {
 public:
  explicit MemoryAppendFile(std::shared_ptr<Bytes> bytes)
      : AppendFile(bytes->data(), bytes->size(), std::make_shared<MemoryFile>(bytes)), bytes_(std::move(bytes)) {}
  Result<void> sync(std::uint64_t /*upto*/) override { return {}; }
  Result<void> trim(std::uint64_t /*end*/) override { return {}; }
  Result<void> finish(std::uint64_t /*end*/) override { return {}; }
  Result<void> write(std::uint64_t offset, ByteView bytes) override {
    std::copy(bytes.begin(), bytes.end(), data() + offset);
    return {};
  }
  void write_back(std::uint64_t /*from*/, std::uint64_t /*to*/) override {}
  void populate(std::uint64_t /*from*/, std::uint64_t /*to*/) override {}
  void bring_in(std::uint64_t /*from*/, std::uint64_t /*to*/) override {}

 private:
  std::shared_ptr<Bytes> bytes_;
};

}  // namespace cairn::test
