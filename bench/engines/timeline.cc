#include "bench/value_of.h"
#include "cairn/cairn.h"

namespace cairn::bench {
namespace {

class TimelineSession final : public Session {
 public:
  TimelineSession(Timeline timeline, bool sync) : timeline_(std::move(timeline)) {
    options_.durability = sync ? Durability::kDisk : Durability::kKernel;
  }
  void put(std::string_view key, std::string_view value) override { value_of(timeline_.put(key, value, options_)); }
  void put_all(std::span<const std::pair<std::string, std::string>> entries) override {
    saves_.clear();
    for (const auto& [key, value] : entries) saves_.put(key, value);
    value_of(timeline_.write(saves_, options_));
  }
  void erase(std::string_view key) override { value_of(timeline_.erase(key, options_)); }
  bool get(std::string_view key, std::uint64_t& sum) override {
    const auto hit = value_of(timeline_.get(key));
    if (hit) sum += sum_of(hit->view());
    return hit.has_value();
  }
  std::uint64_t walk(std::string_view /*from*/, std::uint64_t /*limit*/, std::uint64_t& /*sum*/,
                     const Visit* /*visit*/) override {
    give_up("a timeline has no order of keys");
  }

 private:
  Timeline timeline_;
  SaveOptions options_;
  Saves saves_;
};

class TimelineStore final : public Store {
 public:
  explicit TimelineStore(const StoreOptions& options)
      : sync_(options.sync),
        database_(value_of(Database::open(options.dir, {.create_if_missing = true}))),
        timeline_(value_of(database_.timeline("bench"))) {}
  std::unique_ptr<Session> session() override { return std::make_unique<TimelineSession>(timeline_, sync_); }
  void settle() override {
    check(timeline_.close_block());
    check(timeline_.housekeep());
  }

 private:
  bool sync_;
  Database database_;
  Timeline timeline_;
};

}  // namespace

std::unique_ptr<Store> open_cairn_timeline(const StoreOptions& options) { return std::make_unique<TimelineStore>(options); }

}  // namespace cairn::bench
