// Bits of strings. Bit 0 is the highest of byte 0. The replies and the order of checks are those of Redis 7.0.
#include <algorithm>
#include <bit>
#include <functional>

#include "base/error.h"
#include "server/command.h"
#include "server/text.h"

namespace cairn::server {
namespace {

__extension__ using Wide = __int128;  // Holds every sum of two fields.

constexpr std::uint64_t kBitsMax = std::uint64_t{8} * 512 * kMiB;

/// `text` as Redis takes the offset of a bit: a number, or, where `width` is not 0, "#n" for n times the width.
Result<std::uint64_t> offset_argument(ByteView text, std::uint64_t width = 0) {
  const bool scaled = width != 0 && text.starts_with('#');
  std::int64_t offset = 0;
  const bool valid = parse_integer(scaled ? text.substr(1) : text, offset) && offset >= 0 &&
                     (!scaled || !__builtin_mul_overflow(offset, static_cast<std::int64_t>(width), &offset)) &&
                     static_cast<std::uint64_t>(offset) < kBitsMax;
  if (!valid) return refuse("ERR bit offset is not an integer or out of range");
  return static_cast<std::uint64_t>(offset);
}

bool bit_at(ByteView bytes, std::uint64_t offset) {
  if (offset / 8 >= bytes.size()) return false;
  return ((static_cast<unsigned char>(bytes[offset / 8]) >> (7 - offset % 8)) & 1U) != 0;
}
void set_bit(Bytes& bytes, std::uint64_t offset, bool to) {
  const unsigned mask = 1U << (7 - offset % 8);
  const unsigned byte = static_cast<unsigned char>(bytes[offset / 8]);
  bytes[offset / 8] = static_cast<char>(to ? byte | mask : byte & ~mask);
}

/// A value that is changed in memory, and saved if anything about it has changed.
struct Edited {
  Bytes bytes;
  Expires expires;
  bool there = false;
  bool changed = false;

  void grow(std::uint64_t size) {
    if (bytes.size() < size) {
      bytes.resize(size, '\0');
      changed = true;
    }
  }
};
Result<Edited> edited(const Context& c) {
  Edited value;
  CAIRN_TRY(found, c.keys.find(c[1]));
  CAIRN_TRY(data, c.keys.get(c[1]));
  if (!found || !data) return value;
  value.bytes = Bytes(data->view());
  value.expires = found->expires;
  value.there = true;
  return value;
}
Result<void> save(Context& c, Edited& value) {
  if (!value.changed && value.there) return {};
  return c.keys.put_computed(c[1], std::move(value.bytes), value.expires);
}

Result<void> setbit(Context& c) {
  CAIRN_TRY(offset, offset_argument(c[2]));
  if (c[3] != "0" && c[3] != "1") return refuse("ERR bit is not an integer or out of range");
  CAIRN_TRY(value, edited(c));
  value.grow(offset / 8 + 1);
  const bool before = bit_at(value.bytes, offset);
  const bool after = c[3] == "1";
  set_bit(value.bytes, offset, after);
  value.changed = value.changed || before != after;
  c.reply.integer(before ? 1 : 0);
  return save(c, value);
}

Result<void> getbit(Context& c) {
  CAIRN_TRY(offset, offset_argument(c[2]));
  CAIRN_TRY(value, c.keys.get(c[1]));
  c.reply.integer(value && bit_at(value->view(), offset) ? 1 : 0);
  return {};
}

/// Bits [first, last] of a string.
struct BitRange {
  std::int64_t first = 0;
  std::int64_t last = -1;
  [[nodiscard]] bool empty() const { return first > last; }
};
/// Indexes as GETRANGE takes them, in bytes or bits, of a string of `size` bytes.
BitRange bit_range(std::int64_t start, std::int64_t end, bool in_bits, std::size_t size) {
  const auto count = static_cast<std::int64_t>(in_bits ? 8 * size : size);
  if (start < 0) start = std::max<std::int64_t>(count + start, 0);
  if (end < 0) end = std::max<std::int64_t>(count + end, 0);
  end = std::min(end, count - 1);
  if (start > end) return {};
  return in_bits ? BitRange{start, end} : BitRange{8 * start, 8 * end + 7};
}
/// BYTE or BIT.
Result<bool> unit_argument(ByteView text) {
  if (same_word(text, "BIT")) return true;
  if (same_word(text, "BYTE")) return false;
  return refuse_syntax();
}

std::int64_t count_bits(ByteView bytes, BitRange range) {
  std::int64_t count = 0;
  std::int64_t at = range.first;
  for (; at <= range.last && at % 8 != 0; ++at) count += bit_at(bytes, static_cast<std::uint64_t>(at)) ? 1 : 0;
  for (; at + 7 <= range.last; at += 8)
    count += std::popcount(static_cast<unsigned char>(bytes[static_cast<std::size_t>(at / 8)]));
  for (; at <= range.last; ++at) count += bit_at(bytes, static_cast<std::uint64_t>(at)) ? 1 : 0;
  return count;
}

/// BITCOUNT key [start end [BYTE | BIT]]
Result<void> bitcount(Context& c) {
  CAIRN_TRY(value, c.keys.get(c[1]));
  if (!value) {
    c.reply.integer(0);
    return {};
  }
  if (c.size() != 2 && c.size() != 4 && c.size() != 5) return refuse_syntax();
  BitRange range = bit_range(0, -1, false, value->size());
  if (c.size() > 2) {
    CAIRN_TRY(start, integer_argument(c[2]));
    CAIRN_TRY(end, integer_argument(c[3]));
    if (start < 0 && end < 0 && start > end) {
      c.reply.integer(0);
      return {};
    }
    bool in_bits = false;
    if (c.size() == 5) {
      CAIRN_TRY(given, unit_argument(c[4]));
      in_bits = given;
    }
    range = bit_range(start, end, in_bits, value->size());
  }
  c.reply.integer(count_bits(value->view(), range));
  return {};
}

/// The first bit of the range that is `bit`; -1: there is none.
std::int64_t find_bit(ByteView bytes, bool bit, BitRange range) {
  const char none = static_cast<char>(bit ? 0 : 0xff);
  for (std::int64_t at = range.first; at <= range.last;) {
    if (at % 8 == 0 && at + 7 <= range.last && bytes[static_cast<std::size_t>(at / 8)] == none) {
      at += 8;
      continue;
    }
    if (bit_at(bytes, static_cast<std::uint64_t>(at)) == bit) return at;
    ++at;
  }
  return -1;
}

/// BITPOS key bit [start [end [BYTE | BIT]]]
Result<void> bitpos(Context& c) {
  CAIRN_TRY(bit, integer_argument(c[2]));
  if (bit != 0 && bit != 1) return refuse("ERR The bit argument must be 1 or 0.");
  CAIRN_TRY(value, c.keys.get(c[1]));
  if (!value) {
    c.reply.integer(bit == 0 ? 0 : -1);
    return {};
  }
  if (c.size() > 6) return refuse_syntax();
  std::int64_t start = 0;
  std::int64_t end = -1;
  bool in_bits = false;
  if (c.size() > 3) {
    CAIRN_TRY(given, integer_argument(c[3]));
    start = given;
  }
  if (c.size() > 5) {
    CAIRN_TRY(given, unit_argument(c[5]));
    in_bits = given;
  }
  if (c.size() > 4) {
    CAIRN_TRY(given, integer_argument(c[4]));
    end = given;
  }
  const BitRange range = bit_range(start, end, in_bits, value->size());
  std::int64_t found = range.empty() ? -1 : find_bit(value->view(), bit == 1, range);
  // A string is followed by zeros, as far as its end is not given.
  if (found == -1 && bit == 0 && c.size() <= 4 && !range.empty()) found = range.last + 1;
  c.reply.integer(found);
  return {};
}

using Combine = unsigned char (*)(unsigned char, unsigned char);
Combine combine_of(ByteView operation) {
  if (same_word(operation, "AND")) return [](unsigned char a, unsigned char b) { return static_cast<unsigned char>(a & b); };
  if (same_word(operation, "OR")) return [](unsigned char a, unsigned char b) { return static_cast<unsigned char>(a | b); };
  if (same_word(operation, "XOR")) return [](unsigned char a, unsigned char b) { return static_cast<unsigned char>(a ^ b); };
  return nullptr;
}

/// BITOP AND | OR | XOR | NOT destination key [key ...]. A missing key counts as zeros, and so do the bytes behind a shorter
/// value.
Result<void> bitop(Context& c) {
  const bool inverts = same_word(c[1], "NOT");
  const Combine combine = combine_of(c[1]);
  if (!inverts && combine == nullptr) return refuse_syntax();
  if (inverts && c.size() != 4) return refuse("ERR BITOP NOT must be called with a single source key.");
  std::vector<std::optional<Pinned>> sources;
  std::size_t size = 0;
  for (const ByteView key : c.arguments.subspan(3)) {
    CAIRN_TRY(value, c.keys.get(key));
    size = std::max(size, value ? value->size() : 0);
    sources.push_back(std::move(value));
  }
  c.reply.integer(static_cast<std::int64_t>(size));
  if (size == 0) {
    CAIRN_TRY(there, c.keys.contains(c[2]));
    return there ? c.keys.erase(c[2]) : Result<void>();
  }
  Bytes result(size, '\0');
  for (std::size_t n = 0; n < sources.size(); ++n) {
    const ByteView bytes = sources[n] ? sources[n]->view() : ByteView();
    for (std::size_t i = 0; i < size; ++i) {
      const auto byte = static_cast<unsigned char>(i < bytes.size() ? bytes[i] : 0);
      const auto before = static_cast<unsigned char>(result[i]);
      result[i] = static_cast<char>(inverts ? ~byte : n == 0 ? byte : combine(before, byte));
    }
  }
  return c.keys.put_computed(c[2], std::move(result), {});
}

enum class Overflow : std::uint8_t { kWrap, kSaturate, kFail };

/// One operation of BITFIELD on an integer of `width` bits.
struct FieldOperation {
  enum class Kind : std::uint8_t { kGet, kSet, kIncrement } kind = Kind::kGet;
  bool is_signed = false;
  unsigned width = 0;
  std::uint64_t offset = 0;
  std::int64_t operand = 0;
  Overflow overflow = Overflow::kWrap;

  [[nodiscard]] std::uint64_t end_byte() const { return (offset + width + 7) / 8; }
};

Result<void> parse_type(ByteView text, FieldOperation& operation) {
  std::int64_t width = 0;
  const bool valid = text.size() > 1 && (text[0] == 'i' || text[0] == 'u') && parse_integer(text.substr(1), width) &&
                     width >= 1 && width <= (text[0] == 'i' ? 64 : 63);
  if (!valid) {
    return refuse("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
  }
  operation.is_signed = text[0] == 'i';
  operation.width = static_cast<unsigned>(width);
  return {};
}

Result<Overflow> overflow_argument(ByteView text) {
  if (same_word(text, "WRAP")) return Overflow::kWrap;
  if (same_word(text, "SAT")) return Overflow::kSaturate;
  if (same_word(text, "FAIL")) return Overflow::kFail;
  return refuse("ERR Invalid OVERFLOW type specified");
}

/// All of the request, before anything is done.
Result<std::vector<FieldOperation>> field_operations(const Context& c) {
  std::vector<FieldOperation> operations;
  Overflow overflow = Overflow::kWrap;
  for (std::size_t i = 2; i < c.size();) {
    const std::size_t left = c.size() - i - 1;
    if (same_word(c[i], "OVERFLOW") && left >= 1) {
      CAIRN_TRY(given, overflow_argument(c[i + 1]));
      overflow = given;
      i += 2;
      continue;
    }
    FieldOperation operation{.overflow = overflow};
    if (same_word(c[i], "GET") && left >= 2) {
      operation.kind = FieldOperation::Kind::kGet;
    } else if (same_word(c[i], "SET") && left >= 3) {
      operation.kind = FieldOperation::Kind::kSet;
    } else if (same_word(c[i], "INCRBY") && left >= 3) {
      operation.kind = FieldOperation::Kind::kIncrement;
    } else {
      return refuse_syntax();
    }
    CAIRN_TRY_VOID(parse_type(c[i + 1], operation));
    CAIRN_TRY(offset, offset_argument(c[i + 2], operation.width));
    operation.offset = offset;
    i += 3;
    if (operation.kind != FieldOperation::Kind::kGet) {
      CAIRN_TRY(operand, integer_argument(c[i++]));
      operation.operand = operand;
    }
    operations.push_back(operation);
  }
  return operations;
}

std::int64_t read_field(ByteView bytes, const FieldOperation& of) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < of.width; ++i) value = value << 1U | (bit_at(bytes, of.offset + i) ? 1 : 0);
  const bool negative = of.is_signed && of.width < 64 && (value >> (of.width - 1) & 1U) != 0;
  if (negative) value |= ~std::uint64_t{0} << of.width;
  return static_cast<std::int64_t>(value);
}
void write_field(Bytes& bytes, const FieldOperation& of, std::int64_t value) {
  for (unsigned i = 0; i < of.width; ++i) {
    set_bit(bytes, of.offset + i, (static_cast<std::uint64_t>(value) >> (of.width - 1 - i) & 1U) != 0);
  }
}

/// `value` brought into the range of the type as the operation says; nullopt: it does not fit, and is not to be stored.
std::optional<std::int64_t> fitted(Wide value, const FieldOperation& of) {
  const Wide most = of.is_signed ? (Wide{1} << (of.width - 1)) - 1 : (Wide{1} << of.width) - 1;
  const Wide least = of.is_signed ? -most - 1 : 0;
  if (value >= least && value <= most) return static_cast<std::int64_t>(value);
  if (of.overflow == Overflow::kFail) return std::nullopt;
  if (of.overflow == Overflow::kSaturate) return static_cast<std::int64_t>(value > most ? most : least);
  const Wide span = most - least + 1;
  Wide wrapped = (value - least) % span;
  if (wrapped < 0) wrapped += span;
  return static_cast<std::int64_t>(wrapped + least);
}

/// Does one operation and replies to it.
void operate(Context& c, const FieldOperation& operation, Edited& value) {
  const std::int64_t before = read_field(value.bytes, operation);
  if (operation.kind == FieldOperation::Kind::kGet) return c.reply.integer(before);
  const bool is_set = operation.kind == FieldOperation::Kind::kSet;
  // SET into an unsigned field takes its value as an unsigned 64-bit number.
  const Wide set =
      operation.is_signed ? Wide{operation.operand} : static_cast<Wide>(static_cast<std::uint64_t>(operation.operand));
  const Wide wanted = is_set ? set : Wide{before} + operation.operand;
  const std::optional<std::int64_t> after = fitted(wanted, operation);
  if (!after) return c.reply.null();
  value.changed = value.changed || *after != before;
  write_field(value.bytes, operation, *after);
  c.reply.integer(is_set ? before : *after);
}

Result<void> run_fields(Context& c, std::span<const FieldOperation> operations) {
  CAIRN_TRY(value, edited(c));
  bool writes = false;
  for (const FieldOperation& operation : operations) {
    if (operation.kind == FieldOperation::Kind::kGet) continue;
    writes = true;
    value.grow(operation.end_byte());
  }
  c.reply.array(operations.size());
  for (const FieldOperation& operation : operations) operate(c, operation, value);
  return writes ? save(c, value) : Result<void>();
}

Result<void> bitfield(Context& c) {
  CAIRN_TRY(operations, field_operations(c));
  return run_fields(c, operations);
}

Result<void> bitfield_ro(Context& c) {
  CAIRN_TRY(operations, field_operations(c));
  const bool only_reads =
      std::ranges::all_of(operations, [](const FieldOperation& each) { return each.kind == FieldOperation::Kind::kGet; });
  if (!only_reads) return refuse("ERR BITFIELD_RO only supports the GET subcommand");
  return run_fields(c, operations);
}

constexpr const char* kGroup = "bitmap";

constexpr CommandInfo kCommands[] = {
    {"BITCOUNT", -2, Where::kReader, kReads, 1, 1, 1, bitcount, kGroup, "2.6.0", "Count set bits in a string",
     "key [start end [BYTE | BIT]]"},
    {"BITFIELD", -2, Where::kWriter, kReads | kWrites, 1, 1, 1, bitfield, kGroup, "3.2.0",
     "Perform arbitrary bitfield integer operations on strings",
     "key [GET encoding offset | [OVERFLOW WRAP | SAT | FAIL] SET encoding offset value | INCRBY encoding offset increment ...]"},
    {"BITFIELD_RO", -2, Where::kReader, kReads | kFast, 1, 1, 1, bitfield_ro, kGroup, "6.0.0",
     "Perform arbitrary bitfield integer operations on strings, only reading", "key [GET encoding offset ...]"},
    {"BITOP", -4, Where::kWriter, kReads | kWrites, 2, -1, 1, bitop, kGroup, "2.6.0",
     "Perform bitwise operations between strings", "AND | OR | XOR | NOT destkey key [key ...]"},
    {"BITPOS", -3, Where::kReader, kReads, 1, 1, 1, bitpos, kGroup, "2.8.7", "Find the first bit set or clear in a string",
     "key bit [start [end [BYTE | BIT]]]"},
    {"GETBIT", 3, Where::kReader, kReads | kFast, 1, 1, 1, getbit, kGroup, "2.2.0",
     "Return the bit at an offset of the string stored at a key", "key offset"},
    {"SETBIT", 4, Where::kWriter, kReads | kWrites, 1, 1, 1, setbit, kGroup, "2.2.0",
     "Set or clear the bit at an offset of the string stored at a key", "key offset value"},
};

}  // namespace

std::span<const CommandInfo> bit_commands() { return kCommands; }

}  // namespace cairn::server
