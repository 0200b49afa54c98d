// What the commands of one request see of a numbered database: what a reader may see, or, for the writer, everything that was
// applied and what the request itself has staged. The staged saves are applied together, or not at all.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cairn/cairn.h"
#include "server/databases.h"

namespace cairn::server {

using Expires = std::optional<Time>;  // None: never.

class Keyspace {
 public:
  /// For a reader `sees` is kAcknowledged, and nothing is staged.
  Keyspace(Databases& databases, int number, Sees sees) : databases_(databases), number_(number), sees_(sees) { enter(); }
  Keyspace(const Keyspace&) = delete;
  Keyspace& operator=(const Keyspace&) = delete;

  /// Looks up which timeline the database is. A command calls it first, so that it sees one timeline whatever SWAPDB does.
  void enter() { timeline_ = databases_.timeline_of(number_); }
  /// A command has read the values that it was given; others of the same request may follow. Notes whether the device has failed
  /// under one of them.
  void done_reading();
  /// The request is over.
  void leave() {
    read_.clear();
    bad_.reset();
  }

  [[nodiscard]] Result<std::optional<Pinned>> get(ByteView key) const;
  /// The values of all keys at one moment.
  [[nodiscard]] Result<std::vector<std::optional<Pinned>>> get_all(std::span<const ByteView> keys) const;
  [[nodiscard]] Result<bool> contains(ByteView key) const;
  struct Found {
    Expires expires;
    std::optional<Time> saved;  // None: by this very request.
  };
  [[nodiscard]] Result<std::optional<Found>> find(ByteView key) const;
  /// As Timeline::changed(); of what is staged nothing is known.
  [[nodiscard]] Result<Stamp> changed(ByteView key) const;

  /// kInvalidArgument: nothing can be put under it.
  static Result<void> check_key(ByteView key);
  // The keys, and the data of put(), stay where they are until commit(); what was computed is handed over.
  Result<void> put(ByteView key, ByteView data, Expires expires);
  Result<void> put_computed(ByteView key, Bytes data, Expires expires);
  Result<void> erase(ByteView key);
  Result<void> set_expiry(ByteView key, Expires expires);
  void erase_all();

  /// Calls `visit` with the keys that begin with `prefix`, from `from` on, in order, as long as it returns true.
  template <typename Visit>
  Result<void> for_each(ByteView prefix, ByteView from, Visit visit) const;
  [[nodiscard]] Result<std::optional<Bytes>> random_key(std::uint64_t random) const;
  /// How many keys there are, what is staged included. In the writer everything that was applied is to be settled before.
  [[nodiscard]] Result<std::uint64_t> count() const;

  /// Lookups of values, by whether the key was there.
  struct Lookups {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    Lookups& operator+=(const Lookups& other) {
      hits += other.hits;
      misses += other.misses;
      return *this;
    }
  };
  /// Those since the last call.
  Lookups take_lookups() { return std::exchange(lookups_, {}); }

  /// Applies what is staged; nullopt: nothing was. kIo: the device has failed under a value that was read, so that something may
  /// have been computed from it.
  Result<std::optional<Applied>> commit(Durability durability);
  /// Returns the number of bytes that put_computed() has staged.
  [[nodiscard]] std::uint64_t computed_bytes() const { return computed_bytes_; }
  /// Applies each of `puts`, past what is staged, of which there is nothing.
  Result<Applied> put_each(std::span<const Timeline::Put> puts, Durability durability);
  void discard();

  [[nodiscard]] int number() const { return number_; }
  /// nullptr: nobody has written to it yet.
  [[nodiscard]] Timeline* timeline() const { return databases_.timeline(timeline_); }
  /// Its place among the timelines of Databases.
  [[nodiscard]] std::size_t timeline_number() const { return timeline_; }
  [[nodiscard]] static Time now();

 private:
  struct Staged {
    ByteView key;
    ByteView data;
    enum class Kind : std::uint8_t { kPut, kErase, kSetExpiry } kind = Kind::kPut;
    Expires expires;
    Bytes* computed = nullptr;                   // Where the data is, of put_computed().
    mutable std::shared_ptr<const Bytes> shown;  // A copy of the data, for replies, which may outlive it.
  };
  [[nodiscard]] const Staged* staged(ByteView key) const;
  Staged& stage(ByteView key);
  [[nodiscard]] std::vector<ByteView> staged_keys(ByteView prefix, ByteView from) const;

  Databases& databases_;
  const int number_;
  const Sees sees_;
  std::size_t timeline_ = 0;
  bool erased_all_ = false;  // Before what is in staged_.
  std::vector<Staged> staged_;
  std::unordered_map<ByteView, std::size_t> places_;  // In staged_, once it is long.
  std::vector<std::unique_ptr<Bytes>> computed_;
  std::uint64_t computed_bytes_ = 0;
  mutable Lookups lookups_;
  mutable std::vector<Pinned> read_;  // In the writer, by the command that runs.
  std::optional<Error> bad_;          // The device has failed under a value that a command of the request has read.
};

template <typename Visit>
Result<void> Keyspace::for_each(ByteView prefix, ByteView from, Visit visit) const {
  const std::vector<ByteView> news = staged_keys(prefix, from);
  auto next = news.begin();
  Timeline* const timeline = erased_all_ ? nullptr : this->timeline();
  if (timeline != nullptr) {
    SaveList list = timeline->present(prefix, from, 0, sees_);
    for (const auto entry : list) {
      for (; next != news.end() && *next < entry.key; ++next) {
        if (!visit(*next)) return {};
      }
      if (next != news.end() && *next == entry.key) ++next;
      const Staged* const over = staged(entry.key);
      if (over != nullptr && over->kind == Staged::Kind::kErase) continue;
      if (!visit(entry.key)) return {};
    }
    CAIRN_TRY_VOID(list.status());
  }
  for (; next != news.end(); ++next) {
    if (!visit(*next)) return {};
  }
  return {};
}

}  // namespace cairn::server
