#include "forks/open_accounts.h"

#include <algorithm>

#include "base/error.h"
#include "forks/record_key.h"
#include "segment/record.h"

namespace cairn::forks {
namespace {

constexpr std::uint64_t kChunkLeast = 64 * kKiB;
constexpr std::uint64_t kChunkMost = 4 * kMiB;

/// Memory that looks like a segment.
class Memory final : public storage::MappedFile {
 public:
  explicit Memory(std::unique_ptr<char[]> bytes, std::uint64_t size)
      : MappedFile("memory", bytes.get(), size), bytes_(std::move(bytes)) {}
  [[nodiscard]] const std::atomic<bool>& bad_flag() const override { return bad_; }

 private:
  const std::unique_ptr<char[]> bytes_;
  const std::atomic<bool> bad_{false};
};

}  // namespace

OpenAccounts::~OpenAccounts() { budget_.subtract(bytes_.load()); }

Result<OpenAccounts::Chunk*> OpenAccounts::room(OfFork& fork, std::uint64_t bytes) {
  if (!fork.chunks.empty() && fork.chunks.back().end + bytes <= fork.chunks.back().size) return &fork.chunks.back();
  const std::uint64_t wanted = fork.chunks.empty() ? kChunkLeast : std::min(2 * fork.chunks.back().size, kChunkMost);
  // Its first bytes stay empty: no place is 0.
  const std::uint64_t size = std::max(wanted, bytes + segment::kRecordAlign);
  if (bytes_.load() + size > bytes_max_) {
    return fail(ErrorCode::kNoSpace, "accounts that are changed in place take " + std::to_string(bytes_.load()) +
                                         " bytes of memory; sync or freeze their forks");
  }
  auto memory = std::make_shared<Memory>(std::unique_ptr<char[]>(new char[size]), size);
  const auto file = std::make_shared<const directory::LiveFile>(memory, nullptr);
  const auto number = table_.add(file);
  if (!number) return fail(ErrorCode::kUnavailable, "a fork store has at most 262,144 segments");
  fork.chunks.push_back({.number = *number, .file = file, .end = segment::kRecordAlign, .size = size});
  sizes_[*number] = size;
  bytes_ += size;
  budget_.add(size);
  return &fork.chunks.back();
}

Result<std::shared_ptr<OpenAccount>> OpenAccounts::add(std::uint64_t fork, ByteView key, ByteView value) {
  const RecordKey record_key(fork, key);
  const segment::RecordInput input{.family = kForksFamily, .key = record_key.view(), .value = value};
  const std::uint64_t bytes = segment::encoded_bytes(input);
  OfFork& of_fork = forks_[fork];
  CAIRN_TRY(chunk, room(of_fork, bytes));
  numbers_[chunk->number] = fork;
  auto account = std::make_shared<OpenAccount>();
  account->fork = fork;
  account->place = Place(chunk->number, chunk->end, SizeClass(bytes, false));
  account->memory = chunk->file;
  segment::encode_record(const_cast<char*>(chunk->file->map()->data()) + chunk->end, input, 0);  // NOLINT: it is our own.
  chunk->end += bytes;
  of_fork.accounts.emplace(account->place.word(), account);
  return account;
}

void OpenAccounts::set_replaced(OpenAccount& account, Place replaced) {
  if (account.replaced.word() != 0) replaced_.erase(account.replaced.word());
  account.replaced = replaced;
  if (replaced.word() != 0) replaced_[replaced.word()] = &account;
}

std::shared_ptr<OpenAccount> OpenAccounts::find(Place place) const {
  const auto number = numbers_.find(place.segment());
  if (number == numbers_.end()) return nullptr;
  const OfFork& fork = forks_.at(number->second);
  const auto found = fork.accounts.find(place.word());
  return found == fork.accounts.end() ? nullptr : found->second;
}

OpenAccount* OpenAccounts::standing_for(Place replaced) const {
  const auto found = replaced_.find(replaced.word());
  return found == replaced_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<OpenAccount>> OpenAccounts::of(std::uint64_t fork) const {
  std::vector<std::shared_ptr<OpenAccount>> all;
  const auto found = forks_.find(fork);
  if (found == forks_.end()) return all;
  for (const auto& [place, account] : found->second.accounts) all.push_back(account);
  std::ranges::sort(all, {}, [](const auto& account) { return account->place.word(); });
  return all;
}

void OpenAccounts::erase(const OpenAccount& account) {
  if (account.replaced.word() != 0) replaced_.erase(account.replaced.word());
  forks_.at(account.fork).accounts.erase(account.place.word());
}

std::vector<std::uint32_t> OpenAccounts::take_unused() {
  std::vector<std::uint32_t> unused;
  std::erase_if(forks_, [&](const auto& each) {
    const OfFork& fork = each.second;
    if (!fork.accounts.empty()) return false;
    for (const Chunk& chunk : fork.chunks) unused.push_back(chunk.number);
    return true;
  });
  for (const std::uint32_t number : unused) numbers_.erase(number);
  return unused;
}

void OpenAccounts::release(std::span<const std::uint32_t> numbers) {
  std::uint64_t bytes = 0;
  {
    const MutexLock lock(mutex);
    for (const std::uint32_t number : numbers) {
      bytes += sizes_.at(number);
      sizes_.erase(number);
    }
  }
  for (const std::uint32_t number : numbers) table_.remove(number);
  bytes_ -= bytes;
  budget_.subtract(bytes);
}

}  // namespace cairn::forks
