// A Model for tests that kill real processes: accounts between which a fixed sum moves, and an entry for each transfer.
#pragma once
#include <cstdint>
#include <string>
#include <tuple>

#include "cairn/persistence.h"

namespace cairn::test {

struct Account : PersistentObject {
  using PersistentObject::PersistentObject;
  std::string name;
  std::int64_t balance = 0;

  static constexpr ModelClass kClass{"Account", 0};
  static constexpr UniqueHash<&Account::name> by_name{"by_name"};
  static constexpr auto kIndexes = std::tuple(by_name);
  template <typename Self, typename Visitor>
  static void visit_members(Self& self, Visitor& visit) {
    visit("name", self.name);
    visit("balance", self.balance);
  }
};

struct Entry : PersistentObject {
  using PersistentObject::PersistentObject;
  Id<Account> from;
  Id<Account> to;
  std::int64_t amount = 0;

  static constexpr ModelClass kClass{"Entry", 1};
  static constexpr auto kReferences = std::tuple(Reference<&Entry::from>{"from"}, Reference<&Entry::to>{"to"});
  template <typename Self, typename Visitor>
  static void visit_members(Self& self, Visitor& visit) {
    visit("from", self.from);
    visit("to", self.to);
    visit("amount", self.amount);
  }
};

struct Bank : Model {
  Bank() : Model(of<Account, Entry>()) {}
  static constexpr std::int64_t kAccounts = 20;
  static constexpr std::int64_t kEach = 1000;

  /// Makes the accounts, if there are none.
  Result<void> begin() {
    if (read().count<Account>() != 0) return {};
    CAIRN_TRY_VOID(transact([](Transaction& transaction) -> Result<void> {
      for (std::int64_t i = 0; i < kAccounts; ++i) {
        CAIRN_TRY(made, transaction.create<Account>());
        made->name = "account" + std::to_string(i);
        made->balance = kEach;
      }
      return {};
    }));
    return {};
  }
  /// Moves 1 between two accounts. The id of the entry goes to `entry` when it is given, also if the transfer fails later.
  Result<Change> transfer(std::int64_t number, Id<Entry>& entry) {
    return transact([&](Transaction& transaction) -> Result<void> {
      const Account* const from = transaction.find(Account::by_name, "account" + std::to_string(number % kAccounts));
      const Account* const to = transaction.find(Account::by_name, "account" + std::to_string((number * 7 + 3) % kAccounts));
      if (from == nullptr || to == nullptr) return std::unexpected(Error{ErrorCode::kNotFound, "no account"});
      CAIRN_TRY(made, transaction.create<Entry>());
      entry = {made->db_id()};
      made->from = {from->db_id()};
      made->to = {to->db_id()};
      made->amount = 1;
      CAIRN_TRY(payer, transaction.edit(made->from));
      payer->balance -= 1;
      CAIRN_TRY(payee, transaction.edit(made->to));
      payee->balance += 1;
      return {};
    });
  }
};

}  // namespace cairn::test
