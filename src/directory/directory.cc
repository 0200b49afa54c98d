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
constexpr std::size_t kSparesMax = 4;

std::uint64_t stamp_of(std::int64_t wall_ms) { return static_cast<std::uint64_t>(wall_ms) << kStampSequenceBits; }

bool is_ours(const std::string& name) {
  return FileName::parse(name) || ManifestName::parse(name) || name.ends_with(kTrimmedSuffix) || name.ends_with(kSpareSuffix);
}

}  // namespace

Directory::Directory(std::unique_ptr<storage::Storage> storage, Environment& environment)
    : first_storage_(std::move(storage)), environment_(environment), random_(system_random()) {}

Result<void> Directory::take_lease(const DirectoryOptions& options, std::uint64_t epoch_above) {
  lease_ = storage_.make_lease(environment_.clock);
  lease_ms_ = options.lease_ms;
  CAIRN_TRY(epoch, lease_->acquire(options.owner, options.lease_ms, epoch_above));
  epoch_ = epoch;
  schedule_renewal();
  return {};
}

void Directory::schedule_renewal() {
  environment_.leases.after(lease_ms_ / 3, this, [this] {
    const Result<void> renewed = lease_->renew();
    if (!renewed && renewed.error().code == ErrorCode::kLeaseLost) {
      stop_writing(renewed.error());
      return;
    }
    schedule_renewal();  // After an I/O error too: until the lease ends there is time to try again.
  });
}

Result<std::shared_ptr<Directory>> Directory::create(std::unique_ptr<storage::Storage> storage, Environment& environment,
                                                     const DirectoryOptions& options) {
  std::shared_ptr<Directory> directory(new Directory(std::move(storage), environment));
  CAIRN_TRY(names, directory->storage_.list());
  for (const std::string& name : names) {
    // A lease alone is what a create that did not finish leaves behind.
    if (is_ours(name)) return fail(ErrorCode::kConflict, "the directory holds a database, or what is left of one", name);
  }
  CAIRN_TRY_VOID(directory->take_lease(options));
  Manifest manifest;
  manifest.database = {system_random(), system_random()};
  manifest.hash_seed = system_random();
  directory->database_ = manifest.database;
  directory->hash_seed_ = manifest.hash_seed;
  manifest.version_ceiling = kVersionsAhead;
  manifest.stamp_ceiling = stamp_of(environment.clock.wall_ms() + static_cast<std::int64_t>(kStampMsAhead));
  directory->version_ceiling_ = manifest.version_ceiling;
  directory->stamp_ceiling_ = manifest.stamp_ceiling;
  const MutexLock lock(directory->manifest_mutex_);
  CAIRN_TRY_VOID(directory->publish(manifest));
  if (options.drives.empty()) return directory;
  // Only now: what marks a drive says of which database.
  CAIRN_TRY_VOID(connect_drives(directory->storage_, manifest, options.drives));
  CAIRN_TRY_VOID(directory->publish(manifest));
  return directory;
}

Result<ManifestName> Directory::newest_manifest(storage::Storage& storage) {
  CAIRN_TRY(names, storage.list());
  std::optional<ManifestName> newest;
  std::string stray;
  for (const std::string& name : names) {
    if (is_ours(name)) stray = name;
    const auto parsed = ManifestName::parse(name);
    if (parsed && (!newest || *parsed > *newest)) newest = parsed;
  }
  if (newest) return *newest;
  if (stray.empty()) return fail(ErrorCode::kNotFound, "no database in " + storage.describe());
  return corruption(
      "the directory holds files of a database but no manifest: a checkpoint or restore that did not finish, "
      "or a case for repair",
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
  CAIRN_TRY(names, directory.storage_.list());
  for (const std::string& name : names) {
    if (ManifestName::parse(name)) return fail(ErrorCode::kConflict, "the directory holds a database", name);
  }
  CAIRN_TRY_VOID(directory.storage_.sync_names());
  CAIRN_TRY_VOID(directory.take_lease(options, manifest.epoch));
  directory.next_file_ = manifest.next_file;
  manifest.version = 0;
  Result<void> published;
  {
    const MutexLock lock(directory.manifest_mutex_);
    published = directory.publish(manifest);
  }
  environment.leases.cancel(&directory);
  directory.lease_->release();
  return published;
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
  std::shared_ptr<Directory> directory(new Directory(std::move(storage), environment));
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
  directory->latest_ms_ = manifest.clock_ms;
  directory->last_stamp_ = std::min(manifest.stamp_ceiling, stamp_of(environment.clock.wall_ms()));  // docs/decisions/0026.
  CAIRN_TRY_VOID(directory->recover_logs(manifest));
  manifest.version_ceiling += kVersionsAhead;
  manifest.stamp_ceiling = std::max(manifest.stamp_ceiling, stamp_of(environment.clock.wall_ms())) + stamp_of(kStampMsAhead);
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
  if (closed_.exchange(true)) return {};
  environment_.syncs.cancel(this);
  Result<void> result = state();
  if (result) {
    // Versions and stamps go on from where they are, not from the ceilings.
    result = commit([&](Manifest& manifest) -> Result<void> {
      manifest.version_ceiling = versions_used();
      manifest.stamp_ceiling = last_stamp_.load();
      return {};
    });
  }
  environment_.leases.cancel(this);
  if (result) {
    reclaim();
    std::vector<Spare> spares;
    {
      const MutexLock lock(spares_mutex_);
      spares.swap(spares_);
    }
    for (const Spare& spare : spares) (void)storage_.reclaim(spare.name);
  }
  if (state()) lease_->release();
  return result;
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
  CAIRN_TRY_VOID(check_lease());
  const std::string name = ManifestName{manifest.epoch, manifest.version}.to_string();
  Result<void> published = storage_.publish(name, encode_manifest(manifest));
  if (published) published = check_lease();
  if (!published) {
    // Without room nothing happened. After any other failure the new version may be there or not: whatever we did
    // next could contradict it.
    if (published.error().code != ErrorCode::kNoSpace) stop_writing(published.error());
    return published;
  }
  manifest_ = manifest;
  if (previous.version + 1 >= kManifestsKept && previous.epoch == epoch_) {
    const std::uint64_t old = manifest.version - kManifestsKept;
    (void)storage_.remove(ManifestName{epoch_, old}.to_string());
  }
  return {};
}

Result<void> Directory::commit(const std::function<Result<void>(Manifest&)>& edit,
                               const std::function<void(const Manifest&)>& then) {
  Result<void> done = commit_once(edit, then);
  if (!done && done.error().code == ErrorCode::kNoSpace && reclaim()) done = commit_once(edit, then);
  return done;
}

Result<void> Directory::commit_once(const std::function<Result<void>(Manifest&)>& edit,
                                    const std::function<void(const Manifest&)>& then) {
  const MutexLock lock(manifest_mutex_);
  CAIRN_TRY_VOID(state());
  Manifest next = manifest_;
  next.version_ceiling = version_ceiling_.load();
  next.stamp_ceiling = stamp_ceiling_.load();
  CAIRN_TRY_VOID(edit(next));
  CAIRN_TRY_VOID(publish(next));
  version_ceiling_ = next.version_ceiling;
  stamp_ceiling_ = next.stamp_ceiling;
  if (then) then(next);
  return {};
}

Result<void> Directory::state() const {
  if (!stopped_flag_.load(std::memory_order_acquire)) return {};
  const MutexLock lock(state_mutex_);
  return std::unexpected(*stopped_);
}

void Directory::stop_writing(const Error& reason) {
  const MutexLock lock(state_mutex_);
  if (stopped_) return;
  stopped_ = reason;
  if (reason.code != ErrorCode::kLeaseLost) {
    stopped_->code = ErrorCode::kReadOnly;
    stopped_->message = "writing stopped after " + std::string(name_of(reason.code)) + ": " + reason.message +
                        "; reads go on, reopen the database to write again";
  }
  stopped_flag_.store(true, std::memory_order_release);
}

Result<void> Directory::check_lease() {
  CAIRN_TRY_VOID(state());
  Result<void> checked = lease_->check();
  if (!checked) stop_writing(checked.error());
  return checked;
}

Result<void> Directory::check_lease_time() {
  Result<void> checked = lease_->check_time();
  if (!checked) stop_writing(checked.error());
  return checked;
}

/// With a margin, since others reserve at the same time and the clock goes on.
bool Directory::versions_at_hand(std::uint64_t count, std::uint64_t now, std::uint64_t part) const {
  return next_version_.load() + count + kVersionsAhead / part <= version_ceiling_.load() &&
         now + stamp_of(static_cast<std::int64_t>(kStampMsAhead / part)) <= stamp_ceiling_.load();
}

std::uint64_t Directory::stamp_now() const { return std::max(stamp_of(environment_.clock.wall_ms()), last_stamp_.load()); }

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

std::int64_t Directory::now_ms() const {
  const std::int64_t wall_ms = environment_.clock.wall_ms();
  std::int64_t latest = latest_ms_.load(std::memory_order_relaxed);
  while (latest < wall_ms && !latest_ms_.compare_exchange_weak(latest, wall_ms, std::memory_order_relaxed)) {
  }
  return std::max(latest, wall_ms);
}

std::uint64_t Directory::random() {
  const MutexLock lock(state_mutex_);
  return random_.next();
}

FileName Directory::new_name(std::string_view suffix) {
  return {.number = next_file_.fetch_add(1), .epoch = epoch_, .random = static_cast<std::uint32_t>(random()), .suffix = suffix};
}

std::optional<Directory::Spare> Directory::take_spare(std::uint64_t capacity, std::size_t root) {
  recycle_dropped();  // Deleting may take long, and is for jobs: a log waits here.
  const MutexLock lock(spares_mutex_);
  // Not one far too large: many small logs would keep what one busy log gave back.
  const auto found = std::find_if(spares_.begin(), spares_.end(), [&](const Spare& s) {
    return s.capacity >= capacity && s.capacity <= 2 * capacity && storage_.drive_of(s.name) == root;
  });
  if (found == spares_.end()) return std::nullopt;
  Spare spare = std::move(*found);
  spares_.erase(found);
  return spare;
}

/// A spare one, or a new one.
Result<std::unique_ptr<storage::AppendFile>> Directory::segment_file(const std::string& name, std::uint64_t capacity,
                                                                     std::size_t root, bool& recycled) {
  const std::optional<Spare> spare = take_spare(capacity, root);
  recycled = spare.has_value();
  if (!spare) return create(name, capacity, root);
  CAIRN_REACHED("segment recycled");
  Result<std::unique_ptr<storage::AppendFile>> file = storage_.recycle(spare->name, name);
  if (!file) keeper_->drop({spare->name, 0});
  return file;
}

Result<Directory::NewSegment> Directory::new_segment(std::uint16_t view, const std::string& view_name, std::uint64_t capacity,
                                                     std::optional<std::uint16_t> root) {
  CAIRN_TRY_VOID(state());
  const FileName name = new_name(kSegmentSuffix);
  const std::string file_name = name.to_string();
  bool recycled = false;
  std::uint16_t on = root.value_or(0);
  Result<std::unique_ptr<storage::AppendFile>> file = segment_file(file_name, capacity, on, recycled);
  for (std::uint16_t tried = 1; root && tried < roots() && !file && file.error().code == ErrorCode::kNoSpace; ++tried) {
    CAIRN_REACHED("segment on another drive, for want of room");
    on = static_cast<std::uint16_t>((on + 1) % roots());
    file = segment_file(file_name, capacity, on, recycled);
  }
  if (!file) return std::unexpected(file.error());
  const segment::SegmentIdentity identity{.database = database_,
                                          .number = name.number,
                                          .salt = segment::salt_of(database_, file_name),
                                          .epoch = epoch_,
                                          .view = view,
                                          .view_name = view_name};
  Result<std::unique_ptr<segment::SegmentWriter>> writer = segment::SegmentWriter::start(*std::move(file), identity, recycled);
  Result<void> named = writer ? storage_.sync_names() : std::unexpected(writer.error());
  if (!named) {
    // It holds nothing that was accepted: dropping it makes good for the failed sync.
    abandon(file_name);
    return std::unexpected(named.error());
  }
  return NewSegment{*std::move(writer), file_name, on};
}

Result<std::unique_ptr<storage::AppendFile>> Directory::new_sealed(sealed::SealedIdentity& identity, std::uint64_t capacity) {
  CAIRN_TRY_VOID(state());
  const FileName name = new_name(kSealedSuffix);
  identity.database = database_;
  identity.hash_seed = hash_seed_;
  identity.number = name.number;
  identity.salt = random();
  identity.epoch = epoch_;
  return create(name.to_string(), capacity);
}

Result<std::unique_ptr<storage::AppendFile>> Directory::create(const std::string& name, std::uint64_t capacity,
                                                               std::size_t root) {
  Result<std::unique_ptr<storage::AppendFile>> file = storage_.create_on(root, name, capacity);
  if (!file && file.error().code == ErrorCode::kNoSpace && reclaim()) file = storage_.create_on(root, name, capacity);
  return file;
}

void Directory::abandon(const std::string& name) { (void)storage_.remove(name); }

void Directory::discard(NewSegment segment) {
  segment.writer.reset();
  keeper_->drop({segment.name, 0});
}

std::vector<FileKeeper::Dropped> Directory::take_dropped(bool all) {
  std::vector<FileKeeper::Dropped> taken = keeper_->take(all);
  if (holds_ == 0) return taken;  // Looked at after taking: what left the manifest before a hold began is nothing to it.
  for (FileKeeper::Dropped& dropped : taken) keeper_->drop(std::move(dropped));
  return {};
}

bool Directory::reclaim() {
  recycle_dropped();
  bool any = false;
  for (const FileKeeper::Dropped& dropped : take_dropped(true)) {
    if (!check_lease()) break;  // An owner that was taken over deletes nothing. What stays behind is deleted by the next open.
    any = remove_dropped(dropped.name) || any;
  }
  return any;
}

/// Only what this owner made is known to be mapped by nobody: an older file may be by who read it before this open.
bool Directory::remove_dropped(const std::string& name) {
  const auto file = FileName::parse(name);
  return (!file || file->epoch == epoch_ ? storage_.reclaim(name) : storage_.remove(name)).has_value();
}

/// Keeps what it may of the dropped segments for reuse; the others are to be deleted.
void Directory::recycle_dropped() {
  for (const FileKeeper::Dropped& dropped : take_dropped(false)) {
    const bool ours = FileName::parse(dropped.name)->epoch == epoch_;
    if (!ours || !check_lease() || !put_aside(dropped.name, dropped.recyclable_bytes)) keeper_->drop({dropped.name, 0});
  }
}

/// Keeps a segment for reuse, under a name that says so: repair must not take it for a log. The largest are kept: a log begins
/// with small ones, which serve none of those that follow.
bool Directory::put_aside(const std::string& name, std::uint64_t capacity) {
  std::string smallest;
  {
    const MutexLock lock(spares_mutex_);
    if (linked_.erase(name) != 0) return false;
    if (spares_.size() >= kSparesMax) {
      const auto least = std::ranges::min_element(spares_, {}, &Spare::capacity);
      if (least->capacity >= capacity) return false;
      smallest = least->name;
      spares_.erase(least);
    }
  }
  if (!smallest.empty()) keeper_->drop({smallest, 0});
  std::string spare = name.substr(0, name.size() - kSegmentSuffix.size());
  spare += kSpareSuffix;
  if (!storage_.recycle(name, spare)) return false;
  const MutexLock lock(spares_mutex_);
  spares_.push_back({spare, capacity});
  return true;
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
  return std::make_shared<Pin>(shared_from_this(), id, version, std::move(ended));
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

Pin::~Pin() { directory_->unpin(id_); }

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
