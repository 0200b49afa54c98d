// The objects of a Model in a table: a family for each class, and in `main` what the Model knows of itself. docs/formats.md,
// "The table of a Model".
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cairn/objects/store.h"
#include "cairn/table.h"
#include "table/table_impl.h"

namespace cairn::objects {

/// What the record under table::kModelKey says. Each save writes it anew, so it survives as long as anything of the Model does.
struct ModelRecord {
  struct OfClass {
    std::string name;
    std::uint16_t family = 0;
    DbId ceiling = 0;
  };
  segment::DatabaseId database{};  // The identity of the database in which it was written: repair makes another.
  std::uint64_t change = 0;        // Of the last save.
  std::uint64_t schema = 0;        // The number of the schema that new records have.
  std::vector<OfClass> classes;

  [[nodiscard]] Bytes encode() const;
  /// kCorruption, kUnsupported: made by a newer Cairn.
  static Result<ModelRecord> decode(ByteView bytes);
};

class TableStore final : public Store {
 public:
  explicit TableStore(const Table& table) : table_(table) {}
  ~TableStore() override;

  Result<StoreContent> own(const std::string& schema, const std::vector<const ClassInfo*>& classes) override;
  Result<void> load(const std::function<void(const ClassInfo& info, DbId id, const Fill& fill)>& visit) override;
  Result<void> commit(const Save& save, const SavedObject** refused) override;
  Result<std::uint64_t> stored_change() override;
  Result<void> set_ceilings(const std::vector<IdCeiling>& ceilings) override;
  [[nodiscard]] std::uint64_t save_bytes_max() const override;

 private:
  Result<StoreContent> own_attached(const std::string& schema);
  Result<void> begin(const std::string& schema);
  Result<void> go_on(const std::string& schema, StoreContent& content);
  Result<void> find_families();
  [[nodiscard]] Table family(const ClassInfo& info) const;
  [[nodiscard]] Result<DbId> last_stored(const ClassInfo& info) const;
  Result<void> write(const std::vector<table::WriteRef>& writes);

  const Table table_;
  bool attached_ = false;
  bool keeps_objects_ = false;  // The table belongs to a Model also when this one is closed.
  std::vector<const ClassInfo*> infos_;
  std::map<std::uint8_t, std::uint16_t> families_;  // By the number of the class.
  ModelRecord record_;                              // As it is stored.
};

}  // namespace cairn::objects
