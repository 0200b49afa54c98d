// cairn-bench: table workloads, Cairn beside a peer on the same work. One engine and one workload per process; 16-byte
// keys, 100-byte values half of which compress.
//   cairn-bench --engine cairn|leveldb --workload fillseq|fillrandom|readrandom|scan|fillsync --n N --dir DIR
// The read workloads fill first, untimed. The last line is one JSON object.
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "cairn/cairn.h"

namespace {

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9ULL;
  return x ^ (x >> 32);
}

std::string key_of(std::uint64_t n) {
  char key[17];
  std::snprintf(key, sizeof key, "%016llx", static_cast<unsigned long long>(n));
  return {key, 16};
}

std::string value_of(std::uint64_t n) {
  std::string value(100, 'v');
  for (std::size_t i = 0; i < 50; ++i) value[i] = static_cast<char>(mix(n * 50 + i));
  return value;
}

class Engine {
 public:
  virtual ~Engine() = default;
  virtual bool put(const std::string& key, const std::string& value, bool sync) = 0;
  virtual bool get(const std::string& key) = 0;
  virtual std::uint64_t scan() = 0;
};

class CairnEngine final : public Engine {
 public:
  explicit CairnEngine(const std::string& dir)
      : database_(*cairn::Database::open(dir, {.create_if_missing = true})), table_(*database_.table("bench")) {}
  bool put(const std::string& key, const std::string& value, bool sync) override {
    return table_.put(key, value, {.durability = sync ? cairn::Durability::kDisk : cairn::Durability::kKernel}).has_value();
  }
  bool get(const std::string& key) override {
    const auto hit = table_.get(key);
    return hit && hit->has_value();
  }
  std::uint64_t scan() override {
    std::uint64_t bytes = 0;
    cairn::Scan entries = table_.scan();
    for (const auto entry : entries) bytes += entry.value.size();
    return bytes;
  }

 private:
  cairn::Database database_;
  cairn::Table table_;
};

class LevelDbEngine final : public Engine {
 public:
  explicit LevelDbEngine(const std::string& dir) : filter_(leveldb::NewBloomFilterPolicy(10)) {
    leveldb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = 64 << 20;
    options.filter_policy = filter_.get();
    options.compression = leveldb::kNoCompression;
    leveldb::DB* db = nullptr;
    if (leveldb::DB::Open(options, dir, &db).ok()) db_.reset(db);
  }
  bool put(const std::string& key, const std::string& value, bool sync) override {
    leveldb::WriteOptions options;
    options.sync = sync;
    return db_->Put(options, key, value).ok();
  }
  bool get(const std::string& key) override { return db_->Get({}, key, &value_).ok(); }
  std::uint64_t scan() override {
    std::uint64_t bytes = 0;
    const std::unique_ptr<leveldb::Iterator> at(db_->NewIterator({}));
    for (at->SeekToFirst(); at->Valid(); at->Next()) bytes += at->value().size();
    return bytes;
  }

 private:
  std::unique_ptr<const leveldb::FilterPolicy> filter_;
  std::unique_ptr<leveldb::DB> db_;
  std::string value_;
};

bool run(Engine& engine, const std::string& workload, std::uint64_t n, double& seconds) {
  const bool reads = workload == "readrandom" || workload == "scan";
  bool ok = true;
  if (reads) {
    for (std::uint64_t i = 0; ok && i < n; ++i) ok = engine.put(key_of(mix(i)), value_of(i), false);
  }
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; ok && i < n && workload != "scan"; ++i) {
    if (workload == "readrandom") {
      ok = engine.get(key_of(mix(mix(i + 7) % n)));
    } else {
      ok = engine.put(key_of(workload == "fillseq" ? i : mix(i)), value_of(i), workload == "fillsync");
    }
  }
  if (workload == "scan") ok = ok && engine.scan() == n * 100;
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options{
      {"--engine", "cairn"}, {"--workload", "fillrandom"}, {"--n", "1000000"}, {"--dir", "build/bench"}};
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  const std::uint64_t n = std::stoull(options["--n"]);
  const std::string dir = options["--dir"] + "/" + options["--engine"];
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(options["--dir"]);
  std::unique_ptr<Engine> engine;
  if (options["--engine"] == "leveldb") {
    engine = std::make_unique<LevelDbEngine>(dir);
  } else {
    engine = std::make_unique<CairnEngine>(dir);
  }
  double seconds = 0;
  const bool ok = run(*engine, options["--workload"], n, seconds);
  engine.reset();
  std::filesystem::remove_all(dir);
  std::printf("{\"engine\":\"%s\",\"workload\":\"%s\",\"n\":%llu,\"ok\":%s,\"wall_s\":%.3f,\"ops_per_s\":%.0f}\n",
              options["--engine"].c_str(), options["--workload"].c_str(), static_cast<unsigned long long>(n),
              ok ? "true" : "false", seconds, static_cast<double>(n) / seconds);
  return ok ? 0 : 1;
}
