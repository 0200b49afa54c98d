#include "server/output.h"

#include <algorithm>

namespace cairn::server {

void Output::append(Output&& other) {
  if (empty()) {
    *this = std::move(other);
    return;
  }
  // Of what was not begun to be sent.
  for (Piece& piece : other.pieces_) pieces_.push_back({base_ + bytes_.size() + piece.at - other.base_, std::move(piece.value)});
  bytes_.append(other.bytes_);
  pinned_bytes_ += other.pinned_bytes_;
  other.clear();
}

std::string Output::copy() const {
  std::string all;
  all.reserve(size());
  std::size_t at = bytes_sent_;
  std::size_t sent = piece_sent_;
  for (const Piece& piece : pieces_) {
    const std::size_t until = piece.at - base_;
    all.append(bytes_, at, until - at);
    all.append(piece.value.view().substr(sent));
    at = until;
    sent = 0;
  }
  return all.append(bytes_, at);
}

std::size_t Output::front(iovec* parts, std::size_t count) const {
  std::size_t filled = 0;
  const auto add = [&](const char* data, std::size_t size) {
    if (size == 0 || filled == count) return;
    parts[filled++] = {.iov_base = const_cast<char*>(data), .iov_len = size};  // NOLINT: iovec is not const.
  };
  std::size_t at = bytes_sent_;
  std::size_t sent = piece_sent_;
  for (const Piece& piece : pieces_) {
    const std::size_t until = piece.at - base_;
    add(bytes_.data() + at, until - at);
    at = until;
    add(piece.value.data() + sent, piece.value.size() - sent);
    sent = 0;
    if (filled == count) return filled;
  }
  add(bytes_.data() + at, bytes_.size() - at);
  return filled;
}

void Output::consume(std::size_t sent) {
  while (sent != 0) {
    const std::size_t until = pieces_.empty() ? bytes_.size() : pieces_.front().at - base_;
    const std::size_t bytes = std::min(sent, until - bytes_sent_);
    bytes_sent_ += bytes;
    sent -= bytes;
    if (sent == 0 || pieces_.empty()) break;
    const std::size_t left = pieces_.front().value.size() - piece_sent_;
    const std::size_t of_piece = std::min(sent, left);
    sent -= of_piece;
    piece_sent_ += of_piece;
    pinned_bytes_ -= of_piece;
    if (of_piece != left) break;
    pieces_.pop_front();
    piece_sent_ = 0;
  }
  if (empty()) {
    clear();
    return;
  }
  // Bytes that were sent go once they are many: so each is moved at most once.
  constexpr std::size_t kGoneBytesMin = 64 * kKiB;
  if (bytes_sent_ < kGoneBytesMin || bytes_sent_ * 2 < bytes_.size()) return;
  bytes_.erase(0, bytes_sent_);
  base_ += bytes_sent_;
  bytes_sent_ = 0;
}

void Output::clear() {
  constexpr std::size_t kKeptBytes = 16 * kKiB;
  if (bytes_.capacity() > kKeptBytes) {
    bytes_ = {};
  } else {
    bytes_.clear();
  }
  pieces_.clear();
  base_ = 0;
  bytes_sent_ = 0;
  piece_sent_ = 0;
  pinned_bytes_ = 0;
}

}  // namespace cairn::server
