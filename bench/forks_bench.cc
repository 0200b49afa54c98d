// What a fork store costs: its index beside hash maps of the same accounts.
#include "bench/forks_bench.h"

#include <absl/container/flat_hash_map.h>

#include <bit>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstring>
#include <filesystem>
#include <unordered_map>

#include "base/hash.h"
#include "bench/forks_device_bench.h"
#include "bench/forks_store_bench.h"
#include "bench/measure.h"
#include "bench/value_of.h"
#include "forks/version_index.h"
#include "segment/record.h"
#include "storage/posix_storage.h"

namespace cairn::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Key32 {
  std::array<char, 32> bytes;
  bool operator==(const Key32&) const = default;
  [[nodiscard]] ByteView view() const { return {bytes.data(), bytes.size()}; }
  template <typename H>
  friend H AbslHashValue(H h, const Key32& key) {
    return H::combine_contiguous(std::move(h), key.bytes.data(), key.bytes.size());
  }
};
struct KeyedHash {
  std::size_t operator()(const Key32& key) const { return xxh3(key.view(), 77); }
};

Key32 key_number(std::uint64_t i) {
  Key32 key{};
  for (std::size_t part = 0; part < 4; ++part) store(key.bytes.data() + 8 * part, mix(4 * i + part + 1));
  return key;
}

/// Fills it, a chunk of accounts at a time, which it is given with its keys; and then updates random ones.
constexpr std::uint64_t kChunk = 1 << 20;
constexpr std::uint64_t kUpdates = 10 * kChunk;
template <typename Index>
Json fill_and_update(std::uint64_t n, Index& index) {
  std::vector<Key32> keys;
  const auto seconds = [&](std::uint64_t count, const auto& account) {
    keys.clear();
    for (std::uint64_t i = 0; i < count; ++i) keys.push_back(key_number(account(i)));
    index.prepare(keys);
    const auto begin = Clock::now();
    index.put(keys);
    return static_cast<double>(ns_between(begin, Clock::now())) / 1e9;
  };
  keys.reserve(kChunk);
  const std::uint64_t before = status_bytes("RssAnon");
  double inserting = 0;
  for (std::uint64_t i = 0; i < n; i += kChunk) {
    inserting += seconds(std::min(kChunk, n - i), [&](std::uint64_t k) { return i + k; });
  }
  keys.clear();
  keys.shrink_to_fit();
  const std::uint64_t after = status_bytes("RssAnon");
  keys.reserve(kChunk);
  double updating = 0;
  for (std::uint64_t i = 0; i < kUpdates; i += kChunk) {
    updating += seconds(kChunk, [&](std::uint64_t k) { return mix(i + k) % n; });
  }
  return {{"inserts_per_s", static_cast<double>(n) / inserting},
          {"updates_per_s", static_cast<double>(kUpdates) / updating},
          {"bytes_per_account", static_cast<double>(after - before) / static_cast<double>(n)}};
}

template <typename Map>
struct MapIndex {
  void prepare(std::span<const Key32> /*keys*/) {}
  void put(std::span<const Key32> keys) {
    for (const Key32& key : keys) map[key] = ++place;
  }
  Map map;
  std::uint64_t place = 0;
};

/// The records stand in segments on disk, in the page cache.
struct OurIndex {
  explicit OurIndex(const std::string& dir)
      : storage(value_of(storage::PosixStorage::open(dir, true))),
        index(value_of(forks::VersionIndex::create(segments, {.low = 77, .high = 88}))) {}

  void prepare(std::span<const Key32> keys) {
    stored.clear();
    for (const Key32& key : keys) {
      std::array<char, forks::kRecordKeyBytes> record_key{};
      std::memcpy(record_key.data() + 8, key.bytes.data(), key.bytes.size());
      const segment::RecordInput input{.write_version = ++version, .key = {record_key.data(), record_key.size()}};
      if (!file || end + segment::encoded_bytes(input) > file->capacity()) {
        file = value_of(storage->create(std::to_string(version) + "-1-00000001.segment", 64 * kMiB));
        number = segments.add(std::make_shared<directory::LiveFile>(file->view(), keeper)).value();
        end = segment::kHeaderBytes;
      }
      segment::encode_record(file->data() + end, input, 1);
      stored.push_back({.key = key.view(), .place = {number, end, forks::SizeClass(segment::encoded_bytes(input), false)}});
      end += segment::encoded_bytes(input);
    }
  }
  void put(std::span<const Key32> /*keys*/) {
    outcome.stale.clear();
    check(index->store(0, 0, stored, outcome));
  }

  std::unique_ptr<storage::PosixStorage> storage;
  std::shared_ptr<directory::FileKeeper> keeper = std::make_shared<directory::FileKeeper>();
  forks::SegmentTable segments;
  std::unique_ptr<forks::VersionIndex> index;
  std::unique_ptr<storage::AppendFile> file;
  std::uint32_t number = 0;
  std::uint64_t end = 0;
  std::uint64_t version = 0;
  forks::VersionIndex::Outcome outcome;
  std::vector<forks::VersionIndex::Stored> stored = [] {
    std::vector<forks::VersionIndex::Stored> room;
    room.resize(kChunk);  // Touched, so that it is not taken for the index's.
    return room;
  }();
};

Json fill_and_update(const ForksBench& bench, const std::string& name, std::uint64_t n) {
  return in_child([&]() -> std::string {
    std::filesystem::remove_all(bench.dir);
    std::filesystem::create_directories(bench.dir);
    Json json;
    if (name == "cairn") {
      OurIndex index(bench.dir);
      json = fill_and_update(n, index);
    } else if (name == "absl::flat_hash_map") {
      MapIndex<absl::flat_hash_map<Key32, std::uint64_t>> index;
      json = fill_and_update(n, index);
    } else if (name == "boost::unordered_flat_map") {
      MapIndex<boost::unordered_flat_map<Key32, std::uint64_t, KeyedHash>> index;
      json = fill_and_update(n, index);
    } else {
      MapIndex<std::unordered_map<Key32, std::uint64_t, KeyedHash>> index;
      json = fill_and_update(n, index);
    }
    std::filesystem::remove_all(bench.dir);
    return json.dump();
  });
}

Json indexes(const ForksBench& bench) {
  std::printf("| accounts | index | updates, M/s | inserts, M/s | bytes an account |\n|---|---|---|---|---|\n");
  Json json;
  for (const std::uint64_t n : bench.n) {
    const std::vector<std::string> names = {"cairn", "absl::flat_hash_map", "boost::unordered_flat_map", "std::unordered_map"};
    std::map<std::string, std::map<std::string, Figures>> figures;
    for (unsigned round = 0; round < bench.rounds; ++round) {
      for (const std::string& name : names) {
        const Json one = fill_and_update(bench, name, n);
        for (const auto& [what, figure] : one.items()) figures[name][what].all.push_back(figure);
      }
    }
    for (const std::string& name : names) {
      auto& of_name = figures[name];
      const Figures& updates = of_name["updates_per_s"];
      std::printf("| %lu M | %s | %.1f ±%.0f %% | %.1f | %.1f |\n", n / 1'000'000, name.c_str(), updates.median() / 1e6,
                  updates.spread() * 50, of_name["inserts_per_s"].median() / 1e6, of_name["bytes_per_account"].median());
      std::fflush(stdout);
      json.push_back({{"index", name},
                      {"accounts", n},
                      {"updates_per_s", updates.median()},
                      {"spread", updates.spread()},
                      {"inserts_per_s", of_name["inserts_per_s"].median()},
                      {"bytes_per_account", of_name["bytes_per_account"].median()}});
    }
  }
  return json;
}

}  // namespace

std::string run(const ForksBench& bench) {
  Json json;
  if (bench.only == "device") {
    json["device"] = run(ForksDeviceBench{.data_bytes = bench.device_bytes, .seconds = bench.seconds, .dir = bench.dir});
    return json.dump();
  }
  if (bench.only != "store") json["indexes"] = indexes(bench);
  if (bench.only != "index") {
    json["store"] = run(ForksStoreBench{
        .accounts = bench.accounts, .append_bytes = bench.append_bytes, .rounds = bench.rounds, .dir = bench.dir});
  }
  return json.dump();
}

}  // namespace cairn::bench
