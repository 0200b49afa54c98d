// LevelDB as doc/index.md of its source advises: a Bloom filter of 10 bits a key, a cache for the uncompressed data, a
// larger write buffer for bulk loads.
#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <algorithm>

#include "bench/engine.h"

namespace cairn::bench {
namespace {

void check(const leveldb::Status& status) {
  if (!status.ok()) give_up(status.ToString());
}
leveldb::Slice slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

class LevelDbSession final : public Session {
 public:
  LevelDbSession(leveldb::DB& db, bool sync) : db_(db) { write_.sync = sync; }
  void put(std::string_view key, std::string_view value) override { check(db_.Put(write_, slice(key), slice(value))); }
  void put_all(std::span<const std::pair<std::string, std::string>> entries) override {
    leveldb::WriteBatch batch;
    for (const auto& [key, value] : entries) batch.Put(key, value);
    check(db_.Write(write_, &batch));
  }
  void erase(std::string_view key) override { check(db_.Delete(write_, slice(key))); }
  bool get(std::string_view key, std::uint64_t& sum) override {
    const leveldb::Status status = db_.Get({}, slice(key), &value_);
    if (status.IsNotFound()) return false;
    check(status);
    sum += sum_of(value_);
    return true;
  }
  std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) override {
    std::uint64_t count = 0;
    const std::unique_ptr<leveldb::Iterator> at(db_.NewIterator({}));
    for (at->Seek(slice(from)); at->Valid() && (limit == 0 || count < limit); at->Next()) {
      ++count;
      if (visit != nullptr && !(*visit)({at->key().data(), at->key().size()})) break;
      sum += sum_of({at->value().data(), at->value().size()});
    }
    check(at->status());
    return count;
  }

 private:
  leveldb::DB& db_;
  leveldb::WriteOptions write_;
  std::string value_;
};

class LevelDbStore final : public Store {
 public:
  explicit LevelDbStore(const StoreOptions& options)
      : sync_(options.sync), filter_(leveldb::NewBloomFilterPolicy(10)), cache_(leveldb::NewLRUCache(options.cache_bytes)) {
    leveldb::Options set;
    set.create_if_missing = true;
    set.write_buffer_size = 64 << 20;
    set.filter_policy = filter_.get();
    set.block_cache = cache_.get();
    set.compression = leveldb::kNoCompression;  // It has Snappy only.
    leveldb::DB* db = nullptr;
    check(leveldb::DB::Open(set, options.dir, &db));
    db_.reset(db);
  }
  std::unique_ptr<Session> session() override { return std::make_unique<LevelDbSession>(*db_, sync_); }
  void settle() override { db_->CompactRange(nullptr, nullptr); }

 private:
  bool sync_;
  std::unique_ptr<const leveldb::FilterPolicy> filter_;
  std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<leveldb::DB> db_;
};

}  // namespace

std::unique_ptr<Store> open_leveldb(const StoreOptions& options) { return std::make_unique<LevelDbStore>(options); }

}  // namespace cairn::bench
