// RocksDB as its wiki's "Setup Options and Basic Tuning" advises, with a block cache for all of the data and two
// background threads, one a core.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>

#include "bench/engine.h"

namespace cairn::bench {
namespace {

void check(const rocksdb::Status& status) {
  if (!status.ok()) give_up(status.ToString());
}
rocksdb::Slice slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

class RocksDbSession final : public Session {
 public:
  RocksDbSession(rocksdb::DB& db, bool sync) : db_(db) { write_.sync = sync; }
  void put(std::string_view key, std::string_view value) override { check(db_.Put(write_, slice(key), slice(value))); }
  void put_all(std::span<const std::pair<std::string, std::string>> entries) override {
    rocksdb::WriteBatch batch;
    for (const auto& [key, value] : entries) check(batch.Put(key, value));
    check(db_.Write(write_, &batch));
  }
  void erase(std::string_view key) override { check(db_.Delete(write_, slice(key))); }
  bool get(std::string_view key, std::uint64_t& sum) override {
    value_.Reset();
    const rocksdb::Status status = db_.Get({}, db_.DefaultColumnFamily(), slice(key), &value_);
    if (status.IsNotFound()) return false;
    check(status);
    sum += sum_of({value_.data(), value_.size()});
    return true;
  }
  std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) override {
    std::uint64_t count = 0;
    const std::unique_ptr<rocksdb::Iterator> at(db_.NewIterator({}));
    for (at->Seek(slice(from)); at->Valid() && (limit == 0 || count < limit); at->Next()) {
      ++count;
      if (visit != nullptr && !(*visit)(at->key().ToStringView())) break;
      sum += sum_of({at->value().data(), at->value().size()});
    }
    check(at->status());
    return count;
  }

 private:
  rocksdb::DB& db_;
  rocksdb::WriteOptions write_;
  rocksdb::PinnableSlice value_;
};

class RocksDbStore final : public Store {
 public:
  explicit RocksDbStore(const StoreOptions& options) : sync_(options.sync), outside_(options.dir + "/outside.new") {
    rocksdb::Options& set = set_;
    set.create_if_missing = true;
    set.max_background_jobs = 2;
    set.bytes_per_sync = 1 << 20;
    set.level_compaction_dynamic_level_bytes = true;
    set.compaction_pri = rocksdb::kMinOverlappingRatio;
    set.compression = options.lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(options.cache_bytes);
    table.block_size = 16 << 10;
    table.cache_index_and_filter_blocks = true;
    table.pin_l0_filter_and_index_blocks_in_cache = true;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
    table.format_version = 5;
    set.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    rocksdb::DB* db = nullptr;
    check(rocksdb::DB::Open(set, options.dir, &db));
    db_.reset(db);
  }
  std::unique_ptr<Session> session() override { return std::make_unique<RocksDbSession>(*db_, sync_); }
  void ingest(std::uint64_t n, const Record& record) override {
    rocksdb::SstFileWriter file(rocksdb::EnvOptions(), set_);
    check(file.Open(outside_));
    std::string key;
    std::string value;
    for (std::uint64_t i = 0; i < n; ++i) {
      record(i, key, value);
      check(file.Put(key, value));
    }
    check(file.Finish());
    rocksdb::IngestExternalFileOptions options;
    options.move_files = true;
    options.verify_checksums_before_ingest = true;
    check(db_->IngestExternalFile({outside_}, options));
  }
  void settle() override { check(db_->CompactRange({}, nullptr, nullptr)); }

 private:
  bool sync_;
  std::string outside_;
  rocksdb::Options set_;
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace

std::unique_ptr<Store> open_rocksdb(const StoreOptions& options) { return std::make_unique<RocksDbStore>(options); }

}  // namespace cairn::bench
