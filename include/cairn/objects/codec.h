// The binary form of objects, which stores keep. A class of a persistent Model lists its members in one function:
//
//     template <typename Self, typename Visitor>
//     static void visit_members(Self& self, Visitor& visit) {
//       visit("name", self.name);
//       visit("color", self.color, kColorNames);  // An enum: its values, which count from 0, have these names.
//     }
//
// The members follow each other in that order, without their names:
//
//     std::int64_t, Id<T>, sys_time<milliseconds>   zigzag, then a varint (LEB128), 1 to 10 bytes
//     double                                        8 bytes, little-endian
//     bool                                          1 byte, 0 or 1
//     enum                                          its value as a varint
//     std::string                                   size in bytes as a varint, then the bytes
//     std::optional<M>                              1 byte, 0 or 1; if 1, the value
//     std::vector<M>                                count as a varint, then the values
//     a struct with visit_members()                 its members
#pragma once
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "cairn/bytes.h"
#include "cairn/export.h"
#include "cairn/objects/object.h"
#include "cairn/result.h"
#include "cairn/time.h"

namespace cairn {

namespace objects {

/// Stands for any visitor of visit_members().
struct AnyVisitor {
  template <typename... Any>
  void operator()(const char*, const Any&...) const {}
};

/// A class or struct with visit_members().
template <typename T>
concept HasMembers = requires(T& self, AnyVisitor& visitor) { T::visit_members(self, visitor); };

/// Appends members to a byte string or, without one, counts their bytes. One thread.
class Encoder {
 public:
  Encoder() = default;
  /// Appends to `out`, which outlives the encoder.
  explicit Encoder(Bytes& out) : out_(&out) {}

  template <typename M>
  void operator()(const char*, const M& value) {
    put(value);
  }
  template <typename E, std::size_t kCount>
  void operator()(const char*, const E& value, const char* const (&)[kCount]) {
    put_enum(value);
  }
  void varint(std::uint64_t value) {
    while (value >= 0x80) {
      byte(static_cast<unsigned char>(value | 0x80));
      value >>= 7;
    }
    byte(static_cast<unsigned char>(value));
  }
  /// Bytes that were appended or counted.
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  void byte(unsigned char value) {
    ++size_;
    if (out_ != nullptr) out_->push_back(static_cast<char>(value));
  }
  void append(const char* data, std::size_t size) {
    size_ += size;
    if (out_ != nullptr) out_->append(data, size);
  }
  void put(std::int64_t value) { varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63)); }
  void put(bool value) { byte(value ? 1 : 0); }
  void put(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    char bytes[8];
    for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<char>(bits >> (8 * i));
    append(bytes, sizeof bytes);
  }
  void put(const std::string& value) {
    varint(value.size());
    append(value.data(), value.size());
  }
  void put(Time value) { put(static_cast<std::int64_t>(value.time_since_epoch().count())); }
  template <typename T>
  void put(const Id<T>& value) {
    put(value.value);
  }
  template <typename E>
  void put_enum(const E& value) {
    varint(static_cast<std::uint64_t>(value));
  }
  template <typename E>
  void put_enum(const std::optional<E>& value) {
    put(value.has_value());
    if (value) put_enum(*value);
  }
  template <typename E>
  void put_enum(const std::vector<E>& values) {
    varint(values.size());
    for (const E& value : values) put_enum(value);
  }
  template <typename M>
  void put(const std::optional<M>& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  template <typename M>
  void put(const std::vector<M>& values) {
    varint(values.size());
    for (const M& value : values) put(value);
  }
  template <HasMembers M>
  void put(const M& value) {
    M::visit_members(value, *this);
  }

  Bytes* out_ = nullptr;
  std::uint64_t size_ = 0;
};

/// Reads members from a byte string. After the first member that does not fit nothing is read any more: done() says which it
/// was. One thread.
class CAIRN_API Decoder {
 public:
  /// `bytes` outlives the decoder.
  explicit Decoder(ByteView bytes) : bytes_(bytes) {}

  template <typename M>
  void operator()(const char* name, M& value) {
    name_ = name;
    get(value);
  }
  template <typename E, std::size_t kCount>
  void operator()(const char* name, E& value, const char* const (&)[kCount]) {
    name_ = name;
    get_enum(value, kCount);
  }
  std::uint64_t varint();
  /// kCorruption: a member does not fit, or bytes are left over. The message names the member and the offset in the bytes.
  [[nodiscard]] Result<void> done() const;

 private:
  void refuse(const char* why);
  /// The next `size` bytes; empty: there are not so many.
  ByteView take(std::uint64_t size);
  bool flag();
  void get(std::int64_t& value) {
    const std::uint64_t zigzag = varint();
    value = static_cast<std::int64_t>((zigzag >> 1) ^ (~(zigzag & 1) + 1));
  }
  void get(bool& value) { value = flag(); }
  void get(double& value);
  void get(std::string& value) {
    const std::uint64_t size = varint();
    value = take(size);
  }
  void get(Time& value) {
    std::int64_t ms = 0;
    get(ms);
    value = Time(std::chrono::milliseconds(ms));
  }
  template <typename T>
  void get(Id<T>& value) {
    get(value.value);
  }
  template <typename E>
  void get_enum(E& value, std::uint64_t count) {
    const std::uint64_t number = varint();
    if (number >= count) return refuse("is not a value of the enum");
    value = static_cast<E>(number);
  }
  template <typename E>
  void get_enum(std::optional<E>& value, std::uint64_t count) {
    value.reset();
    if (flag()) get_enum(value.emplace(), count);
  }
  template <typename E>
  void get_enum(std::vector<E>& values, std::uint64_t count) {
    get_each(values, [&](E& value) { get_enum(value, count); });
  }
  template <typename M>
  void get(std::optional<M>& value) {
    value.reset();
    if (flag()) get(value.emplace());
  }
  template <typename M>
  void get(std::vector<M>& values) {
    get_each(values, [&](M& value) { get(value); });
  }
  template <typename M, typename GetOne>
  void get_each(std::vector<M>& values, const GetOne& get_one) {
    values.clear();
    const std::uint64_t count = varint();
    if (count > bytes_.size() - at_) return refuse("has more values than bytes");  // Each value has at least one byte.
    for (std::uint64_t i = 0; i < count && why_ == nullptr; ++i) {
      M value{};
      get_one(value);
      values.push_back(std::move(value));
    }
  }
  template <HasMembers M>
  void get(M& value) {
    M::visit_members(value, *this);
  }

  ByteView bytes_;
  std::size_t at_ = 0;
  const char* name_ = "";
  const char* why_ = nullptr;  // What is wrong with `refused_`; nullptr: nothing.
  const char* refused_ = "";
};

}  // namespace objects
}  // namespace cairn
