#include "directory/directory.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/reached.h"
#include "directory/file_name.h"
#include "directory/further_drives.h"
#include "storage/file_lease.h"

namespace cairn::directory {
namespace {

// How far the ceilings in the manifest run ahead of what was given out: what an unclean end skips at most.
constexpr std::uint64_t kVersionsAhead = std::uint64_t{1} << 24;
constexpr std::uint64_t kStampMsAhead = 120'000;
constexpr std::int64_t kRaiseRetryMs = 1000;
constexpr std::size_t kManifestsKept = 3;

std::uint64_t stamp_of(std::int64_t wall_ms) { return static_cast<std::uint64_t>(wall_ms) << kStampSequenceBits; }

bool is_of_database(const std::string& name) {
  return FileName::parse(name) || ManifestName::parse(name) || is_trimmed_name(name) || is_spare_name(name);
}

/// Errors after which nothing of a manifest was published: the same switch can be tried again.
bool nothing_published(ErrorCode code) {
  return code == ErrorCode::kNoSpace || code == ErrorCode::kUnavailable || code == ErrorCode::kPermissionDenied;
}

/// The lease was taken over, or its record was deleted. After any other error it may still be renewed.
bool ends_ownership(ErrorCode code) { return code == ErrorCode::kLeaseLost || code == ErrorCode::kReadOnly; }

/// kConflict, unless the directory holds nothing but what a create that did not finish leaves behind: a lease and temporary
/// files. Another program's files stay its own.
Result<void> check_creatable(storage::Storage& storage) {
  CAIRN_TRY(names, storage.list());
  for (const std::string& name : names) {
    if (name == storage::kLostAndFound || storage::is_temporary_name(name)) continue;
    if (is_of_database(name)) {
      return fail(ErrorCode::kConflict, "the directory holds a database, or what is left of one",
                  storage.describe() + "/" + name);
    }
    if (storage::lease_epoch(name)) {
      const Result<Bytes> text = storage.read(name);
      if (text && storage::decode_lease(*text, name)) continue;
    }
    return fail(ErrorCode::kConflict, "a database is created in an empty directory only; this one holds other files",
                storage.describe() + "/" + name);
  }
  return {};
}

}  // namespace

Directory::Directory(std::unique_ptr<storage::Storage> storage, Environment& environment)
    : first_storage_(std::move(storage)),
      environment_(environment),
      confirmed_{environment.clock.wall_ms(), environment.clock.boot_ms(), std::nullopt},
      random_(system_random()) {}

Result<void> Directory::take_lease(const DirectoryOptions& options, std::uint64_t epoch_above) {
  lease_ = storage_.make_lease(environment_.clock);
  lease_ms_ = options.lease_ms;
  CAIRN_TRY(epoch, lease_->acquire(options.owner, options.lease_ms, epoch_above));
  epoch_ = epoch;
  schedule_renewal(lease_ms_ / 3);
  return {};
}

void Directory::schedule_renewal(std::int64_t after_ms) {
  environment_.leases.after(after_ms, this, [this] {
    const Result<void> renewed = lease_->renew();
    if (!renewed && ends_ownership(renewed.error().code)) {
      stop_writing(renewed.error());
      return;
    }
    if (renewed) lease_late_ = false;
    if (!renewed && !lease_->check_time()) lease_late_ = true;
    static_cast<void>(confirmed_now_ms());  // Called to notice a clock that is right between two jumps.
    // A renewal that failed for want of something is tried again, also after the lease has expired.
    schedule_renewal(renewed ? lease_ms_ / 3 : std::max<std::int64_t>(lease_ms_ / 30, 1));
  });
}

Result<std::shared_ptr<Directory>> Directory::draft(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                    const DirectoryOptions& options) {
  return create_as(std::move(storage), environment, options, true);
}

Result<std::shared_ptr<Directory>> Directory::create(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                     const DirectoryOptions& options) {
  return create_as(std::move(storage), environment, options, false);
}

Result<std::shared_ptr<Directory>> Directory::create_as(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                        const DirectoryOptions& options, bool draft) {
  std::shared_ptr<Directory> directory = share_at_home(new Directory(std::move(storage), environment));
  CAIRN_TRY_VOID(environment.start_threads());
  directory->draft_ = true;  // Until everything is there that may fail.
  CAIRN_TRY_VOID(check_creatable(directory->storage_));
  CAIRN_TRY_VOID(directory->take_lease(options));
  // Again: another process may have created a database, and closed it, before we had the lease.
  CAIRN_TRY_VOID(check_creatable(directory->storage_));
  Manifest manifest;
  manifest.database = {system_random(), system_random()};
  manifest.hash_seed = system_random();
  directory->database_ = manifest.database;
  directory->hash_seed_ = manifest.hash_seed;
  manifest.version_ceiling = kVersionsAhead;
  manifest.stamp_ceiling = stamp_of(environment.clock.wall_ms() + static_cast<std::int64_t>(kStampMsAhead));
  directory->version_ceiling_ = manifest.version_ceiling;
  directory->stamp_ceiling_ = manifest.stamp_ceiling;
  // Only now: what marks a drive says of which database.
  Result<void> done = connect_drives(directory->storage_, manifest, options.drives);
  if (done) {
    const MutexLock lock(directory->manifest_mutex_);
    done = directory->publish(manifest);
  }
  if (done && !draft) done = directory->publish_draft();
  if (done) return directory;
  directory->discard_all();
  return std::unexpected(done.error());
}

Result<void> Directory::publish_draft() {
  const MutexLock lock(manifest_mutex_);
  draft_ = false;
  Manifest manifest = manifest_;
  manifest.version_ceiling = version_ceiling_.load();
  manifest.stamp_ceiling = stamp_ceiling_.load();
  return publish(manifest);
}

void Directory::discard_all() {
  const std::string lease = storage::lease_name(epoch_);
  const Manifest made = manifest();
  Result<std::vector<std::string>> names = storage_.list();
  // Without a descriptor to list them: those that are known.
  if (!names) names = made.files();
  names->push_back(ManifestName{epoch_, made.version + 1}.to_string());
  // Manifests first, durably: what is left behind, also by a power cut, must be no database. A failure is passed over: the caller
  // already reports the error for which all of it is discarded.
  for (const bool manifests : {true, false}) {
    for (const std::string& name : *names) {
      const bool ours = is_of_database(name) || storage::is_temporary_name(name);
      if (ours && ManifestName::parse(name).has_value() == manifests) storage_.remove(name).ignore_error();
    }
    if (manifests) storage_.sync_names().ignore_error();  // Only a power cut can tell.
  }
  environment_.leases.cancel(this);
  if (epoch_ != 0) storage_.remove(lease).ignore_error();  // A lease file alone is no database.
  storage_.set_epoch(0);
  if (lease_) lease_->release();
}

Result<bool> Directory::holds_database(storage::Storage& storage) {
  CAIRN_TRY(names, storage.list());
  return std::ranges::any_of(names, is_of_database);
}

Result<ManifestName> Directory::newest_manifest(storage::Storage& storage) {
  CAIRN_TRY(names, storage.list());
  std::optional<ManifestName> newest;
  std::string stray;
  for (const std::string& name : names) {
    if (is_of_database(name)) stray = name;
    const auto parsed = ManifestName::parse(name);
    if (parsed && (!newest || *parsed > *newest)) newest = parsed;
  }
  if (newest) return *newest;
  if (stray.empty()) return fail(ErrorCode::kNotFound, "no database in " + storage.describe());
  return corruption(
      "the directory holds files of a database but no manifest: a checkpoint, restore or repair that did not finish; or, if it "
      "was a "
      "database once, a case for repair",
      stray);
}

Result<Manifest> Directory::load_manifest(storage::Storage& storage) {
  CAIRN_TRY(name, newest_manifest(storage));
  CAIRN_TRY(text, storage.read(name.to_string()));
  CAIRN_TRY(manifest, decode_manifest(text, name.to_string()));
  if (manifest.epoch != name.epoch || manifest.version != name.version) {
    return corruption("manifest carries another version than its name", name.to_string());
  }
  return manifest;
}

Result<Manifest> Directory::read_manifest(storage::Storage& storage, Clock& clock) {
  CAIRN_TRY_VOID(newest_manifest(storage));
  CAIRN_TRY_VOID(storage.make_lease(clock)->wait_until_free());
  return load_manifest(storage);
}

Result<void> Directory::plant(std::unique_ptr<storage::Storage> storage, Environment& environment,
                              const DirectoryOptions& options, Manifest manifest) {
  Directory directory(std::move(storage), environment);
  Result<void> planted = environment.start_threads();
  if (planted) planted = directory.publish_planted(options, manifest);
  if (!planted && planted.error().code != ErrorCode::kConflict) {
    {
      const MutexLock lock(directory.manifest_mutex_);
      manifest.version = 0;
      directory.manifest_ = manifest;  // For the names of its files.
    }
    directory.discard_all();
  }
  environment.leases.cancel(&directory);
  if (planted) directory.lease_->release();
  return planted;
}

Result<void> Directory::publish_planted(const DirectoryOptions& options, Manifest manifest) {
  CAIRN_TRY(names, storage_.list());
  for (const std::string& name : names) {
    if (ManifestName::parse(name)) return fail(ErrorCode::kConflict, "the directory holds a database", name);
  }
  CAIRN_TRY_VOID(storage_.sync_names());
  CAIRN_TRY_VOID(take_lease(options, manifest.epoch));
  next_file_ = manifest.next_file;
  manifest.version = 0;
  const MutexLock lock(manifest_mutex_);
  return publish(manifest);
}

Result<Manifest> Directory::mark_linked() {
  Manifest marked;
  CAIRN_TRY_VOID(commit([&](Manifest& manifest) -> Result<void> {
    for (std::size_t i = 0; i < manifest.views.size(); ++i) {
      if (manifest.views[i].log.empty()) continue;
      for (SegmentEntry& segment : manifest.views.edit(i).log) {
        segment.linked = segment.linked || segment.state == SegmentState::kEnded;
      }
    }
    marked = manifest;
    return {};
  }));
  for (std::size_t i = 0; i < marked.views.size(); ++i) {
    if (marked.views[i].log.empty()) continue;
    std::erase_if(marked.views.edit(i).log, [](const SegmentEntry& segment) { return segment.state == SegmentState::kActive; });
  }
  const MutexLock lock(spares_mutex_);
  for (const ViewEntry& view : marked.views) {
    for (const SegmentEntry& segment : view.log) linked_.insert(segment.file);
  }
  return marked;
}

Result<std::shared_ptr<Directory>> Directory::open(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                   const DirectoryOptions& options) {
  std::shared_ptr<Directory> directory = share_at_home(new Directory(std::move(storage), environment));
  CAIRN_TRY_VOID(environment.start_threads());
  CAIRN_TRY_VOID(newest_manifest(directory->storage_));  // Before the lease: nothing is written where there is no database.
  CAIRN_TRY_VOID(directory->take_lease(options));
  CAIRN_TRY(manifest, load_manifest(directory->storage_));  // Only now nobody else changes it.
  if (manifest.incremental) {
    directory->environment_.leases.cancel(directory.get());
    directory->lease_->release();
    return fail(ErrorCode::kInvalidArgument,
                "this is an incremental checkpoint: restore it, together with the full one it was taken over");
  }
  directory->database_ = manifest.database;
  directory->hash_seed_ = manifest.hash_seed;
  CAIRN_TRY_VOID(connect_drives(directory->storage_, manifest, options.drives));
  CAIRN_TRY(next_file, directory->next_file_of(manifest));
  directory->next_file_ = next_file;
  directory->next_version_ = manifest.version_ceiling + 1;
  directory->last_stamp_ = std::min(manifest.stamp_ceiling, stamp_of(environment.clock.wall_ms()));  // docs/decisions/0026.
  if (const Result<void> recovered = directory->recover_logs(manifest); !recovered) {
    return std::unexpected(directory->with_drive(recovered.error()));
  }
  manifest.version_ceiling += kVersionsAhead;
  manifest.stamp_ceiling = std::max(manifest.stamp_ceiling, stamp_of(environment.clock.wall_ms())) + stamp_of(kStampMsAhead);
  CAIRN_TRY_VOID(directory->check_lease());  // Recovery may have taken longer than the lease.
  {
    const MutexLock lock(directory->manifest_mutex_);
    CAIRN_TRY_VOID(directory->publish(manifest));
  }
  directory->version_ceiling_ = manifest.version_ceiling;
  directory->stamp_ceiling_ = manifest.stamp_ceiling;
  CAIRN_TRY_VOID(directory->drop_strays());
  return directory;
}

Directory::~Directory() {
  environment_.syncs.cancel(this);
  if (lease_) environment_.leases.cancel(this);
}

Result<void> Directory::close() {
  if (closed_) return {};
  environment_.syncs.cancel(this);
  Result<void> result = state();
  if (result) {
    // Versions and stamps go on from where they are, not from the ceilings.
    result = commit([&](Manifest& manifest) -> Result<void> {
      manifest.version_ceiling = versions_used();
      manifest.stamp_ceiling = last_stamp_.load();
      return {};
    });
    if (!result && state()) return result;  // Short of something: still ours, and to be closed again.
  }
  let_go(result.has_value());
  return result;
}

void Directory::let_go(bool reclaims) {
  if (closed_.exchange(true)) return;
  environment_.syncs.cancel(this);
  environment_.leases.cancel(this);
  if (reclaims) {
    reclaim();
    release_spares();
  }
  lease_->release();  // After an error too: this process writes no more, and the next owner need not wait.
}

Manifest Directory::manifest() const {
  const MutexLock lock(manifest_mutex_);
  return manifest_;
}

/// Writes `manifest` as the next version and makes it the current one.
Result<void> Directory::publish(Manifest& manifest) {
  const ManifestName previous{manifest_.epoch, manifest_.version};
  manifest.epoch = epoch_;
  ++manifest.version;
  manifest.next_file = next_file_.load();
  manifest.clock_ms = now_ms();
  CAIRN_TRY_VOID(still_owned());
  if (draft_) {
    --manifest.version;
    manifest_ = manifest;
    return {};
  }
  const std::string name = ManifestName{manifest.epoch, manifest.version}.to_string();
  Result<void> published = storage_.publish(name, encode_manifest(manifest));
  // Short of something, nothing happened. After any other failure the new version may be there or not: whatever we did next
  // could contradict it.
  if (!published && nothing_published(published.error().code)) return published;
  if (published) published = check_switch();
  if (!published) {
    stop_writing(published.error());
    return state();
  }
  manifest_ = manifest;
  if (previous.version + 1 >= kManifestsKept && previous.epoch == epoch_) {
    const std::uint64_t old = manifest.version - kManifestsKept;
    storage_.remove(ManifestName{epoch_, old}.to_string()).ignore_error();  // The next open removes old manifests.
  }
  return {};
}

Result<void> Directory::commit(const std::function<Result<void>(Manifest&)>& edit,
                               const std::function<void(const Manifest&)>& then) {
  const std::uint64_t reclaims = reclaims_.load();
  Result<void> done = commit_once(edit, then);
  if (done || done.error().code != ErrorCode::kNoSpace) return done;
  // Several switches may have failed together: the room that one thread makes serves the others too.
  if (reclaim_all() || reclaims_.load() != reclaims) done = commit_once(edit, then);
  return done;
}

/// Switches that are asked for while one is being published are published together by the next. A caller waits for two
/// publications at most, however many others ask.
Result<void> Directory::commit_once(const std::function<Result<void>(Manifest&)>& edit,
                                    const std::function<void(const Manifest&)>& then) {
  Switch mine{.edit = edit, .then = then};
  std::vector<Switch*> together;
  {
    const MutexLock lock(switches_mutex_);
    waiting_switches_.push_back(&mine);
    while (!mine.done && publishing_) switches_changed_.wait(switches_mutex_);
    if (mine.done) return mine.result;
    publishing_ = true;
    together.swap(waiting_switches_);
  }
  struct Ended {  // Whatever happens: the others wait for this.
    ~Ended() {
      const MutexLock lock(directory.switches_mutex_);
      directory.publishing_ = false;
      for (Switch* const each : together) each->done = true;
      directory.switches_changed_.notify_all();
    }
    Directory& directory;
    const std::vector<Switch*>& together;
  };
  {
    const Ended ended{*this, together};
    publish_together(together);
  }
  return mine.result;
}

/// Each edit sees the result of those before it, and is left out if it fails. The threads that asked are waiting, so their edits
/// may refer to their own locals.
void Directory::publish_together(std::span<Switch* const> switches) {
  const Result<void> leased = check_lease();  // Before the lock: it may wait, and readers of the manifest should not.
  const MutexLock lock(manifest_mutex_);
  Result<void> open = closed_ ? fail(ErrorCode::kUnavailable, "the database is closed") : leased;
  Manifest next = manifest_;
  next.version_ceiling = version_ceiling_.load();
  next.stamp_ceiling = stamp_ceiling_.load();
  std::vector<std::pair<Switch*, Manifest>> made;  // With the manifest as each of them left it.
  for (Switch* const each : switches) {
    if (!open) {
      each->result = open;
      continue;
    }
    Manifest edited = next;
    each->result = each->edit(edited);
    if (!each->result) continue;
    next = std::move(edited);
    made.emplace_back(each, next);
  }
  if (made.empty()) return;
  const Result<void> published = publish(next);
  if (published) {
    version_ceiling_ = next.version_ceiling;
    stamp_ceiling_ = next.stamp_ceiling;
  }
  if (made.size() > 1) CAIRN_REACHED("several switches published together");
  for (auto& [each, manifest] : made) {
    each->result = published;
    if (published && each->then) each->then(manifest);
  }
}

Result<void> Directory::why_stopped() const {
  const MutexLock lock(state_mutex_);
  return std::unexpected(*stopped_);
}

void Directory::stop_writing(const Error& reason) {
  Error named = with_drive(reason);
  const MutexLock lock(state_mutex_);
  if (stopped_) return;
  stopped_ = std::move(named);
  if (reason.code != ErrorCode::kLeaseLost) {
    stopped_->code = ErrorCode::kReadOnly;
    stopped_->message = "writing stopped after " + std::string(name_of(reason.code)) + ": " + reason.message +
                        "; reads go on, reopen the database to write again";
  }
  stopped_flag_.store(true, std::memory_order_release);
}

Result<void> Directory::check_lease() {
  Result<void> owned = still_owned();
  if (owned || !state()) return owned;
  return confirm_lease();
}

/// The same without waiting.
Result<void> Directory::still_owned() {
  CAIRN_TRY_VOID(state());
  const Result<void> checked = lease_->check();
  if (checked) return {};
  if (ends_ownership(checked.error().code)) {
    stop_writing(checked.error());
    return state();
  }
  return fail(ErrorCode::kUnavailable, checked.error().message, checked.error().file);
}

/// Tries for at most one lease time to renew a lease that has expired or could not be looked at. An owner that was stopped longer
/// than its lease (SIGSTOP, a suspended machine) goes on from here, unless another owner has taken over.
Result<void> Directory::confirm_lease() {
  const std::int64_t begin_ms = environment_.clock.boot_ms();
  const bool late = lease_late_;  // Others have waited for a lease time already: one more try is enough.
  while (true) {
    const Result<void> renewed = lease_->renew();
    if (renewed) {
      lease_late_ = false;
      return {};
    }
    if (ends_ownership(renewed.error().code)) {
      stop_writing(renewed.error());
      return state();
    }
    const std::int64_t waited_ms = environment_.clock.boot_ms() - begin_ms;
    if (waited_ms >= lease_ms_ || late || closed_) {
      CAIRN_REACHED("lease not confirmed in time");
      lease_late_ = true;
      return fail(ErrorCode::kUnavailable, "the lease has expired and could not be renewed: " + renewed.error().message,
                  renewed.error().file);
    }
    environment_.clock.sleep_ms(std::clamp<std::int64_t>(lease_ms_ / 100, 1, 100));
  }
}

/// Called after a manifest was linked: it counts unless a greater epoch exists. An owner that takes over from now on reads it,
/// so our clock need not be asked. If the epochs cannot be looked at, this tries for one lease time.
Result<void> Directory::check_switch() {
  const std::int64_t begin_ms = environment_.clock.boot_ms();
  while (true) {
    Result<void> checked = storage_.check_epoch();
    if (checked || ends_ownership(checked.error().code)) return checked;
    if (environment_.clock.boot_ms() - begin_ms >= lease_ms_) return checked;
    environment_.clock.sleep_ms(std::clamp<std::int64_t>(lease_ms_ / 100, 1, 100));
  }
}

/// With a margin, since others reserve at the same time and the clock goes on.
bool Directory::versions_at_hand(std::uint64_t count, std::uint64_t now, std::uint64_t part) const {
  return next_version_.load() + count + kVersionsAhead / part <= version_ceiling_.load() &&
         now + stamp_of(static_cast<std::int64_t>(kStampMsAhead / part)) <= stamp_ceiling_.load();
}

std::uint64_t Directory::stamp_now() const { return std::max(stamp_of(environment_.clock.wall_ms()), last_stamp_.load()); }

Result<void> Directory::prepare_versions(std::uint64_t count) {
  if (lease_late_) CAIRN_TRY_VOID(check_lease());
  return raise_ceilings(count, kLeastPart);
}

Result<void> Directory::raise_ceilings(std::uint64_t count, std::uint64_t part) {
  if (versions_at_hand(count, stamp_now(), part)) return {};
  CAIRN_REACHED("version or stamp ceiling raised");
  return commit([&](Manifest& manifest) -> Result<void> {
    const std::uint64_t now = stamp_now();
    if (versions_at_hand(count, now, part)) return {};  // Somebody else was faster.
    manifest.version_ceiling = next_version_.load() + count + kVersionsAhead;
    manifest.stamp_ceiling = now + stamp_of(static_cast<std::int64_t>(kStampMsAhead));
    return {};
  });
}

std::optional<Directory::Stamped> Directory::reserve_versions(std::uint64_t count, std::uint64_t stamps) {
  std::uint64_t first = next_version_.load();
  do {
    if (first + count - 1 > version_ceiling_.load()) return std::nullopt;
  } while (!next_version_.compare_exchange_weak(first, first + count));
  std::uint64_t last = last_stamp_.load();
  std::uint64_t stamp = 0;
  do {
    stamp = std::max(last + 1, stamp_of(environment_.clock.wall_ms()));
    if (stamp + stamps - 1 > stamp_ceiling_.load()) return std::nullopt;  // The versions are skipped; versions may have gaps.
  } while (!last_stamp_.compare_exchange_weak(last, stamp + stamps - 1));
  if (!versions_at_hand(0, stamp, kLowPart) && !raise_set_.exchange(true)) raise_ahead(0);
  return Stamped{first, stamp};
}

/// Raises the ceilings in the background. After a failure it is tried again; who needs them sooner is told what is wrong.
void Directory::raise_ahead(std::int64_t after_ms) {
  environment_.syncs.after(after_ms, this, [this] {
    if (raise_ceilings(0, kLowPart)) {
      raise_set_ = false;
    } else if (state()) {
      CAIRN_REACHED("ceilings could not be raised ahead");
      raise_ahead(kRaiseRetryMs);
    }
  });
}

void Directory::raise_stamp(std::uint64_t stamp) {
  std::uint64_t last = last_stamp_.load();
  while (last < stamp && !last_stamp_.compare_exchange_weak(last, stamp)) {
  }
}

std::int64_t Directory::confirmed_now_ms() const {
  constexpr std::int64_t kSlackMs = 60'000;     // NTP slews a clock, and both clocks are not read at one moment.
  constexpr std::int64_t kStaysMs = 3'600'000;  // A clock that stays ahead so long was set right.
  const std::int64_t wall_ms = environment_.clock.wall_ms();
  const std::int64_t boot_ms = environment_.clock.boot_ms();
  const MutexLock lock(state_mutex_);
  const std::int64_t elapsed_ms = confirmed_.wall_ms + (boot_ms - confirmed_.boot_ms);
  if (wall_ms <= elapsed_ms) {  // Set back, or as expected: the clock itself is the lesser.
    confirmed_ = {.wall_ms = wall_ms, .boot_ms = boot_ms, .ahead_since_boot_ms = std::nullopt};
    return wall_ms;
  }
  if (wall_ms <= elapsed_ms + kSlackMs) {
    confirmed_.ahead_since_boot_ms.reset();
    return elapsed_ms;
  }
  const std::int64_t ahead_ms = wall_ms - elapsed_ms;
  if (!confirmed_.ahead_since_boot_ms || ahead_ms > confirmed_.ahead_ms + kSlackMs) {  // Another jump: it has to stay as long.
    confirmed_.ahead_since_boot_ms = boot_ms;
    confirmed_.ahead_ms = ahead_ms;
  }
  confirmed_.ahead_ms = std::min(confirmed_.ahead_ms, ahead_ms);
  if (boot_ms - *confirmed_.ahead_since_boot_ms < kStaysMs) return elapsed_ms;
  CAIRN_REACHED("clock that stayed ahead was believed");
  const std::int64_t believed_ms = elapsed_ms + confirmed_.ahead_ms;
  confirmed_ = {.wall_ms = believed_ms, .boot_ms = boot_ms, .ahead_since_boot_ms = std::nullopt};
  return believed_ms;
}

std::shared_ptr<Pin> Directory::pin(std::uint16_t view, const std::atomic<std::uint64_t>& visible, const std::string& label,
                                    std::uint64_t written_bytes) {
  auto ended = std::make_shared<std::atomic<bool>>(false);
  std::uint64_t id = 0;
  std::uint64_t version = 0;
  {
    const MutexLock lock(pins_mutex_);
    id = next_pin_++;
    version = visible.load(std::memory_order_acquire);
    pins_.push_back({id, view, version, environment_.clock.boot_ms(), label, written_bytes, ended});
  }
  return std::make_shared<Pin>(shared_from_this(), view, id, version, std::move(ended));
}

Result<void> Directory::end_pin(std::uint16_t view, std::uint64_t id) {
  const MutexLock lock(pins_mutex_);
  const auto found =
      std::find_if(pins_.begin(), pins_.end(), [&](const PinState& pin) { return pin.id == id && pin.view == view; });
  if (found == pins_.end()) return fail(ErrorCode::kNotFound, "there is no pin " + std::to_string(id));
  found->ended->store(true, std::memory_order_release);
  pins_.erase(found);
  return {};
}

void Directory::unpin(std::uint64_t id) {
  const MutexLock lock(pins_mutex_);
  pins_.remove_if([&](const PinState& pin) { return pin.id == id; });
}

Pin::~Pin() {
  if (home_.is_here()) directory_->unpin(id_);
}

Visibility Directory::visibility(std::uint16_t view, const std::atomic<std::uint64_t>& visible) const {
  const MutexLock lock(pins_mutex_);
  Visibility seen{.horizon = visible.load(std::memory_order_acquire), .pins = {}};
  for (const PinState& pin : pins_) {
    if (pin.view == view) seen.pins.push_back(pin.write_version);
  }
  std::sort(seen.pins.begin(), seen.pins.end());
  return seen;
}

std::vector<PinInfo> Directory::pins() const {
  const MutexLock lock(pins_mutex_);
  std::vector<PinInfo> infos;
  for (const PinState& pin : pins_) {
    infos.push_back(
        {pin.id, pin.label, pin.view, pin.write_version, environment_.clock.boot_ms() - pin.since_boot_ms, pin.written_bytes});
  }
  return infos;
}

}  // namespace cairn::directory
