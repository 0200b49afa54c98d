// The handles of cairn/forks.h.
#include "base/error.h"
#include "forks/fork_store_impl.h"

namespace cairn {

MutableAccount::MutableAccount(std::span<char> bytes, std::shared_ptr<forks::OpenAccount> account)
    : bytes_(bytes), account_(std::move(account)) {}
MutableAccount::MutableAccount(MutableAccount&& other) noexcept = default;
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
  if (writer_) store_->give_back(writer_);
}
Result<WriteVersion> ForkWriter::store(ForkNumber fork, std::span<const AccountUpdate> batch, const StoreOptions& options) {
  return store_->store(*writer_, fork, batch, options.durability);
}

Result<void> ForkStore::create_fork(ForkNumber fork, ForkNumber parent) { return impl_->create_fork(fork, parent); }
Result<void> ForkStore::freeze(ForkNumber fork) { return impl_->freeze(fork); }
Result<void> ForkStore::sync(ForkNumber fork) { return impl_->sync(fork); }
Result<void> ForkStore::set_root(ForkNumber fork) { return impl_->set_root(fork); }
Result<void> ForkStore::purge(ForkNumber fork) { return impl_->purge(fork); }
std::vector<ForkInfo> ForkStore::list() const { return impl_->list(); }

Result<WriteVersion> ForkStore::store(ForkNumber fork, std::span<const AccountUpdate> batch, const StoreOptions& options) {
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
  CAIRN_TRY(writer, impl_->take_writer());
  return ForkWriter(impl_, std::move(writer));
}

Result<std::optional<Pinned>> ForkStore::load(ForkNumber fork, ByteView key) const { return impl_->load(fork, key); }
Result<std::vector<std::optional<Pinned>>> ForkStore::load_many(ForkNumber fork, std::span<const ByteView> keys) const {
  return impl_->load_many(fork, keys);
}
Result<std::optional<MutableAccount>> ForkStore::get_mut(ForkNumber fork, ByteView key) { return impl_->get_mut(fork, key); }
Result<void> ForkStore::scan(ForkNumber fork, std::size_t part, const AccountVisitor& visit) const {
  return impl_->scan(fork, part, visit);
}
Result<void> ForkStore::scan(ForkNumber fork, const AccountVisitor& visit) const {
  for (std::size_t part = 0; part < kParts; ++part) CAIRN_TRY_VOID(impl_->scan(fork, part, visit));
  return {};
}
Result<void> ForkStore::diff(ForkNumber a, ForkNumber b, const DifferenceVisitor& visit) const {
  return impl_->diff(a, b, visit);
}
Result<StateHash> ForkStore::state_hash(ForkNumber fork) const { return impl_->state_hash(fork); }
ForkStoreStats ForkStore::stats() const { return impl_->stats(); }

}  // namespace cairn
