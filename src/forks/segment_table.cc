#include "forks/segment_table.h"

namespace cairn::forks {

SegmentTable::~SegmentTable() {
  for (std::uint32_t number = 0; number < count_; ++number) delete entry(number).file.load();
  for (const auto& chunk : chunks_) delete chunk.load();
}

std::optional<std::uint32_t> SegmentTable::add(const std::shared_ptr<const directory::LiveFile>& file, std::uint64_t seed) {
  const MutexLock lock(mutex_);
  std::uint32_t number = count_;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (number == std::uint32_t{1} << Place::kSegmentBits) {
    return std::nullopt;
  } else {
    if (number % kChunk == 0) chunks_[number / kChunk].store(new Chunk, std::memory_order_release);
    ++count_;
  }
  Entry& added = entry(number);
  added.seed.store(seed, std::memory_order_release);
  added.file.store(new Striped<directory::LiveFile>(file), std::memory_order_release);
  added.data.store(file->map()->data(), std::memory_order_release);
  return number;
}

void SegmentTable::remove(std::uint32_t number) {
  const Striped<directory::LiveFile>* file = nullptr;
  {
    const MutexLock lock(mutex_);
    file = entry(number).file.exchange(nullptr);
    entry(number).data.store(nullptr, std::memory_order_relaxed);
    free_.push_back(number);
  }
  delete file;  // May unmap it.
}

}  // namespace cairn::forks
