// Models whose objects are kept in a store: loaded when they are opened, written behind.
//
//     struct PackageIndex : cairn::Model {
//       PackageIndex() : Model(of<Maintainer, Package>()) {}
//     };
//     auto database = cairn::Database::open("data", {.create_if_missing = true});
//     auto model = cairn::TablePersistence<PackageIndex>::open(*database->table("objects"));  // Result<unique_ptr<…>>
//     auto change = (*model)->edit(package, [](Package& x) { x.size = 170; });
//     (*model)->wait_until_saved(*change);
//
// Each class has a function visit_members(): cairn/objects/codec.h.
#pragma once
#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cairn/export.h"
#include "cairn/model.h"
#include "cairn/objects/store.h"
#include "cairn/table.h"

namespace cairn {

struct WriteBehindOptions {
  std::uint32_t idle_ms = 50;       ///< A save starts when nothing was changed for so long.
  std::uint32_t age_ms_max = 1000;  ///< A save starts, under load too, when a change has waited for so long.
  /// A save starts when so many bytes wait, counted as they are encoded. A store may want less.
  std::uint64_t dirty_bytes_max = 64 * kMiB;
  /// Saves run in a thread that open() starts and close() ends. Without it the program calls save_dirty_objects_as_needed().
  bool own_thread = true;
};

/// A sum over all classes, since the Model was opened.
struct CAIRN_API WriteBehindStats {
  std::uint64_t dirty_objects = 0;    ///< Changed or deleted, and not stored yet.
  std::uint64_t dirty_bytes = 0;      ///< About, encoded.
  std::uint64_t dirty_bytes_max = 0;  ///< From here on changes are refused.
  Change saved_change;                ///< The store holds the Model as it was after this change, but for objects set aside.
  std::uint64_t saves = 0;
  std::uint64_t saved_objects = 0;          ///< Stored or erased.
  std::uint64_t failures = 0;               ///< Saves that failed.
  std::string error = {};                   ///< Of the last save; empty: it succeeded.
  std::int64_t retry_in_ms = 0;             ///< When the next one is tried after a failure.
  std::vector<std::string> set_aside = {};  ///< Objects that the store refuses, and why.
};

namespace objects {

class Saver;

/// The objects of a Model in a table. The handle of the table must not outlive its Database, nor may the store.
CAIRN_API std::unique_ptr<Store> make_table_store(const Table& table);

/// Ends the use of a Saver, whose type the headers do not know.
struct CAIRN_API SaverEnd {
  void operator()(Saver* saver) const;
};

/// The part of a Persistent that does not depend on its Model.
class CAIRN_API Saving {
 public:
  /// Saves if a bound of the options is reached. The error is that of the save, which stats name too: everything stays dirty and
  /// is tried again. For programs that opened the Model without a thread of its own.
  Result<void> save_dirty_objects_as_needed();
  /// Saves all changes made before the call. Errors: of the store, and changes stay dirty; kInvalidArgument, the store refuses an
  /// object, which the message names, and all others are stored.
  Result<void> flush();
  /// Waits until the store has `change`. Errors: of a save that was tried meanwhile; kUnavailable, the Model was closed.
  Result<void> wait_until_saved(Change change);
  /// Waits until changes are accepted again, for programs that make many. Errors: as wait_until_saved().
  Result<void> wait_for_room();
  /// Saves all changes, and gives the store back. Changes are refused from now on; lookups go on. Closing what is closed is no
  /// error. Errors: kInvalidArgument, the store refuses objects, which the message names: they are lost, and the Model is closed;
  /// others of the store: not all is saved, changes are refused all the same, and close() can be called again.
  Result<void> close();
  [[nodiscard]] WriteBehindStats save_stats() const;
  /// Stored objects that could not be loaded: class, id and reason. They stay in the store as they are.
  [[nodiscard]] const std::vector<std::string>& load_reports() const;

 protected:
  Saving() = default;
  ~Saving();
  Result<void> open(ModelCore& core, std::unique_ptr<Store> store, const std::string& schema, const WriteBehindOptions& options);
  /// Closes, without a way to report an error.
  void end();

 private:
  std::unique_ptr<Saver, SaverEnd> saver_;
};

}  // namespace objects

/// A Model of class M, which derives from Model, with its objects in a store. Thread-safe, as a Model is. Not to be moved. Its
/// end closes it, without a way to report an error: call close() where it matters.
template <std::derived_from<Model> M>
class Persistent : public M, public objects::Saving {
 public:
  /// Takes the store over and loads all objects. Creating an object touches no store afterwards. Errors: kBusy, another Model
  /// owns the store; kUnsupported, it was written with another schema; kInvalidArgument, a class has no visit_members(); of the
  /// store.
  static Result<std::unique_ptr<Persistent>> open(std::unique_ptr<Store> store, const WriteBehindOptions& options = {}) {
    std::unique_ptr<Persistent> model(new Persistent());
    CAIRN_TRY_VOID(model->open_on(std::move(store), options));
    return model;
  }
  ~Persistent() { end(); }
  Persistent(const Persistent&) = delete;
  Persistent& operator=(const Persistent&) = delete;

 protected:
  Persistent() = default;
  Result<void> open_on(std::unique_ptr<Store> store, const WriteBehindOptions& options) {
    return Saving::open(this->core(), std::move(store), schema(), options);
  }
  /// What the store remembers of the classes: M::kSchema or, without it, their names.
  [[nodiscard]] std::string schema() const {
    if constexpr (requires { M::kSchema; }) {
      return std::string(M::kSchema);
    } else {
      return this->class_names();
    }
  }
};

/// A Model with its objects in a table, which has a family for each class and no other content. The table can be written by its
/// Model alone: other writes are kBusy. Close it before its Database.
template <std::derived_from<Model> M>
class TablePersistence : public Persistent<M> {
 public:
  /// As Persistent::open(). kInvalidArgument: the table holds records that no Model wrote.
  static Result<std::unique_ptr<TablePersistence>> open(const Table& table, const WriteBehindOptions& options = {}) {
    std::unique_ptr<TablePersistence> model(new TablePersistence());
    CAIRN_TRY_VOID(model->open_on(objects::make_table_store(table), options));
    return model;
  }

 private:
  TablePersistence() = default;
};

}  // namespace cairn
