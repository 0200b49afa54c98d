// Tkrzw's hash database (unordered) and its tree database, both mapped, with as many buckets as records are expected.
// Neither keeps a log: after a crash what was written since the last synchronization may be lost, and the file with it.
#include <tkrzw_dbm_hash.h>
#include <tkrzw_dbm_tree.h>
#include <tkrzw_file_mmap.h>

#include "bench/engine.h"

namespace cairn::bench {
namespace {

void check(const tkrzw::Status& status) {
  if (!status.IsOK()) give_up(tkrzw::ToString(status));
}

class TkrzwSession final : public Session {
 public:
  TkrzwSession(tkrzw::DBM& dbm, bool sync) : dbm_(dbm), sync_(sync) {}
  void put(std::string_view key, std::string_view value) override {
    check(dbm_.Set(key, value));
    if (sync_) check(dbm_.Synchronize(true));
  }
  void put_all(std::span<const std::pair<std::string, std::string>> /*entries*/) override { give_up("Tkrzw has no batches"); }
  void erase(std::string_view key) override {
    const tkrzw::Status erased = dbm_.Remove(key);
    if (erased != tkrzw::Status::NOT_FOUND_ERROR) check(erased);
  }
  bool get(std::string_view key, std::uint64_t& sum) override {
    const tkrzw::Status found = dbm_.Get(key, &value_);
    if (found == tkrzw::Status::NOT_FOUND_ERROR) return false;
    check(found);
    sum += sum_of(value_);
    return true;
  }
  std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) override {
    if (!dbm_.IsOrdered()) give_up("a hash database is not ordered");
    const std::unique_ptr<tkrzw::DBM::Iterator> at = dbm_.MakeIterator();
    check(from.empty() ? at->First() : at->Jump(from));
    std::uint64_t count = 0;
    std::string key;
    for (; (limit == 0 || count < limit) && at->Get(&key, &value_).IsOK(); check(at->Next())) {
      ++count;
      if (visit != nullptr && !(*visit)(key)) break;
      sum += sum_of(value_);
    }
    return count;
  }

 private:
  tkrzw::DBM& dbm_;
  bool sync_;
  std::string value_;
};

class TkrzwStore final : public Store {
 public:
  TkrzwStore(const StoreOptions& options, bool tree) : sync_(options.sync) {
    const auto records = static_cast<std::int64_t>(options.data_bytes / 164 + 1);  // As the benches count them.
    if (tree) {
      auto dbm = std::make_unique<tkrzw::TreeDBM>(std::make_unique<tkrzw::MemoryMapParallelFile>());
      tkrzw::TreeDBM::TuningParameters tuning;
      tuning.num_buckets = records / 20 + 1000;
      tuning.max_cached_pages = static_cast<std::int32_t>(options.cache_bytes / 164 / 20 + 10'000);
      check(dbm->OpenAdvanced(options.dir + "/bench.tkt", true, tkrzw::File::OPEN_DEFAULT, tuning));
      dbm_ = std::move(dbm);
    } else {
      auto dbm = std::make_unique<tkrzw::HashDBM>(std::make_unique<tkrzw::MemoryMapParallelFile>());
      tkrzw::HashDBM::TuningParameters tuning;
      tuning.num_buckets = records;
      check(dbm->OpenAdvanced(options.dir + "/bench.tkh", true, tkrzw::File::OPEN_DEFAULT, tuning));
      dbm_ = std::move(dbm);
    }
  }
  ~TkrzwStore() override { check(dbm_->Close()); }
  std::unique_ptr<Session> session() override { return std::make_unique<TkrzwSession>(*dbm_, sync_); }
  void settle() override { check(dbm_->Synchronize(false)); }

 private:
  bool sync_;
  std::unique_ptr<tkrzw::DBM> dbm_;
};

}  // namespace

std::unique_ptr<Store> open_tkrzw_hash(const StoreOptions& options) { return std::make_unique<TkrzwStore>(options, false); }
std::unique_ptr<Store> open_tkrzw_tree(const StoreOptions& options) { return std::make_unique<TkrzwStore>(options, true); }

}  // namespace cairn::bench
