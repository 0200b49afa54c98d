// What a timeline costs: beside its peers on the same work, with few blocks and with many, and for readers beside its jobs.
#include "bench/timeline_bench.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "bench/measure.h"
#include "bench/table_bench.h"
#include "bench/value_of.h"
#include "cairn/cairn.h"

namespace cairn::bench {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;

/// The same work for each engine in turn, several times.
Json beside_peers(const TimelineBench& bench, const std::string& title, const TableBench& work,
                  const std::vector<std::string>& peers, const std::map<std::string, double>& targets) {
  std::map<std::string, Figures> figures;
  std::vector<std::string> engines = {"cairn-timeline"};
  engines.insert(engines.end(), peers.begin(), peers.end());
  for (unsigned round = 0; round < bench.rounds; ++round) {
    for (const std::string& engine : engines) {
      TableBench one = work;
      one.engine = engine;
      one.dir = bench.dir;
      figures[engine].all.push_back(in_child([&] { return run(one); })["ops_per_s"]);
    }
  }
  const double mine = figures["cairn-timeline"].median();
  Json json = {{"work", title}, {"objects", work.n}, {"ops_per_s", mine}, {"spread", figures["cairn-timeline"].spread()}};
  std::printf("| %s | %.1f ±%.0f %% |", title.c_str(), mine / 1e3, figures["cairn-timeline"].spread() * 50);
  for (const std::string engine : {"rocksdb", "lmdb"}) {
    if (!figures.contains(engine)) {
      std::printf(" | |");
      continue;
    }
    const double ratio = mine / figures[engine].median();
    json[engine] = {{"ops_per_s", figures[engine].median()}, {"ratio", ratio}, {"target", targets.at(engine)}};
    std::printf(" %.1f | %.2f of %.1f |", figures[engine].median() / 1e3, ratio, targets.at(engine));
  }
  std::printf("\n");
  std::fflush(stdout);
  return json;
}

Json peers(const TimelineBench& bench) {
  std::printf("| thousand/s | timeline | RocksDB | ratio | LMDB | ratio |\n|---|---|---|---|---|---|\n");
  Json json;
  json.push_back(
      beside_peers(bench, "saves, `kKernel`", {.workload = "fillrandom", .n = bench.n}, {"rocksdb"}, {{"rocksdb", 3.0}}));
  json.push_back(beside_peers(bench, "saves, `kDisk`", {.workload = "fillsync", .disk = true, .n = bench.n / 400}, {"rocksdb"},
                              {{"rocksdb", 1.0}}));
  json.push_back(beside_peers(bench, "lookups of random live keys", {.workload = "readrandom", .n = bench.n, .settled = true},
                              {"rocksdb", "lmdb"}, {{"rocksdb", 3.0}, {"lmdb", 1.2}}));
  return json;
}

std::string fresh(const std::string& dir) {
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir + "/timeline";
}

/// Half as many objects as `bench` says, in `blocks` blocks; one each millisecond.
Json in_blocks(const TimelineBench& bench, std::uint64_t blocks) {
  const std::string path = fresh(bench.dir);
  const std::uint64_t n = bench.n / 2 / blocks * blocks;
  const auto begin = std::chrono::floor<milliseconds>(std::chrono::system_clock::now()) - milliseconds(n + 1000);
  const TimelineOptions options{.block_keys_max = n / blocks, .block_bytes_max = n / blocks * 200 + (64 << 10)};
  const Values values(100, 0);
  std::string key;
  std::string value;
  {
    Database database = value_of(Database::open(path, {.create_if_missing = true}));
    Timeline timeline = value_of(database.timeline("bench", options));
    for (std::uint64_t i = 0; i < n; ++i) {
      key_of(Keys::kRandom16, i, key);
      values.get(i, value);
      SaveOptions save{.durability = Durability::kKernel};
      save.time = begin + milliseconds(i);
      value_of(timeline.put(key, value, save));
    }
    check(timeline.close_block());
    check(timeline.housekeep());
    check(database.close());
  }
  const auto open_begin = Clock::now();
  Database database = value_of(Database::open(path, {}));
  Timeline timeline = value_of(database.timeline("bench"));
  const double open_ms = static_cast<double>(ns_between(open_begin, Clock::now())) / 1e6;
  std::uint64_t sum = 0;
  const auto get_begin = Clock::now();
  for (std::uint64_t i = 0; i < n; ++i) {
    key_of(Keys::kRandom16, mix(i + 7) % n, key);
    const auto hit = value_of(timeline.get(key));
    if (!hit) give_up("a key that was saved is not found");
    sum += sum_of(hit->view());
  }
  const double gets_per_s = static_cast<double>(n) * 1e9 / static_cast<double>(ns_between(get_begin, Clock::now()));
  const TimelineStats read = timeline.stats();
  // One hundredth of the span, in the middle.
  std::uint64_t listed = 0;
  const auto keys_begin = Clock::now();
  SaveList list = timeline.keys("", begin + milliseconds(n / 2), begin + milliseconds(n / 2 + n / 100));
  for (const auto entry : list) listed += entry.key.size() != 0 ? 1 : 0;
  check(list.status());
  const double keys_ms = static_cast<double>(ns_between(keys_begin, Clock::now())) / 1e6;
  if (sum == 0 || listed != n / 100) give_up("keys over a hundredth of the span found " + std::to_string(listed));
  Json json = {{"blocks", read.blocks.size()},
               {"objects", n},
               {"open_ms", open_ms},
               {"gets_per_s", gets_per_s},
               {"probes_per_get", static_cast<double>(read.index_probes) / static_cast<double>(read.lookups)},
               {"index_files", read.index_files},
               {"keys_of_a_hundredth_ms", keys_ms}};
  check(database.close());
  std::filesystem::remove_all(path);
  return json;
}

Json few_and_many(const TimelineBench& bench) {
  std::printf("\n| blocks | opening, ms | gets, thousand/s | index probes each | index files | keys of 1 %% of the span, ms |\n");
  std::printf("|---|---|---|---|---|---|\n");
  Json json;
  for (const std::uint64_t blocks : {10, 1000}) {
    Json best;
    std::vector<double> opens;
    for (unsigned round = 0; round < bench.rounds; ++round) {
      const Json one = in_child([&] { return in_blocks(bench, blocks).dump(); });
      opens.push_back(one["open_ms"]);
      if (best.empty() || one["gets_per_s"] > best["gets_per_s"]) best = one;
    }
    std::ranges::sort(opens);
    best["open_ms"] = opens[opens.size() / 2];
    json.push_back(best);
    std::printf("| %lu | %.1f | %.0f | %.2f | %lu | %.1f |\n", best["blocks"].get<std::uint64_t>(), best["open_ms"].get<double>(),
                best["gets_per_s"].get<double>() / 1e3, best["probes_per_get"].get<double>(),
                best["index_files"].get<std::uint64_t>(), best["keys_of_a_hundredth_ms"].get<double>());
    std::fflush(stdout);
  }
  return json;
}

struct Watched {
  Histogram latencies;
  std::uint64_t lock_waits = 0;
};

/// One reader of random keys until `stop`.
Watched read_until(const Timeline& timeline, std::uint64_t keys, const std::atomic<bool>& stop) {
  Watched watched;
  std::string key;
  std::uint64_t sum = 0;
  const std::uint64_t waits_before = lock_waits_of_thread;
  auto before = Clock::now();
  for (std::uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
    key_of(Keys::kRandom16, mix(i) % keys, key);
    const auto hit = value_of(timeline.get(key));
    if (hit) sum += sum_of(hit->view());
    const auto now = Clock::now();
    watched.latencies.add(ns_between(before, now));
    before = now;
  }
  if (sum == 0) give_up("nothing was found");
  watched.lock_waits = lock_waits_of_thread - waits_before;
  return watched;
}

/// A reader by itself, and then beside a thread that saves, closes blocks, has what expired moved and taken up, and rolls back.
Json beside_jobs(const TimelineBench& bench) {
  constexpr std::uint64_t kKeys = 200'000;
  const std::string path = fresh(bench.dir);
  Database database = value_of(Database::open(path, {.create_if_missing = true}));
  Timeline timeline = value_of(
      database.timeline("bench", {.timeout = milliseconds(1000), .expired = Expired::kPersist, .block_bytes_max = 8 << 20}));
  std::string key;
  std::string value;
  const Values values(100, 0);
  std::uint64_t saved = 0;
  const auto save = [&](std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i, ++saved) {
      key_of(Keys::kRandom16, saved % kKeys, key);
      values.get(saved, value);
      value_of(timeline.put(key, value, {.durability = Durability::kKernel}));
    }
  };
  save(kKeys);
  check(timeline.close_block());
  check(timeline.housekeep());
  const auto watch = [&](const std::function<void()>& beside) {
    std::atomic<bool> stop{false};
    Watched watched;
    std::thread reader([&] { watched = read_until(timeline, kKeys, stop); });
    const auto begin = Clock::now();
    while (static_cast<double>(ns_between(begin, Clock::now())) < bench.seconds * 1e9) beside();
    stop = true;
    reader.join();
    return watched;
  };
  const Watched quiet = watch([] { std::this_thread::sleep_for(milliseconds(10)); });
  std::uint64_t rounds = 0;
  const Watched busy = watch([&] {
    save(kKeys / 4);
    check(timeline.close_block());
    const Time point = std::chrono::floor<milliseconds>(std::chrono::system_clock::now());
    save(kKeys / 40);
    (void)value_of(timeline.rollback(point));
    check(++rounds % 2 == 0 ? timeline.undo() : timeline.confirm());
    check(timeline.housekeep(true));
  });
  const TimelineStats stats = timeline.stats();
  Json json = {{"p999_quiet_ns", quiet.latencies.quantile(0.999)},
               {"p999_ns", busy.latencies.quantile(0.999)},
               {"p99_quiet_ns", quiet.latencies.quantile(0.99)},
               {"p99_ns", busy.latencies.quantile(0.99)},
               {"max_ns", busy.latencies.max()},
               {"lock_waits", quiet.lock_waits + busy.lock_waits},
               {"rollbacks", rounds},
               {"blocks_closed", stats.blocks_closed},
               {"blocks_expired", stats.blocks_expired},
               {"cycles", stats.cycles}};
  check(database.close());
  std::filesystem::remove_all(path);
  return json;
}

Json readers(const TimelineBench& bench) {
  std::printf("\n| one reader | p99 | p99.9 | longest | lock waits | beside it |\n|---|---|---|---|---|---|\n");
  const Json json = in_child([&] { return beside_jobs(bench).dump(); });
  const auto us = [&](const char* name) { return json[name].get<double>() / 1e3; };
  std::printf("| by itself | %.1f µs | %.1f µs | | | |\n", us("p99_quiet_ns"), us("p999_quiet_ns"));
  std::printf("| beside jobs | %.1f µs | %.1f µs | %.1f ms | %lu | %lu blocks closed, %lu expired, %lu cycles, %lu rollbacks |\n",
              us("p99_ns"), us("p999_ns"), us("max_ns") / 1e3, json["lock_waits"].get<std::uint64_t>(),
              json["blocks_closed"].get<std::uint64_t>(), json["blocks_expired"].get<std::uint64_t>(),
              json["cycles"].get<std::uint64_t>(), json["rollbacks"].get<std::uint64_t>());
  return json;
}

}  // namespace

std::string run(const TimelineBench& bench) {
  Json json;
  json["peers"] = peers(bench);
  json["blocks"] = few_and_many(bench);
  json["readers"] = readers(bench);
  return json.dump();
}

}  // namespace cairn::bench
