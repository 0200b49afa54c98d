// What is to be sent to a client: bytes, and between them views of stored values that are sent from where they are mapped.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "cairn/bytes.h"

namespace cairn::server {

class Output {
 public:
  /// Values from here on are not copied.
  static constexpr std::size_t kPinnedBytesMin = 16 * kKiB;

  Output() = default;
  Output(Output&& other) noexcept { *this = std::move(other); }
  Output& operator=(Output&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    pieces_ = std::move(other.pieces_);
    base_ = std::exchange(other.base_, 0);
    bytes_sent_ = std::exchange(other.bytes_sent_, 0);
    piece_sent_ = std::exchange(other.piece_sent_, 0);
    pinned_bytes_ = std::exchange(other.pinned_bytes_, 0);
    other.bytes_.clear();
    other.pieces_.clear();
    return *this;
  }

  std::string& bytes() { return bytes_; }
  void append(ByteView bytes) { bytes_.append(bytes); }
  void append(const Pinned& value) {
    if (value.size() < kPinnedBytesMin) return append(value.view());
    pinned_bytes_ += value.size();
    pieces_.push_back({base_ + bytes_.size(), value});
  }
  void append(Output&& other);
  /// At a place that mark() gave.
  void insert(std::size_t at, ByteView bytes) {
    bytes_.insert(at, bytes);
    for (auto piece = pieces_.rbegin(); piece != pieces_.rend() && piece->at >= base_ + at; ++piece) piece->at += bytes.size();
  }

  [[nodiscard]] bool empty() const { return size() == 0; }
  /// That are to be sent.
  [[nodiscard]] std::uint64_t size() const { return bytes_.size() - bytes_sent_ + pinned_bytes_; }
  /// Of it, what takes memory.
  [[nodiscard]] std::uint64_t memory_bytes() const { return bytes_.capacity() + pieces_.size() * sizeof(Piece); }
  /// A copy of all that is to be sent.
  [[nodiscard]] std::string copy() const;
  /// Fills `parts` with what comes next, and says how many it filled.
  std::size_t front(iovec* parts, std::size_t count) const;
  /// So many bytes were sent.
  void consume(std::size_t sent);
  void clear();
  /// A place in it: rewind() takes back what was appended since.
  struct Mark {
    std::size_t bytes;
    std::size_t pieces;
    std::uint64_t pinned_bytes;
  };
  [[nodiscard]] Mark mark() const { return {bytes_.size(), pieces_.size(), pinned_bytes_}; }
  void rewind(const Mark& mark) {
    bytes_.resize(mark.bytes);
    pieces_.erase(pieces_.begin() + static_cast<std::ptrdiff_t>(mark.pieces), pieces_.end());
    pinned_bytes_ = mark.pinned_bytes;
  }

 private:
  struct Piece {
    std::uint64_t at;  // In all bytes that ever were in bytes_.
    Pinned value;
  };
  std::string bytes_;
  std::deque<Piece> pieces_;
  std::uint64_t base_ = 0;          // So many bytes were in front of bytes_ and are gone.
  std::size_t bytes_sent_ = 0;      // Of bytes_,
  std::size_t piece_sent_ = 0;      // and of the first piece.
  std::uint64_t pinned_bytes_ = 0;  // Of pieces, to be sent.
};

}  // namespace cairn::server
