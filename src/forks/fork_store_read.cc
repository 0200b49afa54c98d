// load: the tree says what a fork sees, the index where it lies.
#include "base/error.h"
#include "forks/fork_store_impl.h"

namespace cairn::forks {

Result<void> check_key(ByteView key) {
  if (key.size() == kAccountKeyBytes) return {};
  return fail(ErrorCode::kInvalidArgument, "an account key has 32 bytes; this one has " + std::to_string(key.size()));
}

std::unexpected<Error> no_path(ForkNumber fork, const ForkTree& tree) {
  const std::string number = std::to_string(fork);
  if (tree.is_gone(fork)) return fail(ErrorCode::kNotFound, "fork " + number + " was purged, or pruned by a root");
  return fail(ErrorCode::kNotFound, fork < tree.root() ? "fork " + number + " lies below the root " + std::to_string(tree.root())
                                                       : "there is no fork " + number);
}

Result<std::optional<Pinned>> value_of(const VersionIndex::Found& found) {
  if (!found.file) return std::nullopt;  // It was verified when it was found.
  const storage::MappedFile& map = *found.file->map();
  const segment::RecordView record = segment::view_record(map.data() + found.place.offset(), found.place.offset());
  const RecordKind kind = record.kind();
  CAIRN_TRY_VOID(map.status());
  if (kind == RecordKind::kTombstone) return std::nullopt;
  return Pinned(record.value, found.file, &map.bad_flag());
}

/// Pruning takes out what only an older tree sees: who began with that begins again.
Result<void> ForkStoreImpl::find(ForkNumber fork, std::span<const ByteView> keys, std::span<VersionIndex::Found> found) const {
  while (true) {
    const std::uint64_t prunings = prunings_.load(std::memory_order_acquire);
    const std::shared_ptr<const ForkTree> tree = tree_.get();
    const auto path = tree->path(fork);
    if (!path) return no_path(fork, *tree);
    const Result<void> done = index_->find(*path, keys, found);
    if (prunings_.load(std::memory_order_acquire) != prunings) continue;
    return done ? done : std::unexpected(directory_->with_drive(done.error()));
  }
}

Result<std::optional<Pinned>> ForkStoreImpl::load(ForkNumber fork, ByteView key) const {
  CAIRN_TRY_VOID(check_key(key));
  VersionIndex::Found found;
  CAIRN_TRY_VOID(find(fork, {&key, 1}, {&found, 1}));
  Result<std::optional<Pinned>> value = value_of(found);
  if (!value) return std::unexpected(directory_->with_drive(value.error()));
  return value;
}

Result<std::vector<std::optional<Pinned>>> ForkStoreImpl::load_many(ForkNumber fork, std::span<const ByteView> keys) const {
  for (const ByteView key : keys) CAIRN_TRY_VOID(check_key(key));
  std::vector<VersionIndex::Found> found(keys.size());
  CAIRN_TRY_VOID(find(fork, keys, found));
  std::vector<std::optional<Pinned>> values;
  values.reserve(keys.size());
  for (const VersionIndex::Found& each : found) {
    CAIRN_TRY(value, value_of(each));
    values.push_back(std::move(value));
  }
  return values;
}

}  // namespace cairn::forks
