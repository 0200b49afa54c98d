// Decoding the binary form of objects. The bytes are input: each size is checked before it is used.
#include "cairn/objects/codec.h"

#include "base/error.h"

namespace cairn::objects {

void Decoder::refuse(const char* why) {
  if (why_ != nullptr) return;
  why_ = why;
  refused_ = name_;
}

ByteView Decoder::take(std::uint64_t size) {
  if (why_ != nullptr) return {};
  if (size > bytes_.size() - at_) {
    refuse("runs past the end");
    return {};
  }
  const ByteView taken = bytes_.substr(at_, size);
  at_ += size;
  return taken;
}

std::uint64_t Decoder::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const ByteView taken = take(1);
    if (taken.empty()) return 0;
    const auto byte = static_cast<unsigned char>(taken[0]);
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  refuse("is a number of more than 64 bits");
  return 0;
}

bool Decoder::flag() {
  const ByteView taken = take(1);
  if (!taken.empty() && static_cast<unsigned char>(taken[0]) > 1) refuse("has a flag that is neither 0 nor 1");
  return !taken.empty() && taken[0] == 1;
}

void Decoder::get(double& value) {
  const ByteView taken = take(8);
  if (taken.empty()) return;
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < 8; ++i) bits |= static_cast<std::uint64_t>(static_cast<unsigned char>(taken[i])) << (8 * i);
  value = std::bit_cast<double>(bits);
}

Result<void> Decoder::done() const {
  if (why_ != nullptr) {
    return fail(ErrorCode::kCorruption, std::string("the member '") + refused_ + "' " + why_ + ", at byte " +
                                            std::to_string(at_) + " of " + std::to_string(bytes_.size()));
  }
  if (at_ == bytes_.size()) return {};
  return fail(ErrorCode::kCorruption,
              std::to_string(bytes_.size() - at_) + " bytes are left over, from byte " + std::to_string(at_) + " on");
}

}  // namespace cairn::objects
