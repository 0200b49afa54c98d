#include "server/output.h"

#include <algorithm>

namespace cairn::server {

void Output::append(Output&& other) {
  if (empty()) {
    // What was sent already has gone; the other's bytes need not be copied.
    if (other.sent_ == 0) {
      *this = std::move(other);
      return;
    }
    clear();
  }
  for (Piece& piece : other.pieces_) pieces_.push_back({bytes_.size() + piece.at, std::move(piece.value)});
  bytes_.append(other.bytes_);
  pinned_bytes_ += other.pinned_bytes_;
  other.clear();
}

/// The positions of pieces count bytes of bytes_ alone, `sent_` everything before.
std::size_t Output::front(iovec* parts, std::size_t count) const {
  std::size_t filled = 0;
  std::uint64_t skip = sent_;
  std::size_t at = 0;
  const auto add = [&](const char* data, std::size_t size) {
    if (skip >= size) {
      skip -= size;
      return;
    }
    if (filled == count) return;
    parts[filled++] = {.iov_base = const_cast<char*>(data) + skip, .iov_len = size - skip};  // NOLINT: iovec is not const.
    skip = 0;
  };
  for (const Piece& piece : pieces_) {
    if (piece.at != at) add(bytes_.data() + at, piece.at - at);
    at = piece.at;
    add(piece.value.data(), piece.value.size());
    if (filled == count) return filled;
  }
  add(bytes_.data() + at, bytes_.size() - at);
  return filled;
}

void Output::consume(std::size_t sent) {
  sent_ += sent;
  if (empty()) {
    clear();
    return;
  }
  // Values that were sent are let go of; so are bytes, once they are many.
  while (!pieces_.empty()) {
    const Piece& piece = pieces_.front();
    const std::uint64_t end = piece.at + piece.value.size();
    if (sent_ < end) break;
    bytes_.erase(0, piece.at);
    sent_ -= end;
    pinned_bytes_ -= piece.value.size();
    const std::size_t gone = piece.at;
    pieces_.pop_front();
    for (Piece& each : pieces_) each.at -= gone;
  }
  constexpr std::size_t kGoneBytesMax = 64 * kKiB;
  const std::size_t until = pieces_.empty() ? bytes_.size() : pieces_.front().at;
  const std::size_t gone = std::min<std::size_t>(sent_, until);
  if (gone < kGoneBytesMax || gone * 2 < bytes_.size()) return;
  bytes_.erase(0, gone);
  sent_ -= gone;
  for (Piece& each : pieces_) each.at -= gone;
}

void Output::clear() {
  constexpr std::size_t kKeptBytes = 16 * kKiB;
  if (bytes_.capacity() > kKeptBytes) {
    bytes_ = {};
  } else {
    bytes_.clear();
  }
  pieces_.clear();
  sent_ = 0;
  pinned_bytes_ = 0;
}

}  // namespace cairn::server
