#include "table/memtable.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "sealed/sealed_format.h"

namespace cairn::table {
namespace {

constexpr std::size_t kTermHead = sizeof(const char*) + sizeof(std::uint32_t);

sealed::Entry entry_of(const segment::RecordView& record) {
  return {.key = record.key,
          .value = record.value,
          .kind = record.kind(),
          .write_version = record.header.write_version,
          .stamp = record.header.stamp,
          .account = record.account,
          .expiry_ms = record.expiry_ms};
}
sealed::Entry entry_at(const char* at) { return entry_of(segment::view_record(at, 0)); }

const RangeTombstones kNoRangeTombstones;

}  // namespace

ByteView Memtable::TermTraits::key(const char* at) { return {at + kTermHead, load<std::uint32_t>(at + sizeof(const char*))}; }
std::uint64_t Memtable::TermTraits::version(const char* at) { return RecordTraits::version(load<const char*>(at)); }

Memtable::FamilyIndex::FamilyIndex(Arena& arena, std::shared_ptr<const Family> of)
    : family(std::move(of)), records(arena), range_tombstones(&kNoRangeTombstones) {
  for (std::size_t i = 0; i < family->indexes.size(); ++i) terms.push_back(std::make_unique<TermTree>(arena));
}

Memtable::Memtable(MemoryBudget& memory, std::vector<std::shared_ptr<const Family>> families, std::uint64_t hash_seed)
    : memory_(memory), hash_seed_(hash_seed), arena_(memory), other_arena_(memory) {
  for (auto& family : families) add_family(std::move(family));
}

Memtable::~Memtable() { memory_.subtract(range_tombstone_bytes_); }

void Memtable::add_family(std::shared_ptr<const Family> family) {
  const std::size_t number = family_count_.load(std::memory_order_relaxed);
  CAIRN_ASSERT(number < families_.size());
  families_[number] = std::make_unique<FamilyIndex>(arena_, std::move(family));
  family_count_.store(number + 1, std::memory_order_release);
}

void Memtable::add_source(Source source) {
  source_nodes_.push_back({std::move(source), newest_source_.load(std::memory_order_relaxed)});
  newest_source_.store(&source_nodes_.back(), std::memory_order_release);
}

std::vector<Memtable::Source> Memtable::sources() const {
  std::vector<Source> all;
  for (const auto* node = newest_source_.load(std::memory_order_acquire); node != nullptr; node = node->older) {
    all.push_back(node->source);
  }
  std::reverse(all.begin(), all.end());
  return all;
}

const Memtable::Source* Memtable::source_of(const char* at) const {
  for (const auto* node = newest_source_.load(std::memory_order_acquire); node != nullptr; node = node->older) {
    const ByteView bytes = node->source.file->map()->bytes();
    if (at >= bytes.data() && at <= bytes.data() + bytes.size()) return &node->source;
  }
  return nullptr;
}

void Memtable::insert(const char* at, const segment::RecordView& record, std::span<const Term> terms) {
  FamilyIndex& index = this->at(record.header.family);
  if (record.kind() == RecordKind::kRangeTombstone) {
    note_range_tombstone(index, record);
  } else {
    index.records.insert(at);
    if (!terms.empty()) insert_terms(index, at, terms);
  }
  count(index, record);
}

void Memtable::note(const char* at, const segment::RecordView& record, std::span<const Term> terms) {
  FamilyIndex& index = this->at(record.header.family);
  if (record.kind() == RecordKind::kRangeTombstone) {
    note_range_tombstone(index, record);
  } else {
    index.noted_common = index.noted.empty()
                             ? record.key.size()
                             : common_bytes(record.key.substr(0, index.noted_common), segment::key_at(index.noted.front()));
    index.noted.push_back(at);
    if (!terms.empty()) insert_terms(index, at, terms);
  }
  count(index, record);
}

void Memtable::insert_noted(directory::JobRunner& jobs) {
  static_assert(radix::Fillers::kWorkers == directory::JobRunner::kSharers);
  const radix::Fillers fillers{
      .share = [&](const char* name, std::size_t count, const radix::Fillers::Work& work) { jobs.share(name, count, work); },
      .arenas = {&arena_, &other_arena_}};
  for (std::uint16_t i = 0; has(i); ++i) {
    FamilyIndex& index = at(i);
    index.records.fill(std::exchange(index.noted, {}), index.noted_common, fillers);
  }
}

void Memtable::count(FamilyIndex& index, const segment::RecordView& record) {
  if (record.kind() != RecordKind::kRangeTombstone) ++index.bounds.records;
  index.bounds.object_bytes += sealed::object_bytes(record.key.size(), record.value.size(), record.header.flags);
  index.bounds.key_bytes_max = std::max<std::uint64_t>(index.bounds.key_bytes_max, record.key.size());
  add_alone(index.record_count, 1);
  if (version_first() == 0) version_first_.store(record.header.write_version, std::memory_order_relaxed);
  version_last_.store(record.header.write_version, std::memory_order_relaxed);
  add_alone(records_, 1);
  add_alone(log_bytes_, record.bytes);
}

void Memtable::insert_terms(FamilyIndex& index, const char* at, std::span<const Term> terms) {
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (!terms[i]) continue;
    const Bytes stored = index.family->indexes[i].stored(*terms[i], hash_seed_);
    char* const thing = arena_.allocate(kTermHead + stored.size());
    store(thing, at);
    store(thing + sizeof(const char*), static_cast<std::uint32_t>(stored.size()));
    std::copy(stored.begin(), stored.end(), thing + kTermHead);
    index.terms[i]->insert(thing);
  }
}

void Memtable::note_range_tombstone(FamilyIndex& index, const segment::RecordView& record) {
  index.range_tombstones_of_write.push_back(entry_of(record));  // Its bounds lie in the mapped log.
  range_tombstones_noted_ = true;
  ++range_tombstones_;
}

void Memtable::end_write() {
  if (!range_tombstones_noted_) return;
  range_tombstones_noted_ = false;
  for (std::uint16_t i = 0; has(i); ++i) {
    FamilyIndex& index = at(i);
    if (index.range_tombstones_of_write.empty()) continue;
    RangeTombstones made = RangeTombstones::of_one_write(std::exchange(index.range_tombstones_of_write, {}));
    const RangeTombstones& before = *index.range_tombstones.load(std::memory_order_relaxed);
    if (!before.empty()) {
      const std::array<const RangeTombstones*, 2> both = {&before, &made};
      made = RangeTombstones::merged(both);
    }
    memory_.add(made.memory_bytes());
    range_tombstone_bytes_.fetch_add(made.memory_bytes(), std::memory_order_relaxed);
    index.range_tombstones_ever.push_back(std::make_unique<const RangeTombstones>(std::move(made)));
    index.range_tombstones.store(index.range_tombstones_ever.back().get(), std::memory_order_release);
  }
}

const RangeTombstones& Memtable::range_tombstones(std::uint16_t family) const {
  return has(family) ? *at(family).range_tombstones.load(std::memory_order_acquire) : kNoRangeTombstones;
}

std::uint64_t Memtable::record_count(std::uint16_t family) const {
  return has(family) ? at(family).record_count.load(std::memory_order_relaxed) : 0;
}

std::optional<sealed::Entry> Memtable::get(std::uint16_t family, ByteView key, std::uint64_t version_max) const {
  if (!has(family)) return std::nullopt;
  const char* const found = at(family).records.find(key, version_max);
  if (found == nullptr) return std::nullopt;
  return entry_at(found);
}

Result<void> Memtable::find_term(std::uint16_t family, std::size_t index, ByteView term,
                                 const std::function<Result<void>(const sealed::Entry&)>& visit) const {
  if (!has(family)) return {};
  return at(family).terms[index]->visit(term, [&](const char* thing) { return visit(entry_at(load<const char*>(thing))); });
}

class MemtableCursor final : public sealed::Cursor {
 public:
  MemtableCursor(const std::shared_ptr<const Memtable>& memtable, std::uint16_t family)
      : memtable_(memtable), at_(memtable->at(family).records) {}
  Result<void> seek(ByteView key) override { return at_.seek(key), take(); }
  Result<void> seek_first() override { return at_.seek_first(), take(); }
  Result<void> seek_before(ByteView key, std::uint64_t version) override { return at_.seek_before(key, version), take(); }
  Result<void> seek_last() override { return at_.seek_last(), take(); }
  Result<void> next() override { return at_.next(), take(); }
  Result<void> prev() override { return at_.prev(), take(); }

 private:
  Result<void> take() {
    entry_ = nullptr;
    if (!at_.valid()) return {};
    now_ = entry_at(at_.thing());
    entry_ = &now_;
    return {};
  }
  std::shared_ptr<const Memtable> memtable_;
  Memtable::Records::Iterator at_;
  sealed::Entry now_;
};

std::unique_ptr<sealed::Cursor> Memtable::cursor(std::uint16_t family) const {
  if (!has(family)) return nullptr;
  return std::make_unique<MemtableCursor>(shared_from_this(), family);
}

}  // namespace cairn::table
