// A Model in a table. Invariant: one batch holds a save and the record that says which change it was, so that the two never
// differ.
#include "objects/table_store.h"

#include <algorithm>

#include "base/error.h"
#include "base/handle.h"
#include "cairn/persistence.h"
#include "table/table_impl.h"

namespace cairn::objects {
namespace {

using table::kModelKey;
using table::TableImpl;
using table::WriteRef;

constexpr std::uint64_t kFormat = 1;
// Added to the ceilings of ids after a repair, which may have lost ids that had been given, and the record of their ceiling.
constexpr DbId kIdsSkipped = DbId{1} << 40;
constexpr std::size_t kKeyBytes = sizeof(DbId);

Bytes schema_key(std::uint64_t number) { return Bytes(kModelKey) + ".schema." + std::to_string(number); }

Bytes key_of(DbId id) {
  Bytes key(kKeyBytes, '\0');
  for (std::size_t i = 0; i < kKeyBytes; ++i)
    key[i] = static_cast<char>(static_cast<std::uint64_t>(id) >> (8 * (kKeyBytes - 1 - i)));
  return key;
}

/// nullopt: the key is no id.
std::optional<DbId> id_of(ByteView key) {
  if (key.size() != kKeyBytes) return std::nullopt;
  std::uint64_t id = 0;
  for (const char byte : key) id = id << 8 | static_cast<unsigned char>(byte);
  if (static_cast<DbId>(id) <= 0) return std::nullopt;
  return static_cast<DbId>(id);
}

template <typename Visitor>
void visit_classes(std::vector<ModelRecord::OfClass>& classes, std::uint64_t count, Visitor& visit) {
  for (std::uint64_t i = 0; i < count; ++i) {
    ModelRecord::OfClass& each = classes[i];
    std::int64_t family = each.family;
    visit("class", each.name);
    visit("family", family);
    visit("ceiling", each.ceiling);
    each.family = static_cast<std::uint16_t>(family);
  }
}

}  // namespace

Bytes ModelRecord::encode() const {
  Bytes bytes;
  Encoder to(bytes);
  to.varint(kFormat);
  for (const std::uint64_t word : database) to.varint(word);
  to.varint(change);
  to.varint(schema);
  to.varint(classes.size());
  std::vector<OfClass> copy = classes;
  visit_classes(copy, copy.size(), to);
  return bytes;
}

Result<ModelRecord> ModelRecord::decode(ByteView bytes) {
  ModelRecord record;
  Decoder from(bytes);
  const std::uint64_t format = from.varint();
  if (format > kFormat) {
    return fail(ErrorCode::kUnsupported, "a Model of format " + std::to_string(format) + " needs a newer Cairn");
  }
  for (std::uint64_t& word : record.database) word = from.varint();
  record.change = from.varint();
  record.schema = from.varint();
  const std::uint64_t count = from.varint();
  if (count > kClassesMax) return fail(ErrorCode::kCorruption, "the record of the Model lists too many classes");
  record.classes.resize(count);
  visit_classes(record.classes, count, from);
  CAIRN_TRY_VOID(from.done());
  if (format != kFormat) return fail(ErrorCode::kCorruption, "the record of the Model has no format");
  return record;
}

std::unique_ptr<Store> make_table_store(const Table& table) { return std::make_unique<TableStore>(table); }

TableStore::~TableStore() {
  if (attached_ && is_usable(table_.impl_)) table_.impl_->detach_model(keeps_objects_);
}

Result<StoreContent> TableStore::own(const std::string& schema, const std::vector<const ClassInfo*>& classes) {
  if (!is_usable(table_.impl_)) return why_unusable(table_.impl_);
  infos_ = classes;
  CAIRN_TRY_VOID(table_.impl_->attach_model());
  attached_ = true;
  return own_attached(schema);
}

Result<StoreContent> TableStore::own_attached(const std::string& schema) {
  const TableImpl& impl = *table_.impl_;
  for (const FamilyStats& each : impl.stats().families) {
    if (each.ttl.count() == 0) continue;
    return fail(ErrorCode::kInvalidArgument, "the family '" + each.name + "' of table '" + impl.name() +
                                                 "' has a time to live: a Model needs a table whose records do not expire");
  }
  StoreContent content;
  CAIRN_TRY(record, impl.get(0, kModelKey, kNow));
  if (record) {
    keeps_objects_ = true;
    CAIRN_TRY(decoded, ModelRecord::decode(*record));
    record_ = std::move(decoded);
    CAIRN_TRY_VOID(go_on(schema, content));
  } else {
    CAIRN_TRY_VOID(begin(schema));
  }
  content.change = record_.change;
  for (const ModelRecord::OfClass& each : record_.classes) {
    const auto info = std::ranges::find_if(infos_, [&](const ClassInfo* of) { return each.name == of->id.name; });
    if (info == infos_.end()) continue;
    CAIRN_TRY(last, last_stored(**info));
    content.ceilings.push_back({*info, std::max(each.ceiling, last)});
  }
  return content;
}

/// Makes an empty table that of this Model.
Result<void> TableStore::begin(const std::string& schema) {
  TableImpl& impl = *table_.impl_;
  const std::vector<std::string> names = impl.families();
  for (std::size_t i = 0; i < names.size(); ++i) {
    Scan any = Table(table_.impl_, static_cast<std::uint16_t>(i)).scan(everything(), Direction::kForward, 1);
    CAIRN_TRY_VOID(any.status());
    if (!any.valid()) continue;
    return fail(ErrorCode::kInvalidArgument, "the family '" + names[i] + "' of table '" + impl.name() +
                                                 "' holds records that no Model wrote: a Model needs a table of its own");
  }
  record_.database = impl.database_id();
  record_.schema = 1;
  CAIRN_TRY_VOID(find_families());
  const Bytes key = schema_key(record_.schema);
  const Bytes bytes = record_.encode();
  CAIRN_TRY_VOID(write({{0, RecordKind::kPut, key, schema, {}}, {0, RecordKind::kPut, kModelKey, bytes, {}}}));
  keeps_objects_ = true;
  return {};
}

/// Takes over what a Model has left.
Result<void> TableStore::go_on(const std::string& schema, StoreContent& content) {
  const TableImpl& impl = *table_.impl_;
  CAIRN_TRY(stored, impl.get(0, schema_key(record_.schema), kNow));
  if (!stored) {
    content.problems.emplace_back("the schema of the Model is lost; it is taken to be the present one");
    const Bytes key = schema_key(record_.schema);
    CAIRN_TRY_VOID(write({{0, RecordKind::kPut, key, schema, {}}}));
  } else if (stored->view() != schema) {
    return fail(ErrorCode::kUnsupported, "table '" + impl.name() +
                                             "' was written with another schema: open it with a Model of that schema. It is:\n" +
                                             std::string(stored->view()));
  }
  CAIRN_TRY_VOID(find_families());
  if (record_.database == impl.database_id()) return {};
  record_.database = impl.database_id();
  for (ModelRecord::OfClass& each : record_.classes) {
    const auto info = std::ranges::find_if(infos_, [&](const ClassInfo* of) { return each.name == of->id.name; });
    if (info == infos_.end()) continue;
    CAIRN_TRY(last, last_stored(**info));
    const DbId least = std::max(each.ceiling, last);
    each.ceiling =
        least > std::numeric_limits<DbId>::max() - kIdsSkipped ? std::numeric_limits<DbId>::max() : least + kIdsSkipped;
  }
  content.problems.emplace_back("the database was repaired: ids go on where none that was lost can have been given");
  const Bytes bytes = record_.encode();
  return write({{0, RecordKind::kPut, kModelKey, bytes, {}}});
}

/// The family of each class, which is made if there is none. Those that exist are known by number: repair may have lost the
/// names.
Result<void> TableStore::find_families() {
  TableImpl& impl = *table_.impl_;
  const std::size_t count = impl.families().size();
  for (const ClassInfo* const info : infos_) {
    auto of = std::ranges::find_if(record_.classes, [&](const auto& each) { return each.name == info->id.name; });
    if (of == record_.classes.end()) {
      CAIRN_TRY(family, impl.family(info->id.name, {}, table::Writer::kModel));
      of = record_.classes.insert(record_.classes.end(), {.name = info->id.name, .family = family});
    } else if (of->family == 0 || of->family >= count) {
      return fail(ErrorCode::kCorruption, "table '" + impl.name() + "' has no family " + std::to_string(of->family) +
                                              ", in which the class " + info->id.name + " is stored");
    }
    families_[info->id.number] = of->family;
  }
  return {};
}

Table TableStore::family(const ClassInfo& info) const { return Table(table_.impl_, families_.at(info.id.number)); }

Result<DbId> TableStore::last_stored(const ClassInfo& info) const {
  Scan last = family(info).scan(everything(), Direction::kReverse, 1);
  CAIRN_TRY_VOID(last.status());
  return last.valid() ? id_of(last.entry().key).value_or(kUnsaved) : kUnsaved;
}

Result<void> TableStore::load(const std::function<void(const ClassInfo& info, DbId id, const Fill& fill)>& visit) {
  for (const ClassInfo* const info : infos_) {
    Scan scan = family(*info).scan();
    for (const Scan::Entry entry : scan) {
      const std::optional<DbId> id = id_of(entry.key);
      visit(*info, id.value_or(kUnsaved), [&](PersistentObject& object) -> Result<void> {
        if (!id) return fail(ErrorCode::kCorruption, "a key of " + std::to_string(entry.key.size()) + " bytes is no id");
        Decoder from(entry.value);
        const std::uint64_t schema = from.varint();
        if (schema != record_.schema) {
          return fail(ErrorCode::kUnsupported, "its record is of schema " + std::to_string(schema) +
                                                   ", and the Model has schema " + std::to_string(record_.schema));
        }
        return info->decode(object, from);
      });
    }
    CAIRN_TRY_VOID(scan.status());
  }
  return {};
}

Result<void> TableStore::commit(const Save& save, const SavedObject** /*refused*/) {
  ModelRecord record = record_;
  record.change = save.change;
  std::vector<Bytes> keys;
  std::vector<Bytes> values;
  keys.reserve(save.erased.size() + save.stored.size());
  values.reserve(save.stored.size());
  std::vector<WriteRef> writes;
  writes.reserve(keys.capacity() + 1);
  for (const SavedObject& each : save.erased) {
    writes.push_back({families_.at(each.info->id.number), RecordKind::kTombstone, keys.emplace_back(key_of(each.id)), {}, {}});
  }
  for (const SavedObject& each : save.stored) {
    Bytes& value = values.emplace_back();
    Encoder to(value);
    to.varint(record.schema);
    each.info->encode(*each.object, to);
    writes.push_back({families_.at(each.info->id.number), RecordKind::kPut, keys.emplace_back(key_of(each.id)), value, {}});
  }
  const Bytes bytes = record.encode();
  writes.push_back({0, RecordKind::kPut, kModelKey, bytes, {}});
  CAIRN_TRY_VOID(write(writes));
  record_ = std::move(record);
  return {};
}

Result<std::uint64_t> TableStore::stored_change() {
  CAIRN_TRY(bytes, table_.get(kModelKey));
  if (!bytes) return fail(ErrorCode::kCorruption, "table '" + table_.impl_->name() + "' has lost the record of its Model");
  CAIRN_TRY(record, ModelRecord::decode(*bytes));
  record_ = std::move(record);
  return record_.change;
}

Result<void> TableStore::set_ceilings(const std::vector<IdCeiling>& ceilings) {
  ModelRecord record = record_;
  for (const IdCeiling& ceiling : ceilings) {
    const auto of = std::ranges::find_if(record.classes, [&](const auto& each) { return each.name == ceiling.info->id.name; });
    of->ceiling = ceiling.ceiling;
  }
  const Bytes bytes = record.encode();
  CAIRN_TRY_VOID(write({{0, RecordKind::kPut, kModelKey, bytes, {}}}));
  record_ = std::move(record);
  return {};
}

std::uint64_t TableStore::save_bytes_max() const { return table::kWriteBytesMax; }

Result<void> TableStore::write(const std::vector<WriteRef>& writes) {
  if (!is_usable(table_.impl_)) return why_unusable(table_.impl_);
  CAIRN_TRY_VOID(table_.impl_->write(writes, {.durability = Durability::kDisk, .account = 0}, table::Writer::kModel));
  return {};
}

}  // namespace cairn::objects
