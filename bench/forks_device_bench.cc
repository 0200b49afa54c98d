// A fork store whose accounts do not fit into memory, by 1 to 32 threads: loads one by one and many at once, which read mapped
// files, beside asynchronous reads of the same files past the page cache; and stores.
#include "bench/forks_device_bench.h"

#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "bench/account_key.h"
#include "bench/measure.h"
#include "bench/value_of.h"
#include "cairn/cairn.h"

namespace cairn::bench {
namespace {

constexpr std::size_t kTogether = 16;
constexpr std::size_t kStoredTogether = 100;
constexpr std::uint64_t kPageBytes = 4096;

/// What the device below `dir` has done so far, by /sys/block/DEVICE/stat.
struct Device {
  std::uint64_t reads = 0;
  std::uint64_t read_sectors = 0;
  std::uint64_t written_sectors = 0;
  std::uint64_t waited_ms = 0;  // By all requests together.
};
Device device_of(const std::string& dir) {
  struct stat info{};
  if (stat(dir.c_str(), &info) != 0) give_up("no " + dir);
  std::ifstream file("/sys/dev/block/" + std::to_string(major(info.st_dev)) + ":" + std::to_string(minor(info.st_dev)) + "/stat");
  std::array<std::uint64_t, 11> numbers{};
  for (std::uint64_t& number : numbers) file >> number;
  return {.reads = numbers[0], .read_sectors = numbers[2], .written_sectors = numbers[6], .waited_ms = numbers[10]};
}

void fill(const ForksDeviceBench& bench, std::uint64_t accounts) {
  std::filesystem::remove_all(bench.dir);
  std::filesystem::create_directories(bench.dir);
  Database database = value_of(Database::open(bench.dir, {.create_if_missing = true}));
  ForkStore store = value_of(database.forks("main"));
  const std::string value(bench.value_bytes, 'v');
  std::vector<AccountKey> keys(1000);
  std::vector<AccountUpdate> batch;
  for (std::uint64_t i = 0; i < accounts; i += keys.size()) {
    batch.clear();
    for (std::size_t j = 0; j < keys.size(); ++j) {
      keys[j] = account_key(i + j);
      batch.push_back({.key = view(keys[j]), .value = value});
    }
    value_of(store.store(0, batch, {.durability = Durability::kKernel}));
  }
  check(database.close());
}

void drop_from_cache(const std::string& dir) {
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const int fd = open(entry.path().c_str(), O_RDONLY);
    if (fd < 0 || fsync(fd) != 0) give_up("no " + entry.path().string());
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

/// One thread's work: a step does some operations and says how many.
using Step = std::function<std::uint64_t()>;

Step loads(const ForkStore& store, std::uint64_t accounts, std::uint64_t seed, std::size_t together) {
  return [&store, accounts, seed, together, i = std::uint64_t{0}, sum = std::uint64_t{0}]() mutable -> std::uint64_t {
    std::array<AccountKey, kTogether> keys;
    std::array<ByteView, kTogether> views;
    for (std::size_t j = 0; j < together; ++j) {
      keys[j] = account_key(mix(seed + i++) % accounts);
      views[j] = view(keys[j]);
    }
    if (together == 1) {
      sum += sum_of(value_of(store.load(0, views[0]))->view());
    } else {
      for (const auto& value : value_of(store.load_many(0, {views.data(), together}))) sum += sum_of(value->view());
    }
    return together;
  };
}

Step stores(ForkWriter writer, std::uint64_t accounts, std::uint64_t seed, std::uint64_t value_bytes) {
  auto shared = std::make_shared<ForkWriter>(std::move(writer));
  return [shared, accounts, seed, value = std::string(value_bytes, 'w'), i = std::uint64_t{0}]() mutable -> std::uint64_t {
    std::array<AccountKey, kStoredTogether> keys;
    std::vector<AccountUpdate> batch;
    for (AccountKey& key : keys) {
      key = account_key(mix(seed + i++) % accounts);
      batch.push_back({.key = view(key), .value = value});
    }
    value_of(shared->store(0, batch, {.durability = Durability::kKernel}));
    return batch.size();
  };
}

/// Pages of the store's segments at random, many at once, past the cache: what the device can do.
class AsyncReads {
 public:
  explicit AsyncReads(const std::string& dir, std::uint64_t seed) : seed_(seed) {
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (entry.path().extension() != ".segment") continue;
      const int fd = open(entry.path().c_str(), O_RDONLY | O_DIRECT);
      if (fd < 0) give_up("no " + entry.path().string());
      files_.push_back({fd, entry.file_size() / kPageBytes});
      pages_ += files_.back().pages;
    }
    if (io_uring_queue_init(kTogether, &ring_, 0) != 0) give_up("no io_uring");
    buffers_ = static_cast<char*>(std::aligned_alloc(kPageBytes, kTogether * kPageBytes));
  }
  ~AsyncReads() {
    io_uring_queue_exit(&ring_);
    for (const File& file : files_) close(file.fd);
    std::free(buffers_);
  }
  AsyncReads(const AsyncReads&) = delete;
  AsyncReads& operator=(const AsyncReads&) = delete;

  std::uint64_t step() {
    for (std::size_t j = 0; j < kTogether; ++j) {
      std::uint64_t page = mix(seed_++) % pages_;
      std::size_t file = 0;
      while (page >= files_[file].pages) page -= files_[file++].pages;
      io_uring_prep_read(io_uring_get_sqe(&ring_), files_[file].fd, buffers_ + j * kPageBytes, kPageBytes, page * kPageBytes);
    }
    if (io_uring_submit_and_wait(&ring_, kTogether) < 0) give_up("io_uring");
    for (std::size_t j = 0; j < kTogether; ++j) {
      io_uring_cqe* done = nullptr;
      if (io_uring_wait_cqe(&ring_, &done) != 0 || done->res < 0) give_up("a read failed");
      io_uring_cqe_seen(&ring_, done);
    }
    return kTogether;
  }

 private:
  struct File {
    int fd;
    std::uint64_t pages;
  };
  std::vector<File> files_;
  std::uint64_t pages_ = 0;
  std::uint64_t seed_;
  io_uring ring_{};
  char* buffers_ = nullptr;
};

/// One figure: `threads` of them, for some seconds.
nlohmann::ordered_json measure(const ForksDeviceBench& bench, std::uint64_t accounts, const std::string& what, unsigned threads) {
  drop_from_cache(bench.dir);
  return in_child([&]() -> std::string {
    limit_memory(bench.data_bytes / 4);
    Database database = value_of(Database::open(bench.dir));
    ForkStore store = value_of(database.forks("main"));
    std::vector<Step> steps;
    for (unsigned t = 0; t < threads; ++t) {
      const std::uint64_t seed = mix(t + 1);
      if (what == "load") steps.push_back(loads(store, accounts, seed, 1));
      if (what == "load_many") steps.push_back(loads(store, accounts, seed, kTogether));
      if (what == "store") steps.push_back(stores(value_of(store.writer()), accounts, seed, bench.value_bytes));
      if (what == "async") steps.push_back([reads = std::make_shared<AsyncReads>(bench.dir, seed)] { return reads->step(); });
    }
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> done{0};
    const Device before = device_of(bench.dir);
    const auto begin = Clock::now();
    std::vector<std::thread> running;
    for (Step& step : steps) {
      running.emplace_back([&] {
        std::uint64_t count = 0;
        while (!stop) count += step();
        done += count;
      });
    }
    std::this_thread::sleep_for(std::chrono::seconds(bench.seconds));
    stop = true;
    for (std::thread& thread : running) thread.join();
    const double seconds = static_cast<double>(ns_between(begin, Clock::now())) / 1e9;
    const Device after = device_of(bench.dir);
    const auto rate = [&](std::uint64_t from, std::uint64_t to) { return static_cast<double>(to - from) / seconds; };
    const nlohmann::ordered_json json{{"per_s", rate(0, done)},
                                      {"device_reads_per_s", rate(before.reads, after.reads)},
                                      {"read_bytes_per_s", 512 * rate(before.read_sectors, after.read_sectors)},
                                      {"written_bytes_per_s", 512 * rate(before.written_sectors, after.written_sectors)},
                                      {"depth", rate(before.waited_ms, after.waited_ms) / 1000}};
    steps.clear();
    check(database.close());
    return json.dump();
  });
}

}  // namespace

nlohmann::ordered_json run(const ForksDeviceBench& bench) {
  const std::uint64_t accounts = bench.data_bytes / bench.value_bytes / 1000 * 1000;
  in_child([&]() -> std::string {
    fill(bench, accounts);
    return "{}";
  });
  nlohmann::ordered_json json{{"data_bytes", bench.data_bytes}, {"value_bytes", bench.value_bytes}};
  std::printf(
      "\n| threads | loads, k/s (depth) | 16 at a time, k/s (depth) | asynchronous reads of a page, 16 at a time, k/s (depth) | "
      "ratio | stores, k/s (depth) | written, MB/s |\n|---|---|---|---|---|---|---|\n");
  for (const unsigned threads : {1U, 2U, 8U, 32U}) {
    nlohmann::ordered_json of;
    for (const std::string what : {"load", "load_many", "async", "store"}) of[what] = measure(bench, accounts, what, threads);
    const auto text = [&](const char* what) {
      char cell[64];
      std::snprintf(cell, sizeof cell, "%.1f (%.1f)", of[what]["per_s"].get<double>() / 1e3, of[what]["depth"].get<double>());
      return std::string(cell);
    };
    std::printf("| %u | %s | %s | %s | %.2f | %s | %.0f |\n", threads, text("load").c_str(), text("load_many").c_str(),
                text("async").c_str(), of["load_many"]["per_s"].get<double>() / of["async"]["per_s"].get<double>(),
                text("store").c_str(), of["store"]["written_bytes_per_s"].get<double>() / 1e6);
    std::fflush(stdout);
    json["threads"][std::to_string(threads)] = std::move(of);
  }
  std::filesystem::remove_all(bench.dir);
  return json;
}

}  // namespace cairn::bench
