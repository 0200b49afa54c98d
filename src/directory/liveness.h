// The one rule that says which stored versions may be dropped. Flush and compaction ask it, as will every other job
// that drops anything; engines hand in what can still see old versions.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace cairn::directory {

/// What can be seen, fixed when a job begins. Later snapshots stand at or above `horizon`.
struct Visibility {
  std::uint64_t horizon = 0;        // The visible version when the job began.
  std::vector<std::uint64_t> pins;  // Versions that snapshots stand on, ascending.
};

/// One stored version of a key, as far as the rule is concerned.
struct StoredVersion {
  std::uint64_t write_version = 0;
  bool tombstone = false;
};

/// For the versions of one key, newest first, says which must be kept. `oldest_layer`: nothing older of this key is
/// stored anywhere else, so that a tombstone has nothing left to hide.
std::vector<bool> live_versions(std::span<const StoredVersion> versions, const Visibility& visibility, bool oldest_layer);

/// The same for the range tombstones over the same keys, given by their versions. One that is not above the horizon and
/// that no pin is older than hides nothing any more in the oldest layer.
std::vector<bool> live_range_tombstones(std::span<const std::uint64_t> versions, const Visibility& visibility, bool oldest_layer);

/// One save of the persistent line of a timeline when a cycle comes to it, as far as the rule is concerned.
struct StoredSave {
  bool last = false;  // Of its key, of those that stood in the line when the cycle began and are not rolled back.
  bool tombstone = false;
  bool expired = false;
};

/// Whether it must be kept. Nothing older than the persistent line is stored, and a cycle drops whatever a tombstone in it hides:
/// no tombstone stays. What an undo can still bring back is not asked for: the cycle waits.
constexpr bool live_save(const StoredSave& save) { return save.last && !save.tombstone && !save.expired; }

/// One version of an account of a fork store, as far as the rule is concerned.
struct StoredAccount {
  bool referred = false;       // The index refers to it: a fork sees it, or one that descends from it may.
  bool after_crash = false;    // It is what a crash leaves of an account that is changed in place.
  bool erase_of_root = false;  // It says that there is no account, in all forks that do not say otherwise.
  bool hides_nothing = false;  // No older version of the account is stored anywhere else.
};

/// Whether it must be kept.
constexpr bool live_account(const StoredAccount& version) {
  if (version.after_crash) return true;
  return version.referred && !(version.erase_of_root && version.hides_nothing);
}

}  // namespace cairn::directory
