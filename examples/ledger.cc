// Replays the Debian package index (`apt-cache dumpavail`, or /var/lib/dpkg/status) on standard input as a ledger: each package
// is a transfer of its installed size, in KiB, from the account of its section to that of its maintainer. Blocks of 1,000
// transfers are forks of a fork store. Now and then two blocks compete: one has all transfers, the other leaves some out. For a
// while both are built upon; then one is purged, the other becomes the root. In every fork the balances of all accounts add up to
// 0.
//
//   ledger DIR SNAPSHOT RESTORED      all of them absent
#include <cairn/cairn.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace {

using cairn::Bytes;
using cairn::ForkNumber;
using cairn::ForkStore;
using cairn::Result;

struct Transfer {
  std::string from;
  std::string to;
  long long amount = 0;
};

/// 32 bytes for a name: four times FNV-1a, each begun with another number.
Bytes key_of(const std::string& name) {
  Bytes key;
  for (std::uint64_t lane = 1; lane <= 4; ++lane) {
    std::uint64_t hash = 0xcbf29ce484222325U * lane;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    key.append(reinterpret_cast<const char*>(&hash), sizeof hash);
  }
  return key;
}

std::vector<Transfer> read_transfers(std::istream& in) {
  std::vector<Transfer> transfers;
  std::map<std::string, std::string> stanza;
  for (std::string line; std::getline(in, line) || !stanza.empty();) {
    const std::size_t colon = line.find(": ");
    if (!line.empty() && in) {
      if (colon != std::string::npos && line[0] != ' ') stanza[line.substr(0, colon)] = line.substr(colon + 2);
      continue;
    }
    if (stanza.contains("Installed-Size") && stanza.contains("Maintainer")) {
      transfers.push_back({stanza["Section"], stanza["Maintainer"], std::atoll(stanza["Installed-Size"].c_str())});
    }
    stanza.clear();
  }
  return transfers;
}

/// What an account holds is its balance, as text.
Result<long long> balance_of(const ForkStore& ledger, ForkNumber fork, const std::string& name) {
  CAIRN_TRY(hit, ledger.load(fork, key_of(name)));
  return hit ? std::atoll(Bytes(hit->view()).c_str()) : 0;
}

/// Makes a block below `parent` of some transfers; of those every `left_out`th is left out, 0: none.
Result<void> add_block(ForkStore& ledger, ForkNumber block, ForkNumber parent, std::span<const Transfer> transfers,
                       std::size_t left_out) {
  CAIRN_TRY_VOID(ledger.create_fork(block, parent));
  std::map<std::string, long long> balances;
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    if (left_out != 0 && i % left_out == 0) continue;
    for (const std::string& name : {transfers[i].from, transfers[i].to}) {
      if (balances.contains(name)) continue;
      CAIRN_TRY(balance, balance_of(ledger, parent, name));
      balances[name] = balance;
    }
    balances[transfers[i].from] -= transfers[i].amount;
    balances[transfers[i].to] += transfers[i].amount;
  }
  std::vector<Bytes> keys;
  std::vector<Bytes> values;
  for (const auto& [name, balance] : balances) {
    keys.push_back(key_of(name));
    values.push_back(std::to_string(balance));
  }
  std::vector<cairn::AccountUpdate> batch;
  for (std::size_t i = 0; i < keys.size(); ++i) batch.push_back({.key = keys[i], .value = values[i]});
  CAIRN_TRY_VOID(ledger.store(block, batch, {.durability = cairn::Durability::kKernel}));
  return {};
}

Result<void> check_sum(const ForkStore& ledger, ForkNumber fork) {
  long long sum = 0;
  CAIRN_TRY_VOID(ledger.scan(fork, [&](cairn::ByteView, const cairn::Pinned& value) -> Result<void> {
    sum += std::atoll(Bytes(value.view()).c_str());
    return {};
  }));
  if (sum == 0) return {};
  return std::unexpected(cairn::Error{cairn::ErrorCode::kCorruption,
                                      "the balances of block " + std::to_string(fork) + " add up to " + std::to_string(sum), "",
                                      0});
}

class Chain {
 public:
  Chain(ForkStore ledger, std::vector<Transfer> transfers) : ledger_(std::move(ledger)), transfers_(std::move(transfers)) {}

  Result<void> replay() {
    constexpr std::size_t kBlock = 1000;
    for (std::size_t begin = 0; begin < transfers_.size(); begin += kBlock) {
      const auto some = std::span(transfers_).subspan(begin, std::min(kBlock, transfers_.size() - begin));
      const bool competes = rival_ == 0 && ++since_rival_ % 8 == 0;
      const ForkNumber parent = tip_;
      tip_ = ++last_;
      CAIRN_TRY_VOID(add_block(ledger_, tip_, parent, some, 0));
      if (competes || rival_ != 0) {
        const ForkNumber rivals_parent = rival_ != 0 ? rival_ : parent;
        if (first_of_rival_ == 0) first_of_rival_ = last_ + 1;
        rival_ = ++last_;
        CAIRN_TRY_VOID(add_block(ledger_, rival_, rivals_parent, some, 3));
        if (++rivals_length_ == 3) CAIRN_TRY_VOID(settle());
      }
    }
    if (rival_ != 0) CAIRN_TRY_VOID(settle());
    return ledger_.freeze(tip_);
  }
  [[nodiscard]] ForkNumber tip() const { return tip_; }
  /// The account with the most transfers.
  [[nodiscard]] std::string busiest() const {
    std::map<std::string, std::size_t> counts;
    for (const Transfer& transfer : transfers_) ++counts[transfer.to];
    return std::ranges::max_element(counts, {}, [](const auto& each) { return each.second; })->first;
  }

 private:
  /// Two chains compete: one is given up, and the other cannot be undone any more.
  Result<void> settle() {
    CAIRN_TRY_VOID(check_sum(ledger_, tip_));
    CAIRN_TRY_VOID(check_sum(ledger_, rival_));
    if (!shown_) {
      CAIRN_TRY(here, balance_of(ledger_, tip_, busiest()));
      CAIRN_TRY(there, balance_of(ledger_, rival_, busiest()));
      std::size_t differences = 0;
      CAIRN_TRY_VOID(ledger_.diff(tip_, rival_, [&](auto, const auto&, const auto&) -> Result<void> {
        ++differences;
        return {};
      }));
      std::printf("blocks %lu and %lu compete: %s has %lld KiB in one, %lld in the other; %zu accounts differ\n", tip_, rival_,
                  busiest().c_str(), here, there, differences);
    }
    CAIRN_TRY(before, ledger_.state_hash(tip_));
    CAIRN_TRY_VOID(ledger_.purge(first_of_rival_));
    CAIRN_TRY(after, ledger_.state_hash(tip_));
    if (!(before == after)) std::printf("WRONG: the purge changed block %lu\n", tip_);
    CAIRN_TRY_VOID(ledger_.set_root(tip_));
    if (!shown_) {
      std::printf("block %lu and what was built on it is purged; %lu is the root, and its hash as before:\n  %s\n",
                  first_of_rival_, tip_, after.to_string().c_str());
    }
    shown_ = true;
    rival_ = 0;
    first_of_rival_ = 0;
    rivals_length_ = 0;
    return {};
  }

  ForkStore ledger_;
  const std::vector<Transfer> transfers_;
  ForkNumber tip_ = 0;
  ForkNumber last_ = 0;
  ForkNumber rival_ = 0;  // The tip of the other chain; 0: there is none.
  ForkNumber first_of_rival_ = 0;
  int rivals_length_ = 0;
  std::size_t since_rival_ = 0;
  bool shown_ = false;
};

Result<void> run(const std::string& dir, const std::string& snapshot, const std::string& restored) {
  std::vector<Transfer> transfers = read_transfers(std::cin);
  CAIRN_TRY(database, cairn::Database::open(dir, {.create_if_missing = true}));
  CAIRN_TRY(ledger, database.forks("ledger"));
  std::printf("%zu transfers\n", transfers.size());
  if (transfers.empty()) return {};
  Chain chain(ledger, std::move(transfers));
  CAIRN_TRY_VOID(chain.replay());
  CAIRN_TRY_VOID(check_sum(ledger, chain.tip()));
  CAIRN_TRY(hash, ledger.state_hash(chain.tip()));
  CAIRN_TRY(balance, balance_of(ledger, chain.tip(), chain.busiest()));
  std::printf("block %lu: %lu accounts, %s has %lld KiB\n", chain.tip(), ledger.stats().accounts, chain.busiest().c_str(),
              balance);
  CAIRN_TRY_VOID(database.checkpoint(snapshot));
  CAIRN_TRY_VOID(database.close());

  CAIRN_TRY_VOID(cairn::Database::restore(snapshot, restored));
  CAIRN_TRY(again, cairn::Database::open(restored));
  CAIRN_TRY(copy, again.forks("ledger", {.create_if_missing = false}));
  CAIRN_TRY(copied, copy.state_hash(chain.tip()));
  CAIRN_TRY(kept, balance_of(copy, chain.tip(), chain.busiest()));
  std::printf("restarted from the snapshot: %s has %lld KiB, the hash of all accounts is %s\n", chain.busiest().c_str(), kept,
              copied == hash ? "the same" : "ANOTHER");
  if (!(copied == hash)) return std::unexpected(cairn::Error{cairn::ErrorCode::kCorruption, "the snapshot differs", "", 0});
  return again.close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: ledger DIR SNAPSHOT RESTORED < package index\n");
    return 2;
  }
  const Result<void> done = run(argv[1], argv[2], argv[3]);
  if (done) return 0;
  std::fprintf(stderr, "ledger: %s\n", done.error().to_string().c_str());
  return 1;
}
