// The workloads. Each names, in what it returns, everything that was set.
#include "bench/table_bench.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bench/measure.h"

namespace cairn::bench {
namespace {

std::unique_ptr<Store> open_store(const TableBench& bench, const std::string& dir) {
  const std::uint64_t records = bench.workload == "append" ? 2 * bench.n : bench.n;
  const std::uint64_t data_bytes = records * (bench.value_bytes + bench.large_value_bytes / 100 + 64);
  const std::uint64_t cache_bytes_max = bench.memory_bytes == 0 ? data_bytes : bench.memory_bytes / 3;
  const StoreOptions options{.dir = dir,
                             .sync = bench.disk,
                             .lz4 = bench.compression == "lz4",
                             .data_bytes = data_bytes,
                             .cache_bytes = std::max<std::uint64_t>(std::min(data_bytes, cache_bytes_max), 64 << 20)};
  return engines().at(bench.engine)(options);
}

}  // namespace

const std::map<std::string, OpenStore>& engines() {
  static const std::map<std::string, OpenStore> all = {{"cairn", open_cairn},
                                                       {"cairn-timeline", open_cairn_timeline},
                                                       {"rocksdb", open_rocksdb},
                                                       {"leveldb", open_leveldb},
                                                       {"lmdb", open_lmdb},
                                                       {"wiredtiger", open_wiredtiger},
                                                       {"tkrzw-hash", open_tkrzw_hash},
                                                       {"tkrzw-tree", open_tkrzw_tree},
                                                       {"sqlite", open_sqlite}};
  return all;
}

void Store::ingest(std::uint64_t /*n*/, const Record& /*record*/) { give_up("this engine takes in no files"); }
void Store::open_table(std::uint64_t /*i*/) { give_up("this engine is not measured with many tables"); }

namespace {

/// One thread's part of a workload: operations from `first`, every `step`-th.
struct Worker {
  const TableBench& bench;
  const Values& values;
  const Shuffle& shuffle;
  std::unique_ptr<Session> session;
  Histogram latencies;
  std::uint64_t sum = 0;
  std::string key;
  std::string value;
  std::vector<std::pair<std::string, std::string>> entries;

  /// The i-th of 0 … n-1 in random order; keys that are random themselves are so in any.
  [[nodiscard]] std::uint64_t in_random_order(std::uint64_t i) const { return bench.keys == Keys::kRandom16 ? i : shuffle.at(i); }
};

/// Throughput of each tenth of n operations, which says whether it falls.
class Tenths {
 public:
  explicit Tenths(std::uint64_t n) : each_(std::max<std::uint64_t>(n / 10, 1)) {}
  void done(Clock::time_point now) {
    if (++count_ % each_ != 0) return;
    const double seconds = static_cast<double>(ns_between(begin_, now)) / 1e9;
    ops_per_s_.push_back(static_cast<std::uint64_t>(static_cast<double>(each_) / seconds));
    begin_ = now;
  }
  [[nodiscard]] const std::vector<std::uint64_t>& ops_per_s() const { return ops_per_s_; }

 private:
  const std::uint64_t each_;
  std::uint64_t count_ = 0;
  Clock::time_point begin_ = Clock::now();
  std::vector<std::uint64_t> ops_per_s_;
};

/// Does operation i of a workload; returns how many records it dealt with.
using Operation = std::function<std::uint64_t(Worker&, std::uint64_t)>;

class Run {
 public:
  explicit Run(const TableBench& bench)
      : bench_(bench),
        dir_(bench.dir + "/" + bench.engine),
        values_(bench.value_bytes, bench.large_value_bytes),
        shuffle_(bench.n) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  ~Run() {
    store_.reset();
    std::filesystem::remove_all(dir_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  nlohmann::ordered_json run() {
    figures_ = {{"engine", bench_.engine},   {"workload", bench_.workload},       {"n", bench_.n},
                {"threads", bench_.threads}, {"value_bytes", bench_.value_bytes}, {"batch", bench_.batch}};
    if (bench_.large_value_bytes != 0) figures_["large_value_bytes"] = bench_.large_value_bytes;
    if (bench_.rate != 0) figures_["rate"] = bench_.rate;
    figures_["keys"] = bench_.keys == Keys::kRandom16 ? "random16" : bench_.keys == Keys::kUser12 ? "user12" : "sequential";
    figures_["durability"] = bench_.disk ? "disk" : "kernel";
    figures_["compression"] = bench_.compression;
    if (bench_.workload == "reopen") {
      reopen();
    } else if (bench_.workload == "tables") {
      tables();
    } else {
      store_ = open_store(bench_, dir_);
      start();
    }
    return figures_;
  }

 private:
  void start() {
    const std::string& workload = bench_.workload;
    const Operation put_next = [](Worker& worker, std::uint64_t i) {
      return put(worker, i, [](std::uint64_t at) { return at; });
    };
    const Operation put_random = [](Worker& worker, std::uint64_t i) {
      return put(worker, i, [&](std::uint64_t at) { return worker.in_random_order(at); });
    };
    const Operation put_any = [](Worker& worker, std::uint64_t i) {
      return put(worker, i, [&](std::uint64_t at) { return mix(at) % worker.bench.n; });
    };
    const Operation put_same = [](Worker& worker, std::uint64_t i) {
      return put(worker, i, [](std::uint64_t /*at*/) { return std::uint64_t{0}; });
    };
    if (workload == "fillseq") return measure(put_next, bench_.n, bench_.threads);
    if (workload == "fillrandom" || workload == "fillsync") return measure(put_random, bench_.n, bench_.threads);
    if (workload == "ingest") return ingest();
    if (workload == "queue") return queue();
    if (workload == "append") return append();
    if (workload == "tombstones") return tombstones();
    if (workload == "growth") return growth();
    fill();
    if (workload == "readrandom" || workload == "readmissing" || workload == "seekrandom" || workload == "scan") open_again();
    if (workload == "hotkey") return measure(put_same, bench_.n, bench_.threads);
    if (workload == "heldscan") return held_scan(put_any);
    if (workload == "overwrite") return measure(put_any, bench_.n, bench_.threads);
    if (workload == "readrandom") return measure(&Run::get_random, bench_.n, bench_.threads);
    if (workload == "readmissing") return measure(&Run::get_missing, bench_.n, bench_.threads);
    if (workload == "seekrandom") return measure(&Run::seek_random, bench_.n, bench_.threads);
    if (workload == "scan") return measure(&Run::scan_all, bench_.threads, bench_.threads);
    if (workload == "readwhilewriting") return read_while_writing();
    give_up("no such workload: " + workload);
  }

  /// Writes the records that `id_of` puts in the places from `i` on, as many as a batch has.
  template <typename IdOf>
  static std::uint64_t put(Worker& worker, std::uint64_t i, IdOf id_of) {
    if (worker.bench.batch == 1) {
      const std::uint64_t id = id_of(i);
      key_of(worker.bench.keys, id, worker.key);
      worker.values.get(id, worker.value);
      worker.session->put(worker.key, worker.value);
      return 1;
    }
    worker.entries.resize(worker.bench.batch);
    for (std::uint64_t j = 0; j < worker.bench.batch; ++j) {
      const std::uint64_t id = id_of(i + j);
      key_of(worker.bench.keys, id, worker.entries[j].first);
      worker.values.get(id, worker.entries[j].second);
    }
    worker.session->put_all(worker.entries);
    return worker.bench.batch;
  }
  static std::uint64_t get_random(Worker& worker, std::uint64_t i) {
    key_of(worker.bench.keys, mix(i + 7) % worker.bench.n, worker.key);
    if (!worker.session->get(worker.key, worker.sum)) give_up("a key that was written is not found");
    return 1;
  }
  static std::uint64_t get_missing(Worker& worker, std::uint64_t i) {
    key_of(worker.bench.keys, worker.bench.n + i, worker.key);
    if (worker.session->get(worker.key, worker.sum)) give_up("a key that was never written was found");
    return 1;
  }
  static std::uint64_t seek_random(Worker& worker, std::uint64_t i) {
    key_of(worker.bench.keys, mix(i + 7) % worker.bench.n, worker.key);
    if (worker.session->walk(worker.key, 11, worker.sum, nullptr) == 0) give_up("a walk from a key that is there found nothing");
    return 1;
  }
  static std::uint64_t scan_all(Worker& worker, std::uint64_t /*i*/) {
    const std::uint64_t count = worker.session->walk({}, 0, worker.sum, nullptr);
    if (count != worker.bench.n) give_up("a scan found " + std::to_string(count) + " records");
    return count;
  }

  void fill() {
    TableBench untimed = bench_;
    untimed.batch = 1;
    Worker worker{.bench = untimed, .values = values_, .shuffle = shuffle_, .session = store_->session()};
    for (std::uint64_t i = 0; i < bench_.n; ++i) put(worker, i, [&](std::uint64_t at) { return worker.in_random_order(at); });
    if (bench_.settled) store_->settle();
  }

  static Clock::time_point wait_until(Clock::time_point due) {
    constexpr std::chrono::microseconds kWakesLate(100);
    if (due - Clock::now() > kWakesLate) std::this_thread::sleep_until(due - kWakesLate);
    while (Clock::now() < due) {
    }
    return due;
  }

  /// Operations 0 … count-1 on `threads` threads, each latency taken. Returns the records dealt with and the seconds.
  std::pair<std::uint64_t, double> timed(const Operation& operation, std::uint64_t count, unsigned threads, Histogram& latencies,
                                         const std::atomic<bool>* stop) {
    std::atomic<std::uint64_t> records{0};
    std::atomic<std::uint64_t> sum{0};
    std::vector<std::thread> running;
    std::vector<Histogram> parts(threads);
    const auto begin = Clock::now();
    const double seconds_max = bench_.seconds == 0 ? 1e18 : bench_.seconds;
    for (unsigned t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        Worker worker{.bench = bench_, .values = values_, .shuffle = shuffle_, .session = store_->session()};
        std::uint64_t mine = 0;
        auto before = Clock::now();
        for (std::uint64_t i = t * bench_.batch; i < count; i += threads * bench_.batch) {
          if (bench_.rate != 0) before = wait_until(begin + std::chrono::nanoseconds(i * 1'000'000'000 / bench_.rate));
          mine += operation(worker, i);
          const auto now = Clock::now();
          worker.latencies.add(ns_between(before, now));
          before = now;
          if (stop != nullptr && stop->load(std::memory_order_relaxed)) break;
          if (static_cast<double>(ns_between(begin, now)) > seconds_max * 1e9) break;
        }
        parts[t] = worker.latencies;
        records += mine;
        sum += worker.sum;
      });
    }
    for (std::thread& thread : running) thread.join();
    for (const Histogram& part : parts) latencies.add(part);
    figures_["read_sum"] = sum.load();
    return {records.load(), static_cast<double>(ns_between(begin, Clock::now())) / 1e9};
  }

  /// What is reported counts from here.
  void begin_measuring() {
    reset_peak_rss();
    written_before_ = written_bytes();
    cpu_before_ = cpu_seconds();
  }

  void measure(const Operation& operation, std::uint64_t count, unsigned threads) {
    Histogram latencies;
    begin_measuring();
    const auto [records, seconds] =
        timed(operation, bench_.seconds == 0 ? count : ~std::uint64_t{0}, threads, latencies, nullptr);
    report(records, seconds, cpu_seconds() - cpu_before_, latencies);
  }

  void report(std::uint64_t records, double seconds, double cpu, const Histogram& latencies) {
    figures_["records"] = records;
    figures_["ops_per_s"] = static_cast<std::uint64_t>(static_cast<double>(records) / seconds);
    figures_["p50_ns"] = latencies.quantile(0.5);
    figures_["p99_ns"] = latencies.quantile(0.99);
    figures_["p999_ns"] = latencies.quantile(0.999);
    figures_["max_ns"] = latencies.max();
    figures_["wall_s"] = seconds;
    figures_["cpu_s"] = cpu;
    figures_["peak_rss_bytes"] = status_bytes("VmHWM");
    figures_["anonymous_bytes"] = status_bytes("RssAnon");  // Without pages of mapped files.
    if (store_) {
      if (!store_->promise().empty()) figures_["promise"] = store_->promise();
      if (bench_.settled && bench_.workload.starts_with("fill")) store_->settle();
    }
    store_.reset();
    figures_["disk_bytes"] = disk_bytes(dir_);
    figures_["written_bytes"] = written_bytes() - written_before_;
  }

  void read_while_writing() {
    std::atomic<bool> stop{false};
    std::uint64_t writes = 0;
    Histogram write_latencies;
    begin_measuring();
    std::thread writer([&] {
      Worker worker{.bench = bench_, .values = values_, .shuffle = shuffle_, .session = store_->session()};
      auto before = Clock::now();
      for (std::uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        writes += put(worker, i, [&](std::uint64_t at) { return mix(at) % bench_.n; });
        const auto now = Clock::now();
        write_latencies.add(ns_between(before, now));
        before = now;
      }
    });
    Histogram latencies;
    const auto [records, seconds] = timed(&Run::get_random, bench_.n, bench_.threads, latencies, nullptr);
    stop = true;
    writer.join();
    figures_["writes_per_s"] = static_cast<std::uint64_t>(static_cast<double>(writes) / seconds);
    figures_["write_p999_ns"] = write_latencies.quantile(0.999);
    figures_["write_max_ns"] = write_latencies.max();
    report(records, seconds, cpu_seconds() - cpu_before_, latencies);
  }

  /// What is read was not written in this life of the process, so to speak.
  void open_again() {
    store_.reset();
    store_ = open_store(bench_, dir_);
  }

  /// Fills, and then reads and walks for --seconds each: three figures for one fill, which may take long.
  void growth() {
    if (bench_.seconds == 0) give_up("growth wants --seconds");
    begin_measuring();
    const auto begin = Clock::now();
    fill();
    figures_["fill_ops_per_s"] = bench_.n * 1'000'000'000 / ns_between(begin, Clock::now());
    open_again();
    Histogram latencies;
    const auto [gets, get_seconds] = timed(&Run::get_random, ~std::uint64_t{0}, 1, latencies, nullptr);
    figures_["get_ops_per_s"] = static_cast<std::uint64_t>(static_cast<double>(gets) / get_seconds);
    const auto [seeks, seek_seconds] = timed(&Run::seek_random, ~std::uint64_t{0}, 1, latencies, nullptr);
    figures_["seek_ops_per_s"] = static_cast<std::uint64_t>(static_cast<double>(seeks) / seek_seconds);
    report(gets + seeks, get_seconds + seek_seconds, cpu_seconds() - cpu_before_, latencies);
  }

  /// Fills in order of key, and then goes on with as many keys behind them.
  void append() {
    Worker worker{.bench = bench_, .values = values_, .shuffle = shuffle_, .session = store_->session()};
    for (std::uint64_t i = 0; i < bench_.n; i += bench_.batch) put(worker, i, [](std::uint64_t at) { return at; });
    worker.session.reset();
    const Operation put_behind = [this](Worker& by, std::uint64_t i) {
      return put(by, i, [this](std::uint64_t at) { return bench_.n + at; });
    };
    measure(put_behind, bench_.n, bench_.threads);
  }

  /// Writes while a walk, which takes an entry each millisecond, stands open.
  void held_scan(const Operation& write) {
    std::atomic<bool> stop{false};
    std::thread walker([&] {
      std::uint64_t sum = 0;
      const Session::Visit slowly = [&](std::string_view /*key*/) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return !stop.load();
      };
      store_->session()->walk({}, 0, sum, &slowly);
    });
    Histogram latencies;
    begin_measuring();
    const auto [records, seconds] =
        timed(write, bench_.seconds == 0 ? bench_.n : ~std::uint64_t{0}, bench_.threads, latencies, nullptr);
    figures_["disk_bytes_held"] = disk_bytes(dir_);
    stop = true;
    walker.join();
    report(records, seconds, cpu_seconds() - cpu_before_, latencies);
  }

  /// Inserts at one end; finds the first with a walk and erases it at the other. A tenth of n waits in it at any time. An
  /// operation is one of the two.
  void queue() {
    Worker worker{.bench = bench_, .values = values_, .shuffle = shuffle_, .session = store_->session()};
    Histogram latencies;
    Tenths tenths(bench_.n);
    const std::uint64_t waiting = std::min<std::uint64_t>(bench_.n / 10, 1000);
    begin_measuring();
    const auto begin = Clock::now();
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    std::string first;
    const Session::Visit take_first = [&](std::string_view key) {
      first = key;
      return true;
    };
    std::uint64_t done = 0;
    for (; done < bench_.n; ++done) {
      const auto before = Clock::now();
      if (bench_.seconds != 0 && static_cast<double>(ns_between(begin, before)) > bench_.seconds * 1e9) break;
      if (in - out < waiting || done % 2 == 0) {
        key_of(Keys::kSequential, in, worker.key);
        values_.get(in++, worker.value);
        worker.session->put(worker.key, worker.value);
      } else {
        key_of(Keys::kSequential, out++, worker.key);
        if (worker.session->walk({}, 1, worker.sum, &take_first) != 1 || first != worker.key) give_up("the queue lost its head");
        worker.session->erase(first);
      }
      const auto after = Clock::now();
      latencies.add(ns_between(before, after));
      tenths.done(after);
    }
    figures_["tenths_ops_per_s"] = tenths.ops_per_s();
    const double seconds = static_cast<double>(ns_between(begin, Clock::now())) / 1e9;
    worker.session.reset();
    report(done, seconds, cpu_seconds() - cpu_before_, latencies);
  }

  /// Erases all but the last of n records; an operation is a walk from the first key to the one that is left.
  void tombstones() {
    fill();
    Worker worker{.bench = bench_, .values = values_, .shuffle = shuffle_, .session = store_->session()};
    std::string last;
    for (std::uint64_t i = 0; i < bench_.n; ++i) {
      key_of(bench_.keys, i, worker.key);
      last = std::max(last, worker.key);
    }
    for (std::uint64_t i = 0; i < bench_.n; ++i) {
      key_of(bench_.keys, i, worker.key);
      if (worker.key != last) worker.session->erase(worker.key);
    }
    worker.session.reset();
    const Operation seek = [&](Worker& walker, std::uint64_t /*i*/) {
      const Session::Visit take_first = [&](std::string_view key) {
        walker.key = key;
        return true;
      };
      if (walker.session->walk({}, 1, walker.sum, &take_first) != 1 || walker.key != last) give_up("the wrong record is left");
      return std::uint64_t{1};
    };
    measure(seek, 1000, bench_.threads);
  }

  /// Makes a file of n records in order of key and takes it in. One operation, so its latency is the whole.
  void ingest() {
    const Operation all = [this](Worker& worker, std::uint64_t /*i*/) {
      store_->ingest(bench_.n, [&](std::uint64_t i, std::string& key, std::string& value) {
        key_of(Keys::kSequential, i, key);
        worker.values.get(i, value);
      });
      return bench_.n;
    };
    measure(all, 1, 1);
  }

  /// Makes n tables in one store, closes it, and opens them all: an operation is the opening of one.
  void tables() {
    store_ = open_store(bench_, dir_);
    const auto begin = Clock::now();
    for (std::uint64_t i = 0; i < bench_.n; ++i) store_->open_table(i);
    figures_["make_us_mean"] = ns_between(begin, Clock::now()) / 1000 / bench_.n;
    store_.reset();
    store_ = open_store(bench_, dir_);
    begin_measuring();
    Histogram latencies;
    const auto [records, seconds] = timed(
        [this](Worker& /*worker*/, std::uint64_t i) {
          store_->open_table(i);
          return std::uint64_t{1};
        },
        bench_.n, 1, latencies, nullptr);
    figures_["open_threads"] = status_number("Threads");
    report(records, seconds, cpu_seconds() - cpu_before_, latencies);
  }

  /// Fills in a child that is killed, then opens: an operation is the open and the first read. Counts what was lost.
  void reopen() {
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0) give_up("no pipe");
    const pid_t child = fork();
    if (child == 0) {
      store_ = open_store(bench_, dir_);
      fill();
      const char done = 1;
      if (write(pipe_ends[1], &done, 1) != 1) _exit(1);
      pause();
    }
    char done = 0;
    close(pipe_ends[1]);
    if (read(pipe_ends[0], &done, 1) != 1) give_up("the child could not fill");
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    Histogram latencies;
    begin_measuring();
    const auto begin = Clock::now();
    store_ = open_store(bench_, dir_);
    std::unique_ptr<Session> session = store_->session();
    std::string key;
    std::uint64_t sum = 0;
    key_of(bench_.keys, 0, key);
    session->get(key, sum);
    const std::uint64_t ns = ns_between(begin, Clock::now());
    latencies.add(ns);
    const double cpu_used = cpu_seconds() - cpu_before_;
    std::uint64_t lost = 0;
    for (std::uint64_t i = 0; i < bench_.n; ++i) {
      key_of(bench_.keys, i, key);
      lost += session->get(key, sum) ? 0 : 1;
    }
    session.reset();
    figures_["lost"] = lost;
    figures_["open_ms"] = static_cast<double>(ns) / 1e6;
    report(1, static_cast<double>(ns) / 1e9, cpu_used, latencies);
  }

  const TableBench& bench_;
  const std::string dir_;
  const Values values_;
  const Shuffle shuffle_;
  std::unique_ptr<Store> store_;
  std::uint64_t written_before_ = 0;
  double cpu_before_ = 0;
  nlohmann::ordered_json figures_;
};

}  // namespace

std::string run(const TableBench& bench) { return Run(bench).run().dump(); }

}  // namespace cairn::bench
