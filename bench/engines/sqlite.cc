// SQLite with its write-ahead log, one table without row ids, prepared statements and a map of the whole file.
#include <sqlite3.h>

#include "bench/engine.h"

namespace cairn::bench {
namespace {

class SqliteSession final : public Session {
 public:
  explicit SqliteSession(const StoreOptions& options) {
    check(sqlite3_open((options.dir + "/bench.sqlite").c_str(), &db_));
    run("PRAGMA busy_timeout=10000; PRAGMA journal_mode=WAL; PRAGMA mmap_size=" + std::to_string(4 * options.data_bytes));
    run(std::string("PRAGMA synchronous=") + (options.sync ? "FULL" : "OFF"));
    run("PRAGMA cache_size=-" + std::to_string(options.cache_bytes / 1024));
    run("CREATE TABLE IF NOT EXISTS bench(k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID");
    put_ = prepare("INSERT OR REPLACE INTO bench VALUES(?1,?2)");
    get_ = prepare("SELECT v FROM bench WHERE k=?1");
    erase_ = prepare("DELETE FROM bench WHERE k=?1");
    walk_ = prepare("SELECT k,v FROM bench WHERE k>=?1 ORDER BY k LIMIT ?2");
  }
  ~SqliteSession() override {
    for (sqlite3_stmt* const statement : {put_, get_, erase_, walk_}) sqlite3_finalize(statement);
    sqlite3_close(db_);
  }
  void put(std::string_view key, std::string_view value) override {
    bind(put_, 1, key);
    bind(put_, 2, value);
    finish(put_);
  }
  void put_all(std::span<const std::pair<std::string, std::string>> entries) override {
    run("BEGIN IMMEDIATE");
    for (const auto& [key, value] : entries) put(key, value);
    run("COMMIT");
  }
  void erase(std::string_view key) override {
    bind(erase_, 1, key);
    finish(erase_);
  }
  bool get(std::string_view key, std::uint64_t& sum) override {
    bind(get_, 1, key);
    const bool found = step(get_);
    if (found) sum += sum_of(column(get_, 0));
    sqlite3_reset(get_);
    return found;
  }
  std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) override {
    bind(walk_, 1, from);
    sqlite3_bind_int64(walk_, 2, limit == 0 ? -1 : static_cast<sqlite3_int64>(limit));
    std::uint64_t count = 0;
    while (step(walk_)) {
      ++count;
      if (visit != nullptr && !(*visit)(column(walk_, 0))) break;
      sum += sum_of(column(walk_, 1));
    }
    sqlite3_reset(walk_);
    return count;
  }
  void run(const std::string& sql) { check(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr)); }

 private:
  void check(int code) {
    if (code != SQLITE_OK) give_up(sqlite3_errmsg(db_));
  }
  sqlite3_stmt* prepare(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    check(sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr));
    return statement;
  }
  void bind(sqlite3_stmt* statement, int place, std::string_view bytes) {
    check(sqlite3_bind_blob(statement, place, bytes.empty() ? "" : bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC));
  }
  bool step(sqlite3_stmt* statement) {
    const int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) give_up(sqlite3_errmsg(db_));
    return code == SQLITE_ROW;
  }
  void finish(sqlite3_stmt* statement) {
    step(statement);
    sqlite3_reset(statement);
  }
  static std::string_view column(sqlite3_stmt* statement, int place) {
    return {static_cast<const char*>(sqlite3_column_blob(statement, place)),
            static_cast<std::size_t>(sqlite3_column_bytes(statement, place))};
  }
  sqlite3* db_ = nullptr;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* get_ = nullptr;
  sqlite3_stmt* erase_ = nullptr;
  sqlite3_stmt* walk_ = nullptr;
};

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(StoreOptions options) : options_(std::move(options)), first_(options_) {}
  std::unique_ptr<Session> session() override { return std::make_unique<SqliteSession>(options_); }
  void settle() override { first_.run("PRAGMA wal_checkpoint(TRUNCATE)"); }

 private:
  const StoreOptions options_;
  SqliteSession first_;  // Makes the table, and keeps the log from being folded in at the end of each session.
};

}  // namespace

std::unique_ptr<Store> open_sqlite(const StoreOptions& options) { return std::make_unique<SqliteStore>(options); }

}  // namespace cairn::bench
