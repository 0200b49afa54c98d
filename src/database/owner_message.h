// The bytes that a process which owns a directory and one that asks it exchange: every number has 8 bytes, a text, list or
// optional its length before it, a struct its fields in the order of fields().
#pragma once
#include <bit>
#include <chrono>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include "cairn/database.h"

namespace cairn::database {

/// What one call says; each uses some of it.
struct Request {
  enum class Call : std::uint8_t {
    kList = 1,    ///< Rows: kind ("table", "timeline", "forks"), name, stats (empty: not seen), stamp of the last save.
    kTableStats,  ///< One row: stats. So the next two.
    kTimelineStats,
    kForksStats,
    kTableGet,         ///< One row with the value, or none.
    kTableScan,        ///< Rows: key, value.
    kTimelineGet,      ///< One row with the data, or none.
    kTimelineKeys,     ///< Rows: key, stamp.
    kTimelineHistory,  ///< Rows: key, stamp, "1" if it erased, data.
    kTimelineWatch,    ///< Rows: kind (WatchEvent::Kind), key, stamp, data.
    kVerify,           ///< One row: a VerifyReport.
    kCheckpoint,       ///< No row.
  };
  Call call = Call::kList;
  std::string view = "main";  ///< Name of the table, timeline or fork store.
  std::string family = "main";
  Bytes key = {};  ///< Or prefix.
  Bytes from_key = {};
  Bytes to_key = {};
  bool reverse = false;
  std::uint64_t limit = 0;
  Moment from = kBeginning;
  Moment to = kEndOfTime;
  std::optional<Moment> at = {};
  std::string target = {};  ///< Of a checkpoint: absolute.
  std::string base = {};    ///< Likewise; empty: a full one.
};

/// The fields of the structs that are exchanged.
template <typename S>
auto fields(S& s) {
  using T = std::remove_const_t<S>;
  if constexpr (std::is_same_v<T, Request>) {
    return std::tie(s.call, s.view, s.family, s.key, s.from_key, s.to_key, s.reverse, s.limit, s.from, s.to, s.at, s.target,
                    s.base);
  } else if constexpr (std::is_same_v<T, Error>) {
    return std::tie(s.code, s.message, s.file, s.offset);
  } else if constexpr (std::is_same_v<T, VerifyReport>) {
    return std::tie(s.files, s.bytes, s.damages);
  } else if constexpr (std::is_same_v<T, JobStats>) {
    return std::tie(s.name, s.bytes_done, s.bytes_total);
  } else if constexpr (std::is_same_v<T, IndexOptions>) {
    return std::tie(s.name, s.term_bytes, s.extractor);
  } else if constexpr (std::is_same_v<T, FamilyStats>) {
    return std::tie(s.name, s.compression, s.ttl, s.indexes);
  } else if constexpr (std::is_same_v<T, LayerStats>) {
    return std::tie(s.family, s.kind, s.files, s.bytes, s.records, s.version_first, s.version_last);
  } else if constexpr (std::is_same_v<T, PinStats>) {
    return std::tie(s.id, s.label, s.write_version, s.age_ms, s.written_bytes_since);
  } else if constexpr (std::is_same_v<T, TableStats>) {
    return std::tie(s.families, s.layers, s.visible_version, s.large_values, s.large_bytes, s.unsealed_bytes,
                    s.unsealed_bytes_max, s.runs_max, s.debt, s.write_rate_max, s.write_wait_ms_max, s.longest_wait_ms, s.delays,
                    s.delayed_ms, s.stalls, s.writes, s.written_bytes, s.log_bytes, s.sealed_bytes_written, s.syncs, s.flushes,
                    s.compactions, s.write_amplification, s.memory_bytes, s.extractor_failures, s.maps_open, s.maps_max,
                    s.oldest_pin, s.jobs, s.open_reports, s.write_state);
  } else if constexpr (std::is_same_v<T, LineStats>) {
    return std::tie(s.name, s.blocks, s.bytes, s.saves, s.live_saves_max, s.first, s.last);
  } else if constexpr (std::is_same_v<T, BlockStats>) {
    return std::tie(s.line, s.file, s.state, s.bytes, s.saves, s.first, s.last);
  } else if constexpr (std::is_same_v<T, RollbackStats>) {
    return std::tie(s.to, s.until, s.undoable, s.undo_until);
  } else if constexpr (std::is_same_v<T, HeldStats>) {
    return std::tie(s.id, s.age_ms, s.bytes, s.memory_bytes);
  } else if constexpr (std::is_same_v<T, TimelineStats>) {
    return std::tie(s.timeout, s.expired, s.lines, s.blocks, s.rollbacks, s.index_files, s.index_bytes, s.index_probes, s.lookups,
                    s.blocks_touched, s.writes, s.written_bytes, s.log_bytes, s.index_bytes_written, s.blocks_closed,
                    s.blocks_expired, s.cycles, s.syncs, s.memory_bytes, s.cycle_under_way, s.oldest_held, s.jobs, s.open_reports,
                    s.write_state, s.job_errors);
  } else if constexpr (std::is_same_v<T, ForkInfo>) {
    return std::tie(s.number, s.parent, s.frozen, s.accounts_changed);
  } else if constexpr (std::is_same_v<T, DriveStats>) {
    return std::tie(s.path, s.segments, s.bytes, s.error);
  } else if constexpr (std::is_same_v<T, ForkStoreStats>) {
    return std::tie(s.forks, s.accounts, s.index_bytes, s.open_bytes, s.segments, s.segment_bytes, s.live_bytes, s.drives,
                    s.purged_remembered, s.writes, s.written_bytes, s.log_bytes, s.moved_bytes, s.segments_reclaimed, s.syncs,
                    s.jobs, s.open_reports, s.write_state, s.job_errors);
  } else {
    static_assert(std::is_void_v<T>, "this struct is not exchanged");
  }
}

class MessageWriter {
 public:
  template <typename T>
  void put(const T& value) {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      put_number(value);
    } else {
      put_other(value);
    }
  }
  [[nodiscard]] const Bytes& bytes() const { return bytes_; }

 private:
  template <typename T>
  void put_number(T value) {
    std::uint64_t number = 0;
    if constexpr (std::is_floating_point_v<T>) {
      number = std::bit_cast<std::uint64_t>(static_cast<double>(value));
    } else {
      number = static_cast<std::uint64_t>(value);
    }
    for (int shift = 0; shift < 64; shift += 8) bytes_.push_back(static_cast<char>(number >> shift));
  }
  void put_other(const std::string& text) {
    put_number(text.size());
    bytes_ += text;
  }
  void put_other(Stamp stamp) { put_number(stamp.value); }
  void put_other(Time time) { put_number(time.time_since_epoch().count()); }
  void put_other(std::chrono::milliseconds time) { put_number(time.count()); }
  void put_other(const Moment& moment) {
    put_number(moment.first().value);
    put_number(moment.first() != moment.last());
  }
  template <typename T>
  void put_other(const std::vector<T>& list) {
    put_number(list.size());
    for (const T& each : list) put(each);
  }
  template <typename T>
  void put_other(const std::optional<T>& value) {
    put_number(value.has_value());
    if (value) put(*value);
  }
  template <typename S>
  void put_other(const S& s) {
    std::apply([this](const auto&... each) { (this->put(each), ...); }, fields(s));
  }

  Bytes bytes_;
};

/// Whatever the bytes are, it reads none beyond their end and allocates no more than a small multiple of them.
class MessageReader {
 public:
  explicit MessageReader(ByteView bytes) : rest_(bytes) {}
  /// False: the bytes are not a T.
  template <typename T>
  [[nodiscard]] bool get(T& value) {
    if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
      return get_number(value);
    } else {
      return get_other(value);
    }
  }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  template <typename T>
  bool get_number(T& value) {
    constexpr std::size_t kBytes = 8;
    if (rest_.size() < kBytes) return false;
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < kBytes; ++i) number |= std::uint64_t{static_cast<unsigned char>(rest_[i])} << (8 * i);
    rest_.remove_prefix(kBytes);
    if constexpr (std::is_same_v<T, bool>) {
      value = number != 0;
      return number <= 1;
    } else if constexpr (std::is_floating_point_v<T>) {
      value = std::bit_cast<double>(number);
      return true;
    } else {
      value = static_cast<T>(number);
      return static_cast<std::uint64_t>(value) == number;
    }
  }
  bool get_other(std::string& text) {
    std::uint64_t size = 0;
    if (!get_number(size) || size > rest_.size()) return false;
    text.assign(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return true;
  }
  bool get_other(Stamp& stamp) { return get_number(stamp.value); }
  bool get_other(std::chrono::milliseconds& time) {
    std::int64_t count = 0;
    if (!get_number(count)) return false;
    time = std::chrono::milliseconds(count);
    return true;
  }
  bool get_other(Time& time) {
    std::chrono::milliseconds since{0};
    if (!get_other(since)) return false;
    time = Time(since);
    return true;
  }
  bool get_other(Moment& moment) {
    Stamp first;
    bool is_time = false;
    if (!get_number(first.value) || !get_number(is_time)) return false;
    moment = is_time ? Moment(first.time()) : Moment(first);
    return true;
  }
  template <typename T>
  bool get_other(std::vector<T>& list) {
    std::uint64_t count = 0;
    if (!get_number(count) || count > rest_.size()) return false;  // Each takes a byte at least.
    for (std::uint64_t i = 0; i < count; ++i) {
      if (!get(list.emplace_back())) return false;
    }
    return true;
  }
  template <typename T>
  bool get_other(std::optional<T>& value) {
    bool there = false;
    if (!get_number(there)) return false;
    if (!there) return true;
    T read = make<T>();
    if (!get(read)) return false;
    value = std::move(read);
    return true;
  }
  template <typename S>
  bool get_other(S& s) {
    return std::apply([this](auto&... each) { return (this->get(each) && ...); }, fields(s));
  }
  template <typename T>
  static T make() {
    if constexpr (std::is_same_v<T, Moment>) {
      return kBeginning;
    } else {
      return {};
    }
  }

  ByteView rest_;
};

template <typename T>
Bytes encode_message(const T& value) {
  MessageWriter writer;
  writer.put(value);
  return writer.bytes();
}

/// nullopt: the bytes are not a T, or more than that.
template <typename T>
std::optional<T> decode_message(ByteView bytes) {
  MessageReader reader(bytes);
  T value{};
  if (!reader.get(value) || !reader.at_end()) return std::nullopt;
  return value;
}

}  // namespace cairn::database
