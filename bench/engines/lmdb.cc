// LMDB as lmdb.h describes its fast ways: MDB_WRITEMAP, without durability MDB_NOSYNC, in limited memory MDB_NORDAHEAD;
// readers renew one transaction for each read.
#include <lmdb.h>

#include <algorithm>

#include "bench/engine.h"

namespace cairn::bench {
namespace {

void check(int code) {
  if (code != MDB_SUCCESS) give_up(mdb_strerror(code));
}
MDB_val val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view view(const MDB_val& val) { return {static_cast<const char*>(val.mv_data), val.mv_size}; }

class LmdbSession final : public Session {
 public:
  LmdbSession(MDB_env* env, MDB_dbi dbi) : env_(env), dbi_(dbi) {
    check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &read_));
    mdb_txn_reset(read_);
  }
  ~LmdbSession() override { mdb_txn_abort(read_); }
  void put(std::string_view key, std::string_view value) override {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    put(txn, key, value);
    check(mdb_txn_commit(txn));
  }
  void put_all(std::span<const std::pair<std::string, std::string>> entries) override {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    for (const auto& [key, value] : entries) put(txn, key, value);
    check(mdb_txn_commit(txn));
  }
  void erase(std::string_view key) override {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    MDB_val k = val(key);
    const int erased = mdb_del(txn, dbi_, &k, nullptr);
    if (erased != MDB_NOTFOUND) check(erased);
    check(mdb_txn_commit(txn));
  }
  bool get(std::string_view key, std::uint64_t& sum) override {
    check(mdb_txn_renew(read_));
    MDB_val k = val(key);
    MDB_val v;
    const int found = mdb_get(read_, dbi_, &k, &v);
    if (found == MDB_SUCCESS) sum += sum_of(view(v));
    mdb_txn_reset(read_);
    if (found != MDB_NOTFOUND) check(found);
    return found == MDB_SUCCESS;
  }
  std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) override {
    check(mdb_txn_renew(read_));
    MDB_cursor* cursor = nullptr;
    check(mdb_cursor_open(read_, dbi_, &cursor));
    MDB_val k = val(from);
    MDB_val v;
    std::uint64_t count = 0;
    int found = mdb_cursor_get(cursor, &k, &v, from.empty() ? MDB_FIRST : MDB_SET_RANGE);
    for (; found == MDB_SUCCESS && (limit == 0 || count < limit); found = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) {
      ++count;
      if (visit != nullptr && !(*visit)(view(k))) break;
      sum += sum_of(view(v));
    }
    mdb_cursor_close(cursor);
    mdb_txn_reset(read_);
    if (found != MDB_NOTFOUND) check(found);
    return count;
  }

 private:
  void put(MDB_txn* txn, std::string_view key, std::string_view value) {
    MDB_val k = val(key);
    MDB_val v = val(value);
    check(mdb_put(txn, dbi_, &k, &v, 0));
  }
  MDB_env* env_;
  MDB_dbi dbi_;
  MDB_txn* read_ = nullptr;
};

class LmdbStore final : public Store {
 public:
  explicit LmdbStore(const StoreOptions& options) {
    check(mdb_env_create(&env_));
    check(mdb_env_set_mapsize(env_, std::max<std::uint64_t>(4 * options.data_bytes, 4ULL << 30)));
    check(mdb_env_set_maxreaders(env_, 126));
    const unsigned flags = (options.sync ? 0 : MDB_NOSYNC) | (options.cache_bytes < options.data_bytes ? MDB_NORDAHEAD : 0);
    check(mdb_env_open(env_, options.dir.c_str(), MDB_NOTLS | MDB_WRITEMAP | flags, 0644));
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    check(mdb_dbi_open(txn, nullptr, MDB_CREATE, &dbi_));
    check(mdb_txn_commit(txn));
  }
  ~LmdbStore() override { mdb_env_close(env_); }
  std::unique_ptr<Session> session() override { return std::make_unique<LmdbSession>(env_, dbi_); }
  void settle() override {}

 private:
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
};

}  // namespace

std::unique_ptr<Store> open_lmdb(const StoreOptions& options) { return std::make_unique<LmdbStore>(options); }

}  // namespace cairn::bench
