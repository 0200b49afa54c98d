// A fork store as a store of accounts: appends beside a copy into a mapped file, stores and loads beside RocksDB and LMDB,
// recovery, and what is written and kept under updates.
#include "bench/forks_store_bench.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <numeric>
#include <thread>

#include "base/random.h"
#include "bench/account_key.h"
#include "bench/engine.h"
#include "bench/measure.h"
#include "bench/value_of.h"
#include "cairn/cairn.h"
#include "database/database_impl.h"
#include "forks/record_key.h"
#include "segment/record.h"
#include "storage/posix_storage.h"

namespace cairn::bench {
namespace {

constexpr std::size_t kBatch = 1000;
constexpr std::size_t kLoadedTogether = 16;
using Key = AccountKey;

/// What one thread reads from a store of accounts with.
class Reader {
 public:
  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  virtual ~Reader() = default;
  virtual void load_each(std::span<const Key> keys, std::uint64_t& sum) = 0;
  /// Several at once, where the store can.
  virtual void load_together(std::span<const Key> keys, std::uint64_t& sum) { load_each(keys, sum); }
};

/// What a store of accounts is asked for.
class Accounts {
 public:
  Accounts() = default;
  Accounts(const Accounts&) = delete;
  Accounts& operator=(const Accounts&) = delete;
  virtual ~Accounts() = default;
  virtual void store_all(std::span<const Key> keys, std::string_view value) = 0;
  virtual std::unique_ptr<Reader> reader() = 0;
  virtual void settle() {}
};

class OurReader final : public Reader {
 public:
  explicit OurReader(ForkStore store) : store_(std::move(store)) {}
  void load_each(std::span<const Key> keys, std::uint64_t& sum) override {
    for (const Key& key : keys) sum += sum_of(value_of(store_.load(0, view(key)))->view());
  }
  void load_together(std::span<const Key> keys, std::uint64_t& sum) override {
    for (std::size_t i = 0; i < keys.size(); i += kLoadedTogether) {
      std::array<ByteView, kLoadedTogether> views;
      const std::size_t count = std::min(kLoadedTogether, keys.size() - i);
      for (std::size_t j = 0; j < count; ++j) views[j] = view(keys[i + j]);
      for (const auto& value : value_of(store_.load_many(0, {views.data(), count}))) sum += sum_of(value->view());
    }
  }

 private:
  ForkStore store_;
};

class OurAccounts final : public Accounts {
 public:
  explicit OurAccounts(const std::string& dir)
      : database_(value_of(Database::open(dir, {.create_if_missing = true}))), store_(value_of(database_.forks("main"))) {}
  void store_all(std::span<const Key> keys, std::string_view value) override {
    batch_.clear();
    for (const Key& key : keys) batch_.push_back({.key = view(key), .value = value});
    value_of(store_.store(0, batch_, {.durability = Durability::kKernel}));
  }
  std::unique_ptr<Reader> reader() override { return std::make_unique<OurReader>(store_); }

 private:
  Database database_;
  ForkStore store_;
  std::vector<AccountUpdate> batch_;
};

class PeerReader final : public Reader {
 public:
  explicit PeerReader(std::unique_ptr<Session> session) : session_(std::move(session)) {}
  void load_each(std::span<const Key> keys, std::uint64_t& sum) override {
    for (const Key& key : keys) {
      if (!session_->get(view(key), sum)) give_up("an account is not there");
    }
  }

 private:
  std::unique_ptr<Session> session_;
};

class PeerAccounts final : public Accounts {
 public:
  explicit PeerAccounts(std::unique_ptr<Store> store) : store_(std::move(store)), session_(store_->session()) {}
  void store_all(std::span<const Key> keys, std::string_view value) override {
    entries_.clear();
    for (const Key& key : keys) entries_.emplace_back(view(key), value);
    session_->put_all(entries_);
  }
  std::unique_ptr<Reader> reader() override { return std::make_unique<PeerReader>(store_->session()); }
  void settle() override { store_->settle(); }

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<Session> session_;
  std::vector<std::pair<std::string, std::string>> entries_;
};

std::unique_ptr<Accounts> open_accounts(const std::string& name, const std::string& dir, std::uint64_t bytes) {
  if (name == "cairn") return std::make_unique<OurAccounts>(dir);
  const StoreOptions options{.dir = dir, .data_bytes = bytes, .cache_bytes = 2 * bytes};
  return std::make_unique<PeerAccounts>(name == "rocksdb" ? open_rocksdb(options) : open_lmdb(options));
}

double per_second(std::uint64_t count, Clock::time_point from) {
  return static_cast<double>(count) * 1e9 / static_cast<double>(ns_between(from, Clock::now()));
}

void fresh(const std::string& dir) {
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
}

struct Loading {
  unsigned threads;
  bool together;
};

/// How many accounts a second are loaded, by all threads; making keys is not counted.
double load_all(Accounts& accounts, std::uint64_t count, std::uint64_t seed, const Loading& how) {
  std::vector<double> rates(how.threads);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < how.threads; ++t) {
    threads.emplace_back([&, t] {
      const std::unique_ptr<Reader> reader = accounts.reader();
      std::vector<Key> keys(kBatch);
      std::uint64_t sum = 0;
      std::uint64_t spent_ns = 0;
      for (std::uint64_t i = 0; i < count; i += kBatch) {
        for (std::size_t j = 0; j < kBatch; ++j) keys[j] = account_key(mix(i + j + seed + (std::uint64_t{t} << 40U)) % count);
        const auto begin = Clock::now();
        how.together ? reader->load_together(keys, sum) : reader->load_each(keys, sum);
        spent_ns += ns_between(begin, Clock::now());
      }
      if (sum == 0) give_up("nothing was read");
      rates[t] = static_cast<double>(count) * 1e9 / static_cast<double>(spent_ns);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

/// Accounts stored in a random order, overwritten, and loaded one by one and together.
nlohmann::ordered_json store_and_load(const ForksStoreBench& bench, const std::string& name) {
  return in_child([&]() -> std::string {
    fresh(bench.dir);
    nlohmann::ordered_json json;
    const std::string value(bench.value_bytes, 'v');
    {
      const auto accounts = open_accounts(name, bench.dir, bench.accounts * (bench.value_bytes + 64));
      std::vector<Key> keys(kBatch);
      const auto store_all = [&](std::uint64_t seed) {
        std::uint64_t spent_ns = 0;
        for (std::uint64_t i = 0; i < bench.accounts; i += kBatch) {
          for (std::size_t j = 0; j < kBatch; ++j) {
            keys[j] = account_key(seed == 0 ? i + j : mix(i + j + seed) % bench.accounts);
          }
          const auto begin = Clock::now();
          accounts->store_all(keys, value);
          spent_ns += ns_between(begin, Clock::now());
        }
        return static_cast<double>(bench.accounts) * 1e9 / static_cast<double>(spent_ns);
      };
      json["new_per_s"] = store_all(0);
      json["updates_per_s"] = store_all(1);
      accounts->settle();
      (void)load_all(*accounts, bench.accounts, 2, {.threads = 1, .together = false});  // Everything is in memory then.
      json["loads_per_s"] = load_all(*accounts, bench.accounts, 3, {.threads = 1, .together = false});
      json["together_per_s"] = load_all(*accounts, bench.accounts, 4, {.threads = 1, .together = true});
      json["loads_by_two_per_s"] = load_all(*accounts, bench.accounts, 5, {.threads = 2, .together = false});
      json["together_by_two_per_s"] = load_all(*accounts, bench.accounts, 6, {.threads = 2, .together = true});
    }
    std::filesystem::remove_all(bench.dir);
    return json.dump();
  });
}

/// Bytes a second into a mapped file whose room is allocated, by memcpy; and into a fork store.
nlohmann::ordered_json append(const ForksStoreBench& bench, std::uint64_t value_bytes, bool ours) {
  return in_child([&]() -> std::string {
    fresh(bench.dir);
    const std::uint64_t total = bench.append_bytes;
    const std::uint64_t count = total / value_bytes;
    const std::string value(value_bytes, 'v');
    double rate = 0;
    if (ours) {
      OurAccounts accounts(bench.dir);
      std::vector<Key> keys(std::max<std::uint64_t>(1, 256 * kKiB / value_bytes));
      std::uint64_t spent_ns = 0;
      for (std::uint64_t i = 0; i < count; i += keys.size()) {
        for (std::size_t j = 0; j < keys.size(); ++j) keys[j] = account_key(i + j);
        const auto begin = Clock::now();
        accounts.store_all(keys, value);
        spent_ns += ns_between(begin, Clock::now());
      }
      rate = static_cast<double>(count * value_bytes) * 1e9 / static_cast<double>(spent_ns);
    } else {
      const std::string path = bench.dir + "/mapped";
      const int fd = open(path.c_str(), O_RDWR | O_CREAT, 0644);
      if (fd < 0 || posix_fallocate(fd, 0, static_cast<off_t>(total)) != 0) give_up("no room for a mapped file");
      auto* const map = static_cast<char*>(mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
      if (map == MAP_FAILED) give_up("no map");
      const auto begin = Clock::now();
      for (std::uint64_t i = 0; i < count; ++i) std::memcpy(map + i * value_bytes, value.data(), value_bytes);
      rate = per_second(count * value_bytes, begin);
      munmap(map, total);
      close(fd);
    }
    std::filesystem::remove_all(bench.dir);
    return nlohmann::ordered_json{{"bytes_per_s", rate}}.dump();
  });
}

/// What ten rounds of updates that prefer some accounts write, and keep at most.
void update_some_more(const ForksStoreBench& bench, ForkStore& store, nlohmann::ordered_json& json) {
  const std::string value(bench.value_bytes, 'v');
  std::vector<Key> keys(kBatch);
  // Zipf with exponent 1, by inversion of its integral.
  Random random(1);
  const double log_n = std::log(static_cast<double>(bench.accounts));
  std::vector<AccountUpdate> batch;
  const std::uint64_t live_bytes = bench.accounts * segment::record_bytes(forks::kRecordKeyBytes, bench.value_bytes);
  std::uint64_t most_bytes = 0;
  for (std::uint64_t i = 0; i < 10 * bench.accounts; i += kBatch) {
    if (i % (bench.accounts / 20 / kBatch * kBatch) == 0) most_bytes = std::max(most_bytes, store.stats().segment_bytes);
    batch.clear();
    for (std::size_t j = 0; j < kBatch; ++j) {
      const double share = static_cast<double>(random.below(1U << 30U)) / (1U << 30U);
      keys[j] = account_key(static_cast<std::uint64_t>(std::exp(share * log_n)) % bench.accounts);
      batch.push_back({.key = view(keys[j]), .value = value});
    }
    value_of(store.store(0, batch, {.durability = Durability::kKernel}));
  }
  const ForkStoreStats stats = store.stats();
  json["most_space_over_live"] = static_cast<double>(most_bytes) / static_cast<double>(live_bytes);
  json["bound_over_live"] = 2 + static_cast<double>(forks::Tuning().slack_bytes) / static_cast<double>(live_bytes);
  json["written_over_stored"] =
      static_cast<double>(stats.log_bytes + stats.moved_bytes) / static_cast<double>(stats.written_bytes);
}

/// How many accounts a second an open finds, page cache warm; then updates.
nlohmann::ordered_json reopen_and_update(const ForksStoreBench& bench) {
  return in_child([&]() -> std::string {
    fresh(bench.dir);
    const std::string value(bench.value_bytes, 'v');
    std::vector<Key> keys(kBatch);
    {
      forks::Tuning unsealed;
      unsealed.unsealed_bytes_max = ~std::uint64_t{0};
      unsealed.unsealed_at_close_max = ~std::size_t{0};
      auto impl = value_of(database::DatabaseImpl::open(value_of(storage::PosixStorage::open(bench.dir, true)),
                                                        directory::Environment::process(), database::DatabaseImpl::Mode::kCreate,
                                                        {}, {}, {}, unsealed));
      ForkStore store(value_of(impl->forks("main", {})));
      for (std::uint64_t i = 0; i < bench.accounts; i += kBatch) {
        std::vector<AccountUpdate> batch;
        for (std::size_t j = 0; j < kBatch; ++j) {
          keys[j] = account_key(i + j);
          batch.push_back({.key = view(keys[j]), .value = value});
        }
        value_of(store.store(0, batch, {.durability = Durability::kKernel}));
      }
      check(impl->close());
    }
    nlohmann::ordered_json json;
    {
      const double cpu_before = cpu_seconds();
      const auto begin = Clock::now();
      Database database = value_of(Database::open(bench.dir));
      value_of(database.forks("main"));
      json["open_s"] = static_cast<double>(ns_between(begin, Clock::now())) / 1e9;
      json["recovered_per_cpu_s"] = static_cast<double>(bench.accounts) / (cpu_seconds() - cpu_before);
      check(database.close());  // Which seals the index.
    }
    const auto begin = Clock::now();
    Database database = value_of(Database::open(bench.dir));
    ForkStore store = value_of(database.forks("main"));
    json["sealed_open_s"] = static_cast<double>(ns_between(begin, Clock::now())) / 1e9;
    update_some_more(bench, store, json);
    check(database.close());
    std::filesystem::remove_all(bench.dir);
    return json.dump();
  });
}

/// Medians and spreads of what `once` returns in several rounds, of each of `names`, which take turns.
using Table = std::map<std::string, std::map<std::string, Figures>>;
Table in_turns(const ForksStoreBench& bench, const std::vector<std::string>& names,
               const std::function<nlohmann::ordered_json(const std::string&)>& once) {
  Table table;
  for (unsigned round = 0; round < bench.rounds; ++round) {
    for (const std::string& name : names) {
      const nlohmann::ordered_json one = once(name);
      for (const auto& [what, figure] : one.items()) table[name][what].all.push_back(figure);
    }
  }
  return table;
}

nlohmann::ordered_json to_json(const Table& table) {
  nlohmann::ordered_json json;
  for (const auto& [name, figures] : table) {
    for (const auto& [what, figure] : figures) {
      json[name][what] = {{"median", figure.median()}, {"spread", figure.spread()}};
    }
  }
  return json;
}

}  // namespace

nlohmann::ordered_json run(const ForksStoreBench& bench) {
  nlohmann::ordered_json json;
  std::printf("\n| bytes of an account | memcpy into a mapped file, GB/s | store, GB/s | ratio |\n|---|---|---|---|\n");
  for (const std::uint64_t value_bytes : {std::uint64_t{4096}, std::uint64_t{200}}) {
    const Table table = in_turns(bench, {"memcpy", "cairn"},
                                 [&](const std::string& name) { return append(bench, value_bytes, name == "cairn"); });
    const Figures& copy = table.at("memcpy").at("bytes_per_s");
    const Figures& ours = table.at("cairn").at("bytes_per_s");
    std::printf("| %lu | %.2f ±%.0f %% | %.2f ±%.0f %% | %.2f |\n", value_bytes, copy.median() / 1e9, copy.spread() * 50,
                ours.median() / 1e9, ours.spread() * 50, ours.median() / copy.median());
    std::fflush(stdout);
    json["append_" + std::to_string(value_bytes)] = to_json(table);
  }
  std::printf(
      "\n| store | new accounts, k/s | updates, k/s | loads, k/s | 16 at a time, k/s | loads by two threads, k/s | 16 at a time, "
      "k/s "
      "|\n|---|---|---|---|---|---|---|\n");
  const Table stores =
      in_turns(bench, {"cairn", "rocksdb", "lmdb"}, [&](const std::string& name) { return store_and_load(bench, name); });
  for (const std::string name : {"cairn", "rocksdb", "lmdb"}) {
    const auto& of = stores.at(name);
    std::printf("| %s | %.0f ±%.0f %% | %.0f ±%.0f %% | %.0f ±%.0f %% | %.0f | %.0f | %.0f |\n", name.c_str(),
                of.at("new_per_s").median() / 1e3, of.at("new_per_s").spread() * 50, of.at("updates_per_s").median() / 1e3,
                of.at("updates_per_s").spread() * 50, of.at("loads_per_s").median() / 1e3, of.at("loads_per_s").spread() * 50,
                of.at("together_per_s").median() / 1e3, of.at("loads_by_two_per_s").median() / 1e3,
                of.at("together_by_two_per_s").median() / 1e3);
  }
  std::fflush(stdout);
  json["stores"] = to_json(stores);
  const Table care = in_turns(bench, {"cairn"}, [&](const std::string&) { return reopen_and_update(bench); });
  const auto& of = care.at("cairn");
  std::printf(
      "\nopen: %.2f s, %.2f M accounts a second and core; from a sealed index %.3f s; in ten rounds of Zipf updates at most %.2f "
      "of "
      "what is live was kept (bound: %.2f and what takes records), and %.2f of what was stored was written\n",
      of.at("open_s").median(), of.at("recovered_per_cpu_s").median() / 1e6, of.at("sealed_open_s").median(),
      of.at("most_space_over_live").median(), of.at("bound_over_live").median(), of.at("written_over_stored").median());
  json["care"] = to_json(care);
  return json;
}

}  // namespace cairn::bench
