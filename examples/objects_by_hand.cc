// Objects in memory, of classes written by hand: packages and their maintainers, found by several keys, changed together.
#include <cairn/model.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <tuple>

struct Maintainer : cairn::PersistentObject {
  using PersistentObject::PersistentObject;
  std::string email;

  static constexpr cairn::ModelClass kClass{"Maintainer", 0};
  static constexpr cairn::UniqueHash<&Maintainer::email> by_email{"by_email"};
  static constexpr auto kIndexes = std::tuple(by_email);
};

struct Package : cairn::PersistentObject {
  using PersistentObject::PersistentObject;
  std::string name;
  std::int64_t size = 0;
  cairn::Id<Maintainer> maintainer;

  static constexpr cairn::ModelClass kClass{"Package", 1};
  static constexpr cairn::UniqueHash<&Package::name> by_name{"by_name"};
  static constexpr cairn::Sorted<&Package::size> by_size{"by_size"};
  static constexpr auto kIndexes = std::tuple(by_name, by_size);
  static constexpr auto kReferences = std::tuple(cairn::Reference<&Package::maintainer>{"maintainer"});

  [[nodiscard]] cairn::Result<void> check() const {
    if (size >= 0) return {};
    return std::unexpected(cairn::Error{cairn::ErrorCode::kInvalidArgument, "/size: must be at least 0"});
  }
};

cairn::Result<void> run() {
  cairn::Model model = cairn::Model::of<Maintainer, Package>();
  CAIRN_TRY(ann, model.create<Maintainer>([](Maintainer& made) { made.email = "ann@example.org"; }));
  CAIRN_TRY(bob, model.create<Maintainer>([](Maintainer& made) { made.email = "bob@example.org"; }));
  for (const auto& [name, size] : {std::pair("zlib1g", 170), {"hello", 50}, {"bash", 1500}}) {
    CAIRN_TRY_VOID(model.create<Package>([&](Package& made) {
      made.name = name;
      made.size = size;
      made.maintainer = ann;
    }));
  }

  // All packages of Ann go to Bob, and she leaves: together, or not at all.
  CAIRN_TRY_VOID(model.transact([&](cairn::Transaction& transaction) -> cairn::Result<void> {
    for (const Package* const package : transaction.children(&Package::maintainer, ann)) {
      CAIRN_TRY(changed, transaction.edit(cairn::Id<Package>{package->db_id()}));
      changed->maintainer = bob;
    }
    return transaction.set_deleted(ann);
  }));

  const cairn::Reading now = model.read();
  const Package* const hello = now.find(Package::by_name, "hello");
  std::cout << "hello is of " << now.find(hello->maintainer)->email << "\n";
  for (const Package& package : now.range(Package::by_size, 100, 1000)) std::cout << package.name << " is of medium size\n";
  std::cout << now.rank(Package::by_size, 1000) << " packages are smaller than 1000 KiB\n";

  // Bob cannot go: packages refer to him.
  const auto refused = model.set_deleted(bob);
  std::cout << refused.error().message << "\n";
  return {};
}

int main() {
  const cairn::Result<void> done = run();
  if (done) return 0;
  std::cerr << done.error().to_string() << "\n";
  return 1;
}
