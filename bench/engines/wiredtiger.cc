// WiredTiger as its manual advises: a cache for all of the data, the log on, and for durable writes its sync at each commit.
#include <wiredtiger.h>

#include "bench/engine.h"

namespace cairn::bench {
namespace {

void check(int code) {
  if (code != 0) give_up(wiredtiger_strerror(code));
}
WT_ITEM item(std::string_view bytes) {
  WT_ITEM item{};
  item.data = bytes.data();
  item.size = bytes.size();
  return item;
}
std::string_view view(const WT_ITEM& item) { return {static_cast<const char*>(item.data), item.size}; }

class WiredTigerSession final : public Session {
 public:
  explicit WiredTigerSession(WT_CONNECTION* connection) {
    check(connection->open_session(connection, nullptr, nullptr, &session_));
    check(session_->open_cursor(session_, "table:bench", nullptr, "raw", &cursor_));
  }
  ~WiredTigerSession() override { session_->close(session_, nullptr); }
  void put(std::string_view key, std::string_view value) override {
    set(key);
    const WT_ITEM v = item(value);
    cursor_->set_value(cursor_, &v);
    check(cursor_->insert(cursor_));
  }
  void put_all(std::span<const std::pair<std::string, std::string>> entries) override {
    check(session_->begin_transaction(session_, nullptr));
    for (const auto& [key, value] : entries) put(key, value);
    check(session_->commit_transaction(session_, nullptr));
  }
  void erase(std::string_view key) override {
    set(key);
    const int erased = cursor_->remove(cursor_);
    if (erased != WT_NOTFOUND) check(erased);
    check(cursor_->reset(cursor_));
  }
  bool get(std::string_view key, std::uint64_t& sum) override {
    set(key);
    const int found = cursor_->search(cursor_);
    if (found == 0) read(sum);
    if (found != WT_NOTFOUND) check(found);
    check(cursor_->reset(cursor_));
    return found == 0;
  }
  std::uint64_t walk(std::string_view from, std::uint64_t limit, std::uint64_t& sum, const Visit* visit) override {
    int found = 0;
    if (from.empty()) {
      found = cursor_->next(cursor_);
    } else {
      set(from);
      int exact = 0;
      found = cursor_->search_near(cursor_, &exact);
      if (found == 0 && exact < 0) found = cursor_->next(cursor_);
    }
    std::uint64_t count = 0;
    for (; found == 0 && (limit == 0 || count < limit); found = cursor_->next(cursor_)) {
      ++count;
      if (visit != nullptr) {
        WT_ITEM key{};
        check(cursor_->get_key(cursor_, &key));
        if (!(*visit)(view(key))) break;
      }
      read(sum);
    }
    if (found != WT_NOTFOUND) check(found);
    check(cursor_->reset(cursor_));
    return count;
  }

 private:
  void set(std::string_view key) {
    const WT_ITEM k = item(key);
    cursor_->set_key(cursor_, &k);
  }
  void read(std::uint64_t& sum) {
    WT_ITEM value{};
    check(cursor_->get_value(cursor_, &value));
    sum += sum_of(view(value));
  }
  WT_SESSION* session_ = nullptr;
  WT_CURSOR* cursor_ = nullptr;
};

class WiredTigerStore final : public Store {
 public:
  explicit WiredTigerStore(const StoreOptions& options) {
    const std::string config = "create,cache_size=" + std::to_string(2 * options.cache_bytes) +
                               ",session_max=200,log=(enabled=true),checkpoint=(wait=60),transaction_sync=(enabled=" +
                               (options.sync ? "true" : "false") + ",method=fsync)";
    check(wiredtiger_open(options.dir.c_str(), nullptr, config.c_str(), &connection_));
    WT_SESSION* session = nullptr;
    check(connection_->open_session(connection_, nullptr, nullptr, &session));
    check(session->create(session, "table:bench", "key_format=u,value_format=u"));
    check(session->close(session, nullptr));
  }
  ~WiredTigerStore() override { connection_->close(connection_, nullptr); }
  std::unique_ptr<Session> session() override { return std::make_unique<WiredTigerSession>(connection_); }
  void settle() override {
    WT_SESSION* session = nullptr;
    check(connection_->open_session(connection_, nullptr, nullptr, &session));
    check(session->checkpoint(session, nullptr));
    check(session->close(session, nullptr));
  }

 private:
  WT_CONNECTION* connection_ = nullptr;
};

}  // namespace

std::unique_ptr<Store> open_wiredtiger(const StoreOptions& options) { return std::make_unique<WiredTigerStore>(options); }

}  // namespace cairn::bench
