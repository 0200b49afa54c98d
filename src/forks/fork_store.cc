// The handles of cairn/forks.h.
#include "base/error.h"
#include "base/handle.h"
#include "forks/fork_store_impl.h"

namespace cairn {

MutableAccount::MutableAccount(std::span<char> bytes, std::shared_ptr<forks::OpenAccount> account)
    : bytes_(bytes), account_(std::move(account)) {}
MutableAccount::MutableAccount(MutableAccount&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), account_(std::move(other.account_)) {}
MutableAccount& MutableAccount::operator=(MutableAccount&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(account_, other.account_);
  return *this;
}
MutableAccount::~MutableAccount() {
  if (account_) account_->held.store(false, std::memory_order_release);
}

ForkWriter::ForkWriter(std::shared_ptr<forks::ForkStoreImpl> store, std::shared_ptr<forks::Writer> writer)
    : store_(std::move(store)), writer_(std::move(writer)) {}
ForkWriter::ForkWriter(ForkWriter&&) noexcept = default;
ForkWriter& ForkWriter::operator=(ForkWriter&& other) noexcept {
  std::swap(store_, other.store_);
  std::swap(writer_, other.writer_);
  return *this;
}
ForkWriter::~ForkWriter() {
  if (writer_ && is_usable(store_)) store_->give_back(writer_);
}
Result<WriteVersion> ForkWriter::store(ForkNumber fork, std::span<const AccountUpdate> batch, const StoreOptions& options) {
  if (!is_usable(store_)) return why_unusable(store_);
  return store_->store(*writer_, fork, batch, options.durability);
}

Result<void> ForkStore::create_fork(ForkNumber fork, ForkNumber parent) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->create_fork(fork, parent);
}
Result<void> ForkStore::freeze(ForkNumber fork) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->freeze(fork);
}
Result<void> ForkStore::sync(ForkNumber fork) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->sync(fork);
}
Result<void> ForkStore::set_root(ForkNumber fork) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->set_root(fork);
}
Result<void> ForkStore::purge(ForkNumber fork) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->purge(fork);
}
std::vector<ForkInfo> ForkStore::list() const {
  if (!is_usable(impl_)) return {};
  return impl_->list();
}

Result<WriteVersion> ForkStore::store(ForkNumber fork, std::span<const AccountUpdate> batch, const StoreOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->store(impl_->shared_writer(), fork, batch, options.durability);
}
Result<WriteVersion> ForkStore::store(ForkNumber fork, ByteView key, ByteView value, const StoreOptions& options) {
  const AccountUpdate update{.key = key, .value = value};
  return store(fork, {&update, 1}, options);
}
Result<WriteVersion> ForkStore::erase(ForkNumber fork, ByteView key, const StoreOptions& options) {
  const AccountUpdate update{.key = key, .erase = true};
  return store(fork, {&update, 1}, options);
}
Result<ForkWriter> ForkStore::writer() {
  if (!is_usable(impl_)) return why_unusable(impl_);
  CAIRN_TRY(writer, impl_->take_writer());
  return ForkWriter(impl_, std::move(writer));
}

Result<std::optional<Pinned>> ForkStore::load(ForkNumber fork, ByteView key) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->load(fork, key);
}
Result<std::vector<std::optional<Pinned>>> ForkStore::load_many(ForkNumber fork, std::span<const ByteView> keys) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->load_many(fork, keys);
}
Result<std::optional<MutableAccount>> ForkStore::get_mut(ForkNumber fork, ByteView key) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->get_mut(fork, key);
}
Result<void> ForkStore::scan(ForkNumber fork, std::size_t part, const AccountVisitor& visit) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->scan(fork, part, visit);
}
Result<void> ForkStore::scan(ForkNumber fork, const AccountVisitor& visit) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  for (std::size_t part = 0; part < kParts; ++part) CAIRN_TRY_VOID(impl_->scan(fork, part, visit));
  return {};
}
Result<void> ForkStore::diff(ForkNumber a, ForkNumber b, const DifferenceVisitor& visit) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->diff(a, b, visit);
}
Result<StateHash> ForkStore::state_hash(ForkNumber fork) const {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->state_hash(fork);
}
ForkStoreStats ForkStore::stats() const {
  if (!is_usable(impl_)) return {};
  return impl_->stats();
}

}  // namespace cairn
