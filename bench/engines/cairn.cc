#include "cairn/cairn.h"

#include <filesystem>

#include "bench/value_of.h"

namespace cairn::bench {
namespace {

class CairnSession final : public Session {
 public:
  CairnSession(Table table, bool sync)
      : table_(std::move(table)), options_{.durability = sync ? Durability::kDisk : Durability::kKernel, .account = {}} {}
  void put(std::string_view key, std::string_view value) override { value_of(table_.put(key, value, options_)); }
  void put_all(std::span<const std::pair<std::string, std::string>> entries) override {
    batch_.clear();
    for (const auto& [key, value] : entries) batch_.put(key, value);
    value_of(table_.write(batch_, options_));
  }
  void erase(std::string_view key) override { value_of(table_.erase(key, options_)); }
  bool get(std::string_view key, std::uint64_t& sum) override {
    const auto hit = value_of(table_.get(key));
    if (hit) sum += sum_of(hit->view());
    return hit.has_value();
  }
  std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) override {
    std::uint64_t count = 0;
    Scan scan = table_.scan({Bytes(from), {}}, Direction::kForward, limit);
    for (const auto entry : scan) {
      ++count;
      if (visit != nullptr && !(*visit)(entry.key)) break;
      sum += sum_of(entry.value);
    }
    if (const auto status = scan.status(); !status) give_up(status.error().to_string());
    return count;
  }

 private:
  Table table_;
  WriteOptions options_;
  Batch batch_;
};

class CairnStore final : public Store {
 public:
  explicit CairnStore(const StoreOptions& options)
      : sync_(options.sync),
        outside_(options.dir + "/outside.sealed.new"),
        database_(value_of(Database::open(options.dir, {.create_if_missing = true}))),
        table_(
            value_of(database_.table("bench", {.main = {.compression = options.lz4 ? Compression::kLz4 : Compression::kNone}}))) {
  }
  std::unique_ptr<Session> session() override { return std::make_unique<CairnSession>(table_, sync_); }
  void settle() override { check(table_.compact()); }
  void ingest(std::uint64_t n, const Record& record) override {
    auto file = value_of(SealedFileWriter::create(outside_));
    std::string key;
    std::string value;
    for (std::uint64_t i = 0; i < n; ++i) {
      record(i, key, value);
      check(file.put(key, value));
    }
    check(file.finish());
    value_of(table_.ingest({&outside_, 1}));
    std::filesystem::remove(outside_);
  }
  void open_table(std::uint64_t i) override {
    const std::string name = "table" + std::to_string(i);
    auto table = database_.table(name, {.create_if_missing = false});
    if (!table) {
      table = database_.table(name);
      value_of(value_of(table).put("key", "value", {.durability = Durability::kKernel, .account = {}}));
    }
    tables_.push_back(value_of(std::move(table)));
  }
  std::string promise() const override {
    const TableStats stats = table_.stats();
    return "no write waits over " + std::to_string(stats.write_wait_ms_max) + " ms; longest " +
           std::to_string(stats.longest_wait_ms) + " ms, " + std::to_string(stats.stalls) + " stalls, " +
           std::to_string(stats.delays) + " delays, write amplification " + std::to_string(stats.write_amplification);
  }

 private:
  bool sync_;
  std::string outside_;
  Database database_;
  Table table_;
  std::vector<Table> tables_;
};

}  // namespace

std::unique_ptr<Store> open_cairn(const StoreOptions& options) { return std::make_unique<CairnStore>(options); }

}  // namespace cairn::bench
