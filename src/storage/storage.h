// Where bytes live: a flat set of named files with one owner at a time. Local disk, simulated disk and, later,
// RADOS fit behind it, so it stays narrow. docs/guarantees.md says what we assume of the medium.
//
// Every operation that changes something first checks that the epoch of this owner is still the greatest
// (set_epoch) and fails with kLeaseLost if it is not.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "cairn/bytes.h"
#include "cairn/result.h"
#include "storage/lease.h"

namespace cairn::storage {

/// The name of a file on its way to being published, "tmp-" and 16 hexadecimal digits; and whether `name` is one.
std::string temporary_name(std::uint64_t random);
bool is_temporary_name(std::string_view name);
/// Made by file systems in a new directory: a directory with nothing else counts as empty.
inline constexpr std::string_view kLostAndFound = "lost+found";

/// Bytes of one file, mapped. The address is stable for the life of the object. Thread-safe.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  [[nodiscard]] const char* data() const { return data_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] ByteView bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Set, for good, once the device failed under this map; the bytes there read as zeros.
  [[nodiscard]] virtual const std::atomic<bool>& bad_flag() const = 0;
  [[nodiscard]] bool bad() const { return bad_flag().load(std::memory_order_acquire); }
  /// kIo, naming the file, if bad().
  [[nodiscard]] Result<void> status() const;

  /// Pages will be touched at random: where memory is scarce, one that is not there should be read without those around it.
  virtual void expect_random_reads() const {}
  /// [from, to), of which what lies in the file counts, is read soon: where pages are read alone, those of it that are not there
  /// are asked for, and not waited for. Elsewhere reading around a page does as much.
  virtual void will_read(std::uint64_t /*from*/, std::uint64_t /*to*/) const {}

 protected:
  MappedFile(std::string name, const char* data, std::uint64_t size) : name_(std::move(name)), data_(data), size_(size) {}

 private:
  std::string name_;
  const char* data_;
  std::uint64_t size_;
};

/// A file being written: all its room is allocated, its bytes are written in place. One writer; sync() may run
/// beside it in another thread. Bytes in `data()` are in no way durable before sync() covered them.
class AppendFile {
 public:
  virtual ~AppendFile() = default;
  [[nodiscard]] char* data() const { return data_; }
  [[nodiscard]] std::uint64_t capacity() const { return capacity_; }
  [[nodiscard]] const std::string& name() const { return view_->name(); }
  /// The same bytes for readers; outlives the AppendFile.
  [[nodiscard]] const std::shared_ptr<const MappedFile>& view() const { return view_; }

  /// Makes [0, upto) durable. After an error nothing is known about the file's unsynced bytes, and no later
  /// sync can make good for it.
  virtual Result<void> sync(std::uint64_t upto) = 0;
  /// Makes [0, end) durable and gives back the room after it. What is written afterwards lies below `end`.
  virtual Result<void> trim(std::uint64_t end) = 0;
  /// The same; nothing is written afterwards.
  virtual Result<void> finish(std::uint64_t end) = 0;
  /// Copies `bytes` to where they are seen in data() at `offset`, within the capacity. Cheaper than storing them there where
  /// the file is new, since no page of it is mapped. kIo: what of them is there is unknown.
  virtual Result<void> write(std::uint64_t offset, ByteView bytes) = 0;
  /// Starts writing [from, to) to the device without waiting, so that dirty bytes do not pile up.
  virtual void write_back(std::uint64_t from, std::uint64_t to) = 0;
  /// Makes pages of [from, to) writable ahead of the writer, so that it takes no page faults. Dirties them.
  virtual void populate(std::uint64_t from, std::uint64_t to) = 0;
  /// Reads those pages of [from, to) that have gone from memory, so that the writer does not have to. Dirties nothing.
  virtual void bring_in(std::uint64_t from, std::uint64_t to) = 0;

 protected:
  AppendFile(char* data, std::uint64_t capacity, std::shared_ptr<const MappedFile> view)
      : data_(data), capacity_(capacity), view_(std::move(view)) {}

 private:
  char* data_;
  std::uint64_t capacity_;
  std::shared_ptr<const MappedFile> view_;
};

/// Thread-safe.
class Storage {
 public:
  virtual ~Storage() = default;

  /// Where it is, for messages.
  [[nodiscard]] virtual std::string describe() const = 0;
  /// All names, in no order.
  virtual Result<std::vector<std::string>> list() = 0;
  /// kConflict, naming one of the files, if it holds anything but lost+found.
  Result<void> check_empty();
  /// A new file with room for `capacity` bytes, reading as zeros. The name is durable after sync_names().
  /// kNoSpace: nothing was created. kConflict: the name exists.
  virtual Result<std::unique_ptr<AppendFile>> create(const std::string& name, std::uint64_t capacity) = 0;
  /// Takes an unused file over under a new name, its blocks and stale bytes included, for writing.
  virtual Result<std::unique_ptr<AppendFile>> recycle(const std::string& from, const std::string& to) = 0;
  /// Maps a whole file for reading. kNotFound if it is not there.
  virtual Result<std::shared_ptr<const MappedFile>> open(const std::string& name) = 0;
  /// A small file's contents, copied. kNotFound if it is not there.
  virtual Result<Bytes> read(const std::string& name) = 0;
  /// A new small file, complete and durable under `name`. kConflict: the name exists; kNoSpace: no room; kUnavailable: a
  /// resource of this process or machine is short for the moment; kPermissionDenied: after each of them nothing was
  /// published. After kIo the file may be there or not.
  virtual Result<void> publish(const std::string& name, ByteView contents) = 0;
  /// Its bytes stay as long as somebody maps them.
  virtual Result<void> remove(const std::string& name) = 0;
  /// The same of a file that nobody maps, in this process or another: room is given back in steps, so that a device that
  /// discards blocks serves others between them.
  virtual Result<void> reclaim(const std::string& name) = 0;
  /// The file `name` under the same name in `target` too, which is a storage of the same kind: one file with two names
  /// where the medium can, else a durable copy. Its bytes are durable here and never change again. The new name is
  /// durable after target.sync_names(). kConflict: the name exists there.
  virtual Result<void> link(const std::string& name, Storage& target) = 0;
  /// Makes every name created, recycled or removed so far durable.
  virtual Result<void> sync_names() = 0;
  /// Another place of the same kind: one for files on another drive. kNotFound: it is not there, and not to be made.
  virtual Result<std::unique_ptr<Storage>> open_beside(const std::string& path, bool create) = 0;

  /// The epoch that later operations carry; 0 (as at first): not an owner, nothing is checked.
  virtual void set_epoch(std::uint64_t epoch) = 0;
  /// kLeaseLost if a greater epoch than ours was taken; kReadOnly if our lease was deleted without a successor; another error
  /// if it cannot be told at the moment.
  virtual Result<void> check_epoch() = 0;
  /// A lease on this storage, not yet acquired. Must not outlive the storage or the clock.
  virtual std::unique_ptr<Lease> make_lease(Clock& clock) = 0;

 protected:
  /// The last step of publish(): sync_names(), whose every failure is kIo, since the name is there by then.
  Result<void> sync_published_name();
};

}  // namespace cairn::storage
