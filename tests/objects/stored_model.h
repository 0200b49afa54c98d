// A Model of objects/classes.h on a store, with a clock of the test and no thread; and a store in memory that fails on demand.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "objects/classes.h"
#include "objects/saver.h"

namespace cairn::test {

class StoredModel : public cairn::Model {
 public:
  static Result<std::unique_ptr<StoredModel>> open(std::unique_ptr<Store> store, Clock& clock, WriteBehindOptions options = {}) {
    options.own_thread = false;
    std::unique_ptr<StoredModel> model(new StoredModel(std::move(store), clock, options));
    CAIRN_TRY_VOID(model->saver_->open(model->class_names()));
    return model;
  }
  [[nodiscard]] objects::Saver& saver() { return *saver_; }
  [[nodiscard]] objects::ModelCore& internals() { return core(); }

 private:
  StoredModel(std::unique_ptr<Store> store, Clock& clock, const WriteBehindOptions& options)
      : Model(of<Item, Link>()), saver_(std::make_unique<objects::Saver>(core(), std::move(store), options, clock)) {}
  std::unique_ptr<objects::Saver> saver_;
};

/// What a FakeStore holds; outlives it, as a disk does.
struct FakeDisk {
  std::uint64_t change = 0;
  std::map<std::pair<std::string, DbId>, Bytes> records;
  std::map<std::string, DbId> ceilings;

  // What happened.
  std::uint64_t calls = 0;
  std::uint64_t commits = 0;
  std::uint64_t written = 0;        // Objects.
  std::vector<std::string> erased;  // "Item 7", in order.

  // What is to happen.
  bool down = false;                       // Every call fails, and does nothing.
  bool loses_replies = false;              // Commits are stored, and fail.
  std::function<void()> during_commit;     // Before it is stored.
  std::pair<std::string, DbId> refuses{};  // A commit that has this object is refused for it.
  std::uint64_t save_bytes_max = 1 << 30;
};

class FakeStore final : public Store {
 public:
  explicit FakeStore(FakeDisk& disk) : disk_(disk) {}

  Result<StoreContent> own(const std::string&, const std::vector<const objects::ClassInfo*>& classes) override {
    CAIRN_TRY_VOID(call());
    classes_ = classes;
    StoreContent content{.change = disk_.change, .ceilings = {}, .problems = {}};
    for (const objects::ClassInfo* const info : classes) content.ceilings.push_back({info, disk_.ceilings[info->id.name]});
    return content;
  }
  Result<void> load(const std::function<void(const objects::ClassInfo& info, DbId id, const Fill& fill)>& visit) override {
    CAIRN_TRY_VOID(call());
    for (const auto& [key, bytes] : disk_.records) {
      for (const objects::ClassInfo* const info : classes_) {
        if (key.first != info->id.name) continue;
        visit(*info, key.second, [&](PersistentObject& object) {
          objects::Decoder from(bytes);
          return info->decode(object, from);
        });
      }
    }
    return {};
  }
  Result<void> commit(const Save& save, const SavedObject** refused) override {
    CAIRN_TRY_VOID(call());
    if (disk_.during_commit) std::exchange(disk_.during_commit, nullptr)();
    for (const auto* const list : {&save.erased, &save.stored}) {
      for (const SavedObject& each : *list) {
        if (std::pair(std::string(each.info->id.name), each.id) != disk_.refuses) continue;
        *refused = &each;
        return std::unexpected(Error{ErrorCode::kInvalidArgument, "too ugly"});
      }
    }
    ++disk_.commits;
    for (const SavedObject& each : save.erased) {
      disk_.records.erase({each.info->id.name, each.id});
      disk_.erased.push_back(objects::name_of(*each.info, each.id));
    }
    for (const SavedObject& each : save.stored) {
      Bytes bytes;
      objects::Encoder to(bytes);
      each.info->encode(*each.object, to);
      disk_.records[{each.info->id.name, each.id}] = bytes;
      ++disk_.written;
    }
    disk_.change = save.change;
    if (disk_.loses_replies) return std::unexpected(Error{ErrorCode::kIo, "connection lost"});
    return {};
  }
  Result<std::uint64_t> stored_change() override {
    CAIRN_TRY_VOID(call());
    return disk_.change;
  }
  Result<void> set_ceilings(const std::vector<IdCeiling>& ceilings) override {
    CAIRN_TRY_VOID(call());
    for (const IdCeiling& each : ceilings) disk_.ceilings[each.info->id.name] = each.ceiling;
    return {};
  }
  [[nodiscard]] std::uint64_t save_bytes_max() const override { return disk_.save_bytes_max; }

 private:
  Result<void> call() {
    ++disk_.calls;
    if (disk_.down) return std::unexpected(Error{ErrorCode::kIo, "the store is down"});
    return {};
  }

  FakeDisk& disk_;
  std::vector<const objects::ClassInfo*> classes_;
};

}  // namespace cairn::test
