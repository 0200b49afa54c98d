// Encodes and decodes one string in the format of an RDB file (version 10). The decoder trusts nothing: every length is checked
// against the bytes that are left before memory is allocated for it.
#include "server/rdb.h"

#include <lzf.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/error.h"
#include "server/command.h"

namespace cairn::server {
namespace {

constexpr unsigned kVersion = 10;  // The RDB version that Redis 7.0 writes.
constexpr std::size_t kVersionBytes = 2;
constexpr std::size_t kChecksumBytes = 8;
constexpr std::uint64_t kStringBytesMax = 512 * kMiB;

/// CRC-64 with the polynomial of Jones, reflected, as Redis uses it (crc64.c).
std::uint64_t checksum(ByteView bytes) {
  static const std::array<std::uint64_t, 256> kTable = [] {
    constexpr std::uint64_t kPolynomial = 0x95ac9329ac4bc9b5;  // 0xad93d23594c935a9, reflected.
    std::array<std::uint64_t, 256> table{};
    for (std::uint64_t i = 0; i < table.size(); ++i) {
      std::uint64_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) != 0 ? kPolynomial : 0);
      table[i] = value;
    }
    return table;
  }();
  std::uint64_t sum = 0;
  for (const char byte : bytes) sum = kTable[(sum ^ static_cast<unsigned char>(byte)) & 0xffU] ^ (sum >> 8U);
  return sum;
}

void append_little_endian(Bytes& to, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) to.push_back(static_cast<char>(value >> (8 * i)));
}
std::uint64_t little_endian(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return value;
}

constexpr unsigned char kInteger8 = 0xc0;
constexpr unsigned char kInteger16 = 0xc1;
constexpr unsigned char kInteger32 = 0xc2;
constexpr unsigned char kCompressed = 0xc3;
constexpr unsigned char kLength32 = 0x80;
constexpr unsigned char kLength64 = 0x81;

void append_string(Bytes& to, ByteView value) {
  std::int64_t number = 0;
  if (parse_integer(value, number) && number >= INT32_MIN && number <= INT32_MAX) {
    const bool small = number >= INT8_MIN && number <= INT8_MAX;
    const bool middle = number >= INT16_MIN && number <= INT16_MAX;
    to.push_back(static_cast<char>(small ? kInteger8 : middle ? kInteger16 : kInteger32));
    append_little_endian(to, static_cast<std::uint64_t>(number), small ? 1 : middle ? 2 : 4);
    return;
  }
  const std::uint64_t size = value.size();
  if (size < 1U << 6U) {
    to.push_back(static_cast<char>(size));
  } else if (size < 1U << 14U) {
    to.push_back(static_cast<char>(0x40U | size >> 8U));
    to.push_back(static_cast<char>(size));
  } else {
    to.push_back(static_cast<char>(kLength32));  // Four bytes, the highest first: a value has at most 1 GiB.
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<char>(size >> static_cast<unsigned>(shift)));
  }
  to.append(value);
}

/// Reads from the front of what is left.
class Input {
 public:
  explicit Input(ByteView bytes) : left_(bytes) {}
  [[nodiscard]] bool empty() const { return left_.empty(); }
  std::optional<ByteView> take(std::uint64_t count) {
    if (count > left_.size()) return std::nullopt;
    const ByteView taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }
  std::optional<unsigned char> byte() {
    const auto taken = take(1);
    return taken ? std::optional(static_cast<unsigned char>((*taken)[0])) : std::nullopt;
  }
  /// A number of `count` bytes, the highest first.
  std::optional<std::uint64_t> big_endian(std::size_t count) {
    const auto taken = take(count);
    if (!taken) return std::nullopt;
    std::uint64_t value = 0;
    for (const char each : *taken) value = value << 8U | static_cast<unsigned char>(each);
    return value;
  }
  /// A length whose first byte is `first`; nullopt, too: it is no length.
  std::optional<std::uint64_t> length(unsigned char first) {
    if (first >> 6U == 0) return first;
    if (first >> 6U == 1) {
      const auto low = byte();
      return low ? std::optional(std::uint64_t{first & 0x3fU} << 8U | *low) : std::nullopt;
    }
    if (first == kLength32) return big_endian(4);
    return first == kLength64 ? big_endian(8) : std::nullopt;
  }
  std::optional<std::uint64_t> length() {
    const auto first = byte();
    return first ? length(*first) : std::nullopt;
  }

 private:
  ByteView left_;
};

template <typename Integer>
std::optional<Bytes> integer(Input& input) {
  const auto bytes = input.take(sizeof(Integer));
  if (!bytes) return std::nullopt;
  return std::to_string(static_cast<Integer>(little_endian(*bytes)));
}

std::optional<Bytes> compressed(Input& input) {
  constexpr std::uint64_t kRatioMax = 264;  // A code of three bytes stands for 264 at most: more cannot be meant.
  const auto packed_bytes = input.length();
  const auto bytes = input.length();
  if (!packed_bytes || !bytes || *bytes > kStringBytesMax || *bytes == 0) return std::nullopt;
  const auto packed = input.take(*packed_bytes);
  if (!packed || *bytes / kRatioMax > packed->size()) return std::nullopt;
  Bytes value(*bytes, '\0');
  const unsigned done =
      lzf_decompress(packed->data(), static_cast<unsigned>(packed->size()), value.data(), static_cast<unsigned>(value.size()));
  return done == value.size() ? std::optional(std::move(value)) : std::nullopt;
}

std::optional<Bytes> read_string(Input& input) {
  const auto first = input.byte();
  if (!first) return std::nullopt;
  switch (*first) {
    case kInteger8: return integer<std::int8_t>(input);
    case kInteger16: return integer<std::int16_t>(input);
    case kInteger32: return integer<std::int32_t>(input);
    case kCompressed: return compressed(input);
    default: break;
  }
  const auto size = input.length(*first);
  const auto bytes = size && *size <= kStringBytesMax ? input.take(*size) : std::nullopt;
  return bytes ? std::optional(Bytes(*bytes)) : std::nullopt;
}

}  // namespace

Bytes dump_string(ByteView value) {
  Bytes dump(1, '\0');  // The type: a string.
  append_string(dump, value);
  return with_checksum(std::move(dump));
}

Bytes with_checksum(Bytes body) {
  append_little_endian(body, kVersion, kVersionBytes);
  append_little_endian(body, checksum(body), kChecksumBytes);
  return body;
}

Result<Bytes> load_string(ByteView dump) {
  const auto wrong = [] { return refuse("ERR DUMP payload version or checksum are wrong"); };
  if (dump.size() < kVersionBytes + kChecksumBytes) return wrong();
  const ByteView summed = dump.substr(0, dump.size() - kChecksumBytes);
  const std::uint64_t sum = little_endian(dump.substr(summed.size()));
  if (little_endian(summed.substr(summed.size() - kVersionBytes)) > kVersion) return wrong();
  // Redis takes a sum of 0 as "not computed".
  if (sum != 0 && sum != checksum(summed)) return wrong();
  Input input(summed.substr(0, summed.size() - kVersionBytes));
  const auto type = input.byte();
  std::optional<Bytes> value = type == 0 ? read_string(input) : std::nullopt;
  if (!value || !input.empty()) return refuse("ERR Bad data format");
  return std::move(*value);
}

}  // namespace cairn::server
