// The front door: a directory, opened, owned, and handing out its views.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cairn/export.h"
#include "cairn/forks.h"
#include "cairn/progress.h"
#include "cairn/result.h"
#include "cairn/table.h"
#include "cairn/timeline.h"

namespace cairn {

namespace database {
class DatabaseImpl;
}

struct CAIRN_API DatabaseOptions {
  /// Makes the database (and the directory, whose parent must exist) if there is none.
  bool create_if_missing = false;
  /// Shown to whoever finds the directory taken; the program's name if empty.
  std::string owner = {};
  /// How long this process may own the directory without renewing. 100 ms to 1 h.
  std::int64_t lease_ms = 10'000;
  /// Directories on further drives, made if their parents exist. Those that are not the database's yet, and empty, are added to
  /// it for good; of those that it has, only such as have moved need to be given. Segments of fork stores lie on all drives,
  /// those of its writers in turn; all else lies in the directory itself. At most 64; printable ASCII without quotes, backslashes
  /// and commas.
  std::vector<std::string> drives = {};
  /// Permissions of files that are made, in checkpoints too, whatever the umask; a directory that is made can also be searched by
  /// whoever may read its files (0600: 0700). Files and directories that are there keep theirs. At most 0777; the owner has 0600.
  unsigned file_mode = 0600;
  /// Listens on a Unix socket in the directory, owner.socket, so that the commands `cairn list`, `verify`, `checkpoint`, `table
  /// get` and others (docs/command.md) work beside this process, for its own user and root. They see the views that it has
  /// opened. Where no socket is possible the database is opened all the same, and open_reports() says why.
  bool answer_commands = false;
};

struct CAIRN_API VerifyReport {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::vector<Error> damages = {};  ///< Empty: every live byte is what was written.
};

struct CAIRN_API RepairReport {
  std::uint64_t files = 0;   ///< That were looked at.
  std::uint64_t tables = 0;  ///< In the new database.
  std::uint64_t timelines = 0;
  std::uint64_t fork_stores = 0;
  std::uint64_t records = 0;     ///< In the new database; of a timeline, saves; of a fork store, versions of accounts.
  std::vector<Error> lost = {};  ///< What is damaged or missing, with file and offset. Empty: nothing.
};

/// An open directory. Moves only. Owns the lease: as long as it exists, every other open of the directory fails, in this process
/// too. All of its functions may be called from any thread, but destroying it ends every Table handed out; values already pinned
/// stay readable. Scans, lists and watches may outlive close(), and must be gone before the Database is destroyed.
class CAIRN_API Database {
 public:
  /// A new, empty database, in a directory that is made if its parent exists. kConflict: there is one, or remains of one.
  static Result<Database> create(const std::string& path, const DatabaseOptions& options = {});
  /// Errors: kNotFound, no database there; kBusy, owned by another process, which is named; kCorruption and kUnsupported,
  /// with the file: it is never opened as less than it was; kUnavailable, a further drive is not there; kConflict, what is given
  /// as one is something else. Its time depends on what is not sealed, not on what is stored.
  static Result<Database> open(const std::string& path, const DatabaseOptions& options = {});

  explicit Database(std::shared_ptr<database::DatabaseImpl> impl);
  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  /// Closes, without a way to report an error: call close() where it matters.
  ~Database();

  /// The table `name`, opened on first use. 1 to 64 characters of a-z A-Z 0-9 _ - . :
  /// kNotFound: there is none and options.create_if_missing is false. kInvalidArgument: a member of options.main is given and is
  /// not what the table was made with; the message names both.
  Result<Table> table(const std::string& name, const TableOptions& options = {});
  [[nodiscard]] std::vector<std::string> tables() const;
  /// The timeline `name`, opened on first use; otherwise as table(). What `options` give holds from the first call in this open
  /// on. kInvalidArgument: an option is out of its range, or the timeline is open already and an option differs from what it was
  /// opened with.
  Result<Timeline> timeline(const std::string& name, const TimelineOptions& options = {});
  [[nodiscard]] std::vector<std::string> timelines() const;
  /// The fork store `name`, opened on first use, which reads what its sealed index does not cover; otherwise as table().
  Result<ForkStore> forks(const std::string& name, const ForkStoreOptions& options = {});
  [[nodiscard]] std::vector<std::string> fork_stores() const;

  /// Reads and checks every live byte. Damage is in the report, not an error.
  Result<VerifyReport> verify(const Progress& progress = {});

  /// Makes `path`, which must not exist or be empty, a database of its own that holds everything acknowledged before the
  /// call, and of each table the first n writes after it, for some n. Files are linked, on another file system copied;
  /// either way the checkpoint stays what it is, whatever this database does. Writes and jobs go on meanwhile; no file is
  /// deleted until it is done. What lies on further drives is copied, so that all of it is at `path`. After an error or a crash
  /// `path` is no database. kConflict: there is something at `path`.
  Result<void> checkpoint(const std::string& path, const Progress& progress = {});
  /// Makes `path` a database with what `checkpoint` holds: one made by checkpoint(), or any that was closed and that
  /// nobody has open (kBusy). Files are linked or copied as above, after each was seen to be the file that the checkpoint says
  /// and as long as it says; with `verify` every byte is checked too. kCorruption: one is not, and nothing was linked. Errors
  /// otherwise as checkpoint() and open().
  static Result<void> restore(const std::string& checkpoint, const std::string& path, const Progress& progress = {},
                              bool verify = false);

  /// As checkpoint(), but without the files that `base`, a full checkpoint of this database, has: what changed since. `path` is
  /// no database by itself. kInvalidArgument: `base` is of another database, or incremental itself. Otherwise as checkpoint().
  Result<void> incremental_checkpoint(const std::string& base, const std::string& path, const Progress& progress = {});
  /// As restore(), of an incremental checkpoint and the full one it was taken over, which has to be as it was. Errors as there,
  /// and kCorruption: a file is in neither.
  static Result<void> restore_incremental(const std::string& base, const std::string& checkpoint, const std::string& path,
                                          const Progress& progress = {}, bool verify = false);

  /// Reads every byte of a checkpoint and checks it, without changing anything; `base`: of an incremental one, the full one it
  /// was taken over, else empty. Errors as restore() with `verify`.
  static Result<void> verify_checkpoint(const std::string& checkpoint, const std::string& base = "",
                                        const Progress& progress = {});

  /// Its directories on further drives.
  [[nodiscard]] std::vector<std::string> drives() const;
  /// What opening had to leave out, a sentence each: torn tails with file and offset, a socket that is not possible.
  [[nodiscard]] const std::vector<std::string>& open_reports() const;

  /// Makes `target`, which must not exist or be empty, a new database, all at once at the end, of every record that is still
  /// readable in the one at `path`, also without a manifest or any index; `path` is only read. Names of tables and families are
  /// kept where a manifest, a sealed file or, of tables, a log has them; time to live, compression and indexes only where a
  /// manifest has them. What could not be had is in the report, not an error. kBusy: somebody has it open. kConflict: there is
  /// something at `target`.
  static Result<RepairReport> repair(const std::string& path, const std::string& target, const Progress& progress = {});

  /// Waits for background work, ends the logs and gives the lease back. Every write was durable before as it promised. Calls
  /// after it are kUnavailable, "closed"; reads through handles and values that are still held go on. Closing what is
  /// closed is no error. Errors: kConflict, an account is being changed in place (MutableAccount): everything stays open;
  /// kNoSpace, kUnavailable, kPermissionDenied: short of something, the database still owns its directory, call again;
  /// kReadOnly, kLeaseLost: all is closed, but writing had ended before.
  Result<void> close();

 private:
  std::shared_ptr<database::DatabaseImpl> impl_;  // Not shared: a shared_ptr for its deleter.
};

}  // namespace cairn
