// The files of a directory: new ones, on which drive; and what becomes of those that nothing refers to any more.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "directory/directory.h"
#include "directory/file_name.h"

namespace cairn::directory {
namespace {
constexpr std::size_t kSparesMax = 4;
}  // namespace

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
  recycled = false;
  if (spare) {
    Result<std::unique_ptr<storage::AppendFile>> file = storage_.recycle(spare->name, name);
    recycled = file && (*file)->capacity() >= capacity;
    if (recycled) {
      CAIRN_REACHED("segment recycled");
      return file;
    }
    // It cannot be had, or gave room back since it was counted: a new one serves as well.
    if (file) abandon(name);
    if (!file) keeper_->drop({spare->name, 0});
  }
  return create(name, capacity, root);
}

Result<Directory::NewSegment> Directory::new_segment(std::uint16_t view, const std::string& view_name, std::uint64_t capacity,
                                                     std::optional<std::uint16_t> root) {
  CAIRN_TRY_VOID(state());
  if (!root) return new_segment_on(0, view, view_name, capacity);
  Result<NewSegment> made = new_segment_on(*root, view, view_name, capacity);
  for (std::uint16_t tried = 1; tried < roots() && !made && state(); ++tried) {
    CAIRN_REACHED("segment on another drive");
    Result<NewSegment> other = new_segment_on(static_cast<std::uint16_t>((*root + tried) % roots()), view, view_name, capacity);
    // kNoSpace is the error to return: the caller can make room.
    if (other || made.error().code != ErrorCode::kNoSpace) made = std::move(other);
  }
  return made;
}

Result<Directory::NewSegment> Directory::new_segment_on(std::uint16_t root, std::uint16_t view, const std::string& view_name,
                                                        std::uint64_t capacity) {
  const FileName name = new_name(kSegmentSuffix);
  const std::string file_name = name.to_string();
  bool recycled = false;
  Result<std::unique_ptr<storage::AppendFile>> file = segment_file(file_name, capacity, root, recycled);
  if (!file) {
    note_drive(root, file.error().to_string());
    return std::unexpected(file.error());
  }
  const segment::SegmentIdentity identity{.database = database_,
                                          .number = name.number,
                                          .salt = segment::salt_of(database_, file_name),
                                          .epoch = epoch_,
                                          .view = view,
                                          .view_name = view_name};
  Result<std::unique_ptr<segment::SegmentWriter>> writer = segment::SegmentWriter::start(*std::move(file), identity, recycled);
  const Result<void> named = writer ? storage_.sync_names_on(root) : std::unexpected(writer.error());
  note_drive(root, named ? "" : named.error().to_string());
  if (!named) {
    // It holds nothing that was accepted: dropping it makes good for the failed sync.
    abandon(file_name);
    return std::unexpected(named.error());
  }
  return NewSegment{*std::move(writer), file_name, root};
}

void Directory::note_drive(std::uint16_t root, const std::string& error) {
  const MutexLock lock(state_mutex_);
  if (drive_errors_.size() <= root) drive_errors_.resize(root + 1U);
  drive_errors_[root] = error;
}

std::vector<std::string> Directory::drive_errors() const {
  const MutexLock lock(state_mutex_);
  return drive_errors_;
}

Error Directory::with_drive(Error error) {
  if (const std::size_t drive = storage_.drive_of(error.file); drive != 0) {
    error.file = storage_.drive(drive).describe() + "/" + error.file;
  }
  return error;
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
  if (!file && file.error().code == ErrorCode::kNoSpace && reclaim_all()) file = storage_.create_on(root, name, capacity);
  return file;
}

// No manifest names the file: what stays of it is removed at the next open.
void Directory::abandon(const std::string& name) { storage_.remove(name).ignore_error(); }

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
  for (FileKeeper::Dropped& dropped : take_dropped(true)) {
    // An owner that was taken over deletes nothing; one that cannot know at the moment does it later.
    if (lease_->check()) {
      any = remove_dropped(dropped.name) || any;
    } else if (state()) {
      keeper_->drop(std::move(dropped));
    }
  }
  return any;
}

void Directory::reclaim_in_background() {
  if (!holds_dropped() || closed_) return;
  environment_.jobs.submit("reclaim files", JobRunner::Urgency::kNormal, [held = weak_from_this()](Job&) -> Result<void> {
    if (const auto directory = held.lock(); directory && !directory->closed_) directory->reclaim();
    return {};
  });
}

/// For a full disk: deletes the segments that wait to be recycled too.
bool Directory::reclaim_all() {
  const bool any = reclaim();
  if (!release_spares() && !any) return false;
  ++reclaims_;
  return true;
}

std::uint64_t Directory::spare_bytes() const {
  const MutexLock lock(spares_mutex_);
  std::uint64_t bytes = 0;
  for (const Spare& spare : spares_) bytes += spare.capacity;
  return bytes;
}

bool Directory::release_spares() {
  std::vector<Spare> spares;
  {
    const MutexLock lock(spares_mutex_);
    spares.swap(spares_);
  }
  for (const Spare& spare : spares) keeper_->drop({spare.name, 0});
  return !spares.empty() && reclaim();
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
    if (!ours || !lease_->check() || !put_aside(dropped.name, dropped.recyclable_bytes)) keeper_->drop({dropped.name, 0});
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

}  // namespace cairn::directory
