// What a Model needs of a place that keeps its objects. A program with a store of its own derives from Store and opens a
// Persistent<M> on it.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cairn/export.h"
#include "cairn/objects/class_info.h"
#include "cairn/result.h"

namespace cairn {

/// An object that a save stores or erases.
struct SavedObject {
  const objects::ClassInfo* info;
  DbId id;
  const PersistentObject* object;  ///< nullptr: the object is erased.
};

/// The changes from one save to the next. All of it is stored, or nothing.
struct Save {
  std::uint64_t change;  ///< The number of the last commit: the store then holds the Model as it was after this commit.
  /// Objects to erase first: those of classes that are referred to before those of classes that refer to them; classes that refer
  /// to each other count as one; within it in the order of ids. Objects that were never stored may be among them.
  std::vector<SavedObject> erased;
  std::vector<SavedObject> stored;
};

/// Ids up to `ceiling` may have been given to objects of a class.
struct IdCeiling {
  const objects::ClassInfo* info;
  DbId ceiling;
};

/// What a store held when it was opened.
struct StoreContent {
  std::uint64_t change = 0;           ///< Of the last save.
  std::vector<IdCeiling> ceilings;    ///< One for each class.
  std::vector<std::string> problems;  ///< Sentences about what cannot be used.
};

/// Keeps the objects of one Model at a time. One thread at a time calls its functions, which may block. What returns without an
/// error is durable.
class CAIRN_API Store {
 public:
  virtual ~Store() = default;
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Becomes the one owner of the store, and prepares it for these classes. Called once, first. `schema` describes the classes.
  /// Errors: kBusy, another Model owns it; kUnsupported, it holds objects of another schema; kCorruption; kIo.
  virtual Result<StoreContent> own(const std::string& schema, const std::vector<const objects::ClassInfo*>& classes) = 0;

  /// Sets the members of an object to what is stored. kCorruption: the record does not fit.
  using Fill = std::function<Result<void>(PersistentObject& object)>;
  /// Calls `visit` for every stored object, in the order of ids within a class.
  virtual Result<void> load(const std::function<void(const objects::ClassInfo& info, DbId id, const Fill& fill)>& visit) = 0;

  /// Stores `save`. `refused`: set if the error is about one object alone, to its SavedObject: a save without it may succeed, and
  /// this one has changed nothing. After any other error it is unknown whether the save was stored: stored_change() tells.
  virtual Result<void> commit(const Save& save, const SavedObject** refused) = 0;
  /// The number of the change that the last stored save had.
  virtual Result<std::uint64_t> stored_change() = 0;
  virtual Result<void> set_ceilings(const std::vector<IdCeiling>& ceilings) = 0;
  /// Bytes of objects that one save may have at most.
  [[nodiscard]] virtual std::uint64_t save_bytes_max() const = 0;
};

}  // namespace cairn
