// The base of every object that a Model holds.
#pragma once
#include <atomic>
#include <compare>
#include <cstdint>

#include "cairn/export.h"

namespace cairn {

/// The primary key of an object: greater than 0, unique in its class, never given twice. Every reference to an object is a DbId.
using DbId = std::int64_t;
/// The id of an object that no Model has made. As a reference: none.
inline constexpr DbId kUnsaved = 0;

/// The id of an object of class T: ids of different classes do not mix.
template <typename T>
struct Id {
  DbId value = kUnsaved;

  explicit operator bool() const { return value != kUnsaved; }
  friend auto operator<=>(const Id&, const Id&) = default;
};

namespace objects {
struct ObjectAccess;
}

/// The base of every class of a Model. It has no virtual functions; a class adds public data members. An object that is in a
/// Model never changes: an edit changes a copy, which replaces the object. Copying an object copies its id, and assigning one to
/// another leaves the id of the target as it is.
class CAIRN_API PersistentObject {
 public:
  explicit PersistentObject(DbId id = kUnsaved) : db_id_(id) {}
  PersistentObject(const PersistentObject& other) : db_id_(other.db_id_) {}
  PersistentObject& operator=(const PersistentObject&) { return *this; }
  [[nodiscard]] DbId db_id() const { return db_id_; }
  /// True for what on_change() gives as the deleted object. A version that was found before the deletion stays as it is: look the
  /// id up again to learn whether the object is still there.
  [[nodiscard]] bool is_deleted() const { return (uses_.load(std::memory_order_relaxed) & kDeleted) != 0; }

 protected:
  ~PersistentObject() = default;

 private:
  friend struct objects::ObjectAccess;

  static constexpr std::uint32_t kDeleted = std::uint32_t{1} << 31;

  DbId db_id_;
  mutable std::atomic<std::uint32_t> uses_{0};         // How many Models, Helds and dirty lists use it; kDeleted is set before
                                                       // it is published.
  mutable std::atomic<std::uint32_t> dirty_place_{0};  // In the dirty list of the Model that made this version, once it is there.
};

namespace objects {

/// Access of a Model to the private members of an object.
struct ObjectAccess {
  static void set_id(PersistentObject& object, DbId id) { object.db_id_ = id; }
  static void set_deleted(PersistentObject& object) {
    object.uses_.fetch_or(PersistentObject::kDeleted, std::memory_order_relaxed);
  }
  static void use(const PersistentObject& object) { object.uses_.fetch_add(1, std::memory_order_relaxed); }
  /// True: that was the last use.
  static bool release(const PersistentObject& object) {
    return (object.uses_.fetch_sub(1, std::memory_order_acq_rel) & ~PersistentObject::kDeleted) == 1;
  }
  /// For the Journal, under the lock of commits of its Model. Another Model that shares the object may read it, not change it.
  static std::uint32_t dirty_place(const PersistentObject& object) { return object.dirty_place_.load(std::memory_order_relaxed); }
  static void set_dirty_place(const PersistentObject& object, std::uint32_t place) {
    object.dirty_place_.store(place, std::memory_order_relaxed);
  }
};

/// How the objects of a class are ordered or hashed in one index. The functions are called by many threads at once.
class CAIRN_API IndexKey {
 public:
  virtual ~IndexKey() = default;
  /// Less than, equal to or greater than 0, by the members of the key alone. Objects with equal keys are in the order of their
  /// ids.
  [[nodiscard]] virtual int compare(const PersistentObject& a, const PersistentObject& b) const = 0;
  /// If prefix(a) < prefix(b), then compare(a, b) < 0.
  [[nodiscard]] virtual std::uint64_t prefix(const PersistentObject& object) const = 0;
  /// Equal for objects whose keys are equal.
  [[nodiscard]] virtual std::uint64_t hash(const PersistentObject& object) const = 0;
  /// An optional member of the key is empty: the object is in no unique index.
  [[nodiscard]] virtual bool has_empty(const PersistentObject& object) const {
    static_cast<void>(object);
    return false;
  }
};

}  // namespace objects
}  // namespace cairn
