#include <cerrno>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/handle.h"
#include "database/database_impl.h"
#include "database/owner_socket.h"
#include "directory/file_name.h"
#include "sealed/sealed_reader.h"
#include "storage/posix_storage.h"

namespace cairn::database {
namespace {

constexpr std::int64_t kLeaseLeastMs = 100;
constexpr std::int64_t kLeaseMostMs = 3'600'000;

Result<void> check_options(const TableOptions& options) {
  if (options.memtable_bytes_max < kMiB || options.memtable_bytes_max > kGiB) {
    return fail(ErrorCode::kInvalidArgument,
                "memtable_bytes_max is " + std::to_string(options.memtable_bytes_max) + ", not from 1 MiB to 1 GiB");
  }
  return {};
}

std::string words_for(const std::string& kind) { return kind == "forks" ? "fork store" : kind; }

Result<std::uint64_t> bytes_of_files(storage::Storage& storage, const directory::Manifest& manifest) {
  std::uint64_t bytes = 0;
  for (const std::string& name : manifest.files()) {
    const auto map = storage.open(name);
    if (map) bytes += (*map)->size();
  }
  return bytes;
}

}  // namespace

std::vector<LiveEntry> live_entries(const directory::Manifest& manifest) {
  std::vector<LiveEntry> entries;
  for (const directory::ViewEntry& view : manifest.views) {
    for (const directory::FamilyEntry& family : view.families) {
      for (const directory::RunEntry& run : family.runs) {
        for (const std::string& name : run.files) entries.push_back({name, view.number, family.number, 0});
      }
    }
    for (const directory::LargeEntry& large : view.large) entries.push_back({large.file, view.number, 0, large.end});
    for (const directory::SegmentEntry& segment : view.log) {
      if (segment.state == directory::SegmentState::kEnded) entries.push_back({segment.file, view.number, 0, segment.end});
    }
    if (view.forks) {
      for (const std::string& name : view.forks->index) entries.push_back({name, view.number, kForksFamily, 0});
    }
    if (!view.timeline) continue;
    for (const directory::BlockEntry& block : view.timeline->blocks) entries.push_back({block.file, view.number, 0, block.end});
    for (const directory::BlockIndexEntry& index : view.timeline->indexes) {
      entries.push_back({index.file, view.number, kTimelineFamily, 0});
    }
  }
  return entries;
}

Result<std::uint64_t> verify_file(const std::shared_ptr<const storage::MappedFile>& map, const segment::DatabaseId& database,
                                  const LiveEntry& entry, const std::function<Result<void>(std::uint64_t)>& progress) {
  const auto parsed = directory::FileName::parse(entry.name);
  if (parsed->suffix == directory::kSegmentSuffix) {
    CAIRN_TRY(reader, segment::SegmentReader::open(map, database, parsed->number, entry.view));
    CAIRN_TRY_VOID(reader.replay(entry.end, [](const segment::RecordView&) { return Result<void>{}; }));
    CAIRN_TRY_VOID(progress(entry.end));
    return entry.end;
  }
  CAIRN_TRY(reader, sealed::SealedReader::open(
                        map, {.database = database, .number = parsed->number, .view = entry.view, .family = entry.family}));
  CAIRN_TRY_VOID(reader->verify(progress));
  return map->size();
}

Result<void> check_file(const std::shared_ptr<const storage::MappedFile>& map, const segment::DatabaseId& database,
                        const LiveEntry& entry) {
  const auto parsed = directory::FileName::parse(entry.name);
  if (parsed->suffix == directory::kSegmentSuffix) {
    if (map->size() < entry.end) {
      return corruption("the segment has " + std::to_string(map->size()) + " bytes, fewer than the " + std::to_string(entry.end) +
                            " that the manifest says",
                        entry.name, map->size());
    }
    CAIRN_TRY_VOID(segment::SegmentReader::open(map, database, parsed->number, entry.view));
    return {};
  }
  CAIRN_TRY_VOID(sealed::SealedReader::open(
      map, {.database = database, .number = parsed->number, .view = entry.view, .family = entry.family}));
  return {};
}

Result<std::unique_ptr<DatabaseImpl>> DatabaseImpl::open(std::unique_ptr<storage::Storage> storage,
                                                         directory::Environment& environment, Mode mode,
                                                         const DatabaseOptions& options, const table::Tuning& tuning,
                                                         const timeline::Tuning& timeline_tuning,
                                                         const forks::Tuning& forks_tuning) {
  if (options.lease_ms < kLeaseLeastMs || options.lease_ms > kLeaseMostMs) {
    return fail(ErrorCode::kInvalidArgument, "lease_ms is " + std::to_string(options.lease_ms) + ", not from 100 to 3600000");
  }
  const directory::DirectoryOptions lease{.owner = options.owner.empty() ? program_invocation_short_name : options.owner,
                                          .lease_ms = options.lease_ms,
                                          .drives = options.drives};
  bool create = mode == Mode::kCreate;
  if (mode == Mode::kOpenOrCreate) {
    CAIRN_TRY(there, directory::Directory::holds_database(*storage));
    create = !there;
  }
  Result<std::shared_ptr<directory::Directory>> directory =
      create ? directory::Directory::create(std::move(storage), environment, lease)
             : directory::Directory::open(std::move(storage), environment, lease);
  CAIRN_TRY_VOID(directory);
  return std::make_unique<DatabaseImpl>(*directory, tuning, timeline_tuning, forks_tuning);
}

DatabaseImpl::DatabaseImpl(std::shared_ptr<directory::Directory> directory, const table::Tuning& tuning,
                           const timeline::Tuning& timeline_tuning, const forks::Tuning& forks_tuning)
    : directory_(std::move(directory)),
      tuning_(tuning),
      timeline_tuning_(timeline_tuning),
      forks_tuning_(forks_tuning),
      reports_(directory_->reports()) {}

Result<void> DatabaseImpl::answer_commands(const std::string& path) {
  CAIRN_TRY(listener, OwnerListener::start(*this, path));
  const MutexLock lock(mutex_);
  listened_at_ = path;
  listener_ = std::move(listener);
  return {};
}

bool DatabaseImpl::is_open(const std::string& kind, const std::string& name) {
  const MutexLock lock(mutex_);
  return kind == "table" ? tables_.contains(name) : kind == "timeline" ? timelines_.contains(name) : forks_.contains(name);
}

DatabaseImpl::~DatabaseImpl() {
  if (close()) return;
  listener_.reset();
  // close() failed for want of something, or because an account is being changed in place. A destructor cannot report that, and
  // no job may run on in what is destroyed.
  const MutexLock lock(mutex_);
  for (const auto& [name, table] : tables_) table->close(true).ignore_error();
  for (const auto& [name, timeline] : timelines_) timeline->close(true).ignore_error();
  for (const auto& [name, store] : forks_) store->close(true).ignore_error();
  directory_->let_go(false);
}

Result<void> DatabaseImpl::check_open() const {
  return closed_ ? fail(ErrorCode::kUnavailable, "the database is closed") : Result<void>{};
}

/// The entry of a view in the manifest, made by `make` if there is none.
Result<directory::ViewEntry> DatabaseImpl::view(const std::string& kind, const std::string& name, bool create,
                                                const std::function<Result<directory::ViewEntry>()>& make) {
  if (!directory::valid_name(name)) {
    return fail(ErrorCode::kInvalidArgument,
                "'" + name + "' is no name for a " + words_for(kind) + ": 1 to 64 of a-z A-Z 0-9 _ - . :");
  }
  directory::Manifest manifest = directory_->manifest();
  if (const directory::ViewEntry* const found = manifest.view(kind, name)) return *found;
  if (!create) return fail(ErrorCode::kNotFound, "there is no " + words_for(kind) + " '" + name + "'");
  CAIRN_TRY(made, make());
  CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& next) -> Result<void> {
    if (next.next_view == 0xffff) return fail(ErrorCode::kInvalidArgument, "a directory holds at most 65,534 views");
    made.name = name;
    made.kind = kind;
    made.number = next.next_view;
    next.views.push_back(made);
    ++next.next_view;
    return {};
  }));
  return made;
}

Result<std::shared_ptr<table::TableImpl>> DatabaseImpl::table(const std::string& name, const TableOptions& options) {
  const MutexLock lock(mutex_);
  CAIRN_TRY_VOID(check_open());
  const auto found = tables_.find(name);
  if (found != tables_.end() && !table::gives_anything(options.main)) return found->second;
  CAIRN_TRY(entry, view("table", name, options.create_if_missing, [&]() -> Result<directory::ViewEntry> {
              CAIRN_TRY(main, table::family_entry("main", options.main));
              directory::ViewEntry made;
              made.families.push_back(main);
              return made;
            }));
  CAIRN_TRY_VOID(table::check_same(name, entry.families.front(), options.main));
  if (found != tables_.end()) return found->second;
  CAIRN_TRY(opened, table::TableImpl::open(directory_, entry, options, tuning_));
  tables_[name] = opened;
  return opened;
}

Result<std::shared_ptr<timeline::TimelineImpl>> DatabaseImpl::timeline(const std::string& name, const TimelineOptions& options) {
  const MutexLock lock(mutex_);
  CAIRN_TRY_VOID(check_open());
  if (const auto found = timelines_.find(name); found != timelines_.end()) {
    CAIRN_TRY_VOID(found->second->check_same(options));
    return found->second;
  }
  CAIRN_TRY(entry, view("timeline", name, options.create_if_missing, [&]() -> Result<directory::ViewEntry> {
              CAIRN_TRY(configured, timeline::TimelineImpl::configure(timeline::TimelineImpl::defaults(), options));
              directory::ViewEntry made;
              made.timeline = configured;
              return made;
            }));
  CAIRN_TRY(configured, timeline::TimelineImpl::configure(*entry.timeline, options));
  if (configured != *entry.timeline) {
    CAIRN_TRY_VOID(directory_->commit([&](directory::Manifest& next) -> Result<void> {
      next.edit_view(entry.number).timeline = configured;
      return {};
    }));
    entry.timeline = configured;
  }
  CAIRN_TRY(opened, timeline::TimelineImpl::open(directory_, entry, options, timeline_tuning_));
  timelines_[name] = opened;
  return opened;
}

Result<std::shared_ptr<forks::ForkStoreImpl>> DatabaseImpl::forks(const std::string& name, const ForkStoreOptions& options) {
  const MutexLock lock(mutex_);
  CAIRN_TRY_VOID(check_open());
  if (const auto found = forks_.find(name); found != forks_.end()) return found->second;
  CAIRN_TRY(entry, view("forks", name, options.create_if_missing, []() -> Result<directory::ViewEntry> {
              directory::ViewEntry made;
              made.forks = forks::ForkStoreImpl::initial();
              return made;
            }));
  CAIRN_TRY(opened, forks::ForkStoreImpl::open(directory_, entry, options, forks_tuning_));
  forks_[name] = opened;
  return opened;
}

std::vector<std::string> DatabaseImpl::names(const std::string& kind) const {
  std::vector<std::string> names;
  for (const directory::ViewEntry& view : directory_->manifest().views) {
    if (view.kind == kind) names.push_back(view.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<VerifyReport> DatabaseImpl::verify(const Progress& progress) {
  {
    const MutexLock lock(mutex_);
    CAIRN_TRY_VOID(check_open());
  }
  // What is being written has its end in memory only: seal it first.
  for (const std::string& name : names("table")) {
    Result<std::shared_ptr<table::TableImpl>> opened = table(name, {.create_if_missing = false});
    if (opened && directory_->state() && (*opened)->stats().layers.back().records != 0) CAIRN_TRY_VOID((*opened)->flush());
  }
  for (const std::string& name : names("timeline")) {
    Result<std::shared_ptr<timeline::TimelineImpl>> opened = timeline(name, {.create_if_missing = false});
    if (opened && directory_->state()) CAIRN_TRY_VOID((*opened)->close_block());
  }
  for (const std::string& name : names("forks")) {
    Result<std::shared_ptr<forks::ForkStoreImpl>> opened = forks(name, {.create_if_missing = false});
    if (opened && directory_->state()) CAIRN_TRY_VOID((*opened)->end_logs());
  }
  const directory::LiveHold hold(*directory_);  // Jobs go on; what they replace stays until all of it is read.
  const directory::Manifest manifest = directory_->manifest();
  VerifyReport report;
  std::uint64_t done = 0;
  CAIRN_TRY(total, bytes_of_files(directory_->storage(), manifest));
  bool cancelled = false;
  const auto count = [&](std::uint64_t bytes) -> Result<void> {
    done += bytes;
    cancelled = cancelled || (progress && !progress(done, total));
    return cancelled ? fail(ErrorCode::kUnavailable, "cancelled") : Result<void>{};
  };
  for (const LiveEntry& entry : live_entries(manifest)) {
    ++report.files;
    const Result<std::shared_ptr<const storage::MappedFile>> map = directory_->storage().open(entry.name);
    const Result<std::uint64_t> bytes =
        map ? verify_file(*map, directory_->database_id(), entry, count) : std::unexpected(map.error());
    if (bytes) {
      report.bytes += *bytes;
    } else {
      Error damage = bytes.error();
      if (damage.file.empty()) damage.file = entry.name;
      report.damages.push_back(directory_->with_drive(std::move(damage)));
    }
  }
  if (cancelled) return fail(ErrorCode::kUnavailable, "cancelled");
  return report;
}

/// What can fail for the moment does so before anything that cannot be called again.
Result<void> DatabaseImpl::close_views() {
  for (const auto& [name, store] : forks_) CAIRN_TRY_VOID(store->check_nothing_held());
  for (auto store = forks_.begin(); store != forks_.end(); ++store) {
    const Result<void> stopped = store->second->stop_storing();
    if (stopped) continue;
    while (store != forks_.begin()) (--store)->second->resume_storing();
    return stopped;
  }
  Result<void> result;
  const auto close_all = [&](auto& views) -> bool {
    for (const auto& [name, view] : views) {
      const Result<void> closed = view->close();
      if (!closed && result) result = closed;
      if (!closed && directory_->state()) return false;
    }
    return true;
  };
  if (close_all(tables_) && close_all(timelines_)) close_all(forks_);
  return result;
}

Result<void> DatabaseImpl::close() {
  {
    std::unique_ptr<OwnerListener> listener;  // Ends without the mutex: the calls that it answers take it.
    const MutexLock lock(mutex_);
    listener.swap(listener_);
  }
  const Result<void> closed = close_all();
  const bool stays_open = !closed && directory_->state();
  std::string path;
  {
    const MutexLock lock(mutex_);
    path = listened_at_;
  }
  // Without the socket the database is as good as with it.
  if (stays_open && !path.empty()) answer_commands(path).ignore_error();
  return closed;
}

Result<void> DatabaseImpl::close_all() {
  const MutexLock lock(mutex_);
  if (closed_) return {};
  Result<void> result = close_views();
  if (!result && directory_->state()) return result;
  Result<void> closed = directory_->close();
  if (!closed && directory_->state()) return closed;
  if (!closed && result) result = closed;
  closed_ = true;
  tables_.clear();
  timelines_.clear();
  forks_.clear();
  return result;
}

}  // namespace cairn::database

namespace cairn {
namespace {

Result<Database> open_path(const std::string& path, const DatabaseOptions& options, database::DatabaseImpl::Mode mode) {
  if ((options.file_mode & 0600U) != 0600U || options.file_mode > 0777U) {
    return fail(ErrorCode::kInvalidArgument,
                "file_mode does not let the owner read and write (0600), or has more than the nine bits of permissions (0777)");
  }
  CAIRN_TRY(storage, storage::PosixStorage::open(path, mode != database::DatabaseImpl::Mode::kOpen, options.file_mode));
  DatabaseOptions absolute = options;
  for (std::string& drive : absolute.drives) {
    std::error_code error;
    const std::filesystem::path whole = std::filesystem::absolute(drive, error);
    if (drive.empty() || error) return fail(ErrorCode::kInvalidArgument, "'" + drive + "' is no path of a drive");
    drive = whole.lexically_normal().string();
  }
  CAIRN_TRY(impl, database::DatabaseImpl::open(std::move(storage), directory::Environment::process(), mode, absolute));
  impl->set_file_mode(options.file_mode);
  if (options.answer_commands) {
    std::error_code error;
    const std::filesystem::path whole = std::filesystem::absolute(path, error);
    const Result<void> listens = impl->answer_commands(error ? path : whole.string());
    if (!listens) impl->add_report("commands cannot be answered beside this process: " + listens.error().to_string());
  }
  return Database(share_at_home(impl.release()));
}

}  // namespace

Database::Database(std::shared_ptr<database::DatabaseImpl> impl) : impl_(std::move(impl)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

Result<Database> Database::create(const std::string& path, const DatabaseOptions& options) {
  return open_path(path, options, database::DatabaseImpl::Mode::kCreate);
}

Result<Database> Database::open(const std::string& path, const DatabaseOptions& options) {
  return open_path(path, options,
                   options.create_if_missing ? database::DatabaseImpl::Mode::kOpenOrCreate : database::DatabaseImpl::Mode::kOpen);
}

Result<Table> Database::table(const std::string& name, const TableOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  CAIRN_TRY_VOID(database::check_options(options));
  CAIRN_TRY(impl, impl_->table(name, options));
  return Table(impl);
}

Result<RepairReport> Database::repair(const std::string& path, const std::string& target, const Progress& progress) {
  CAIRN_TRY(source, storage::PosixStorage::open(path, false));
  CAIRN_TRY(into, storage::PosixStorage::open(target, true));
  return database::DatabaseImpl::repair(*source, std::move(into), directory::Environment::process(), progress);
}

Result<Timeline> Database::timeline(const std::string& name, const TimelineOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  CAIRN_TRY(impl, impl_->timeline(name, options));
  return Timeline(impl);
}

Result<ForkStore> Database::forks(const std::string& name, const ForkStoreOptions& options) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  CAIRN_TRY(impl, impl_->forks(name, options));
  return ForkStore(impl);
}

std::vector<std::string> Database::tables() const {
  if (!is_usable(impl_)) return {};
  return impl_->names("table");
}
std::vector<std::string> Database::timelines() const {
  if (!is_usable(impl_)) return {};
  return impl_->names("timeline");
}
std::vector<std::string> Database::fork_stores() const {
  if (!is_usable(impl_)) return {};
  return impl_->names("forks");
}
Result<VerifyReport> Database::verify(const Progress& progress) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->verify(progress);
}

Result<void> Database::checkpoint(const std::string& path, const Progress& progress) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  CAIRN_TRY(target, storage::PosixStorage::open(path, true, impl_->file_mode()));
  return impl_->checkpoint(std::move(target), progress);
}

Result<void> Database::restore(const std::string& checkpoint, const std::string& path, const Progress& progress, bool verify) {
  CAIRN_TRY(source, storage::PosixStorage::open(checkpoint, false));
  CAIRN_TRY(target, storage::PosixStorage::open(path, true));
  return database::DatabaseImpl::restore(*source, std::move(target), directory::Environment::process(), progress, nullptr,
                                         verify);
}

Result<void> Database::incremental_checkpoint(const std::string& base, const std::string& path, const Progress& progress) {
  if (!is_usable(impl_)) return why_unusable(impl_);
  CAIRN_TRY(full, storage::PosixStorage::open(base, false));
  CAIRN_TRY(target, storage::PosixStorage::open(path, true, impl_->file_mode()));
  return impl_->checkpoint(std::move(target), progress, full.get());
}

Result<void> Database::restore_incremental(const std::string& base, const std::string& checkpoint, const std::string& path,
                                           const Progress& progress, bool verify) {
  CAIRN_TRY(full, storage::PosixStorage::open(base, false));
  CAIRN_TRY(source, storage::PosixStorage::open(checkpoint, false));
  CAIRN_TRY(target, storage::PosixStorage::open(path, true));
  return database::DatabaseImpl::restore(*source, std::move(target), directory::Environment::process(), progress, full.get(),
                                         verify);
}

Result<void> Database::verify_checkpoint(const std::string& checkpoint, const std::string& base, const Progress& progress) {
  CAIRN_TRY(source, storage::PosixStorage::open(checkpoint, false));
  std::unique_ptr<storage::Storage> full;
  if (!base.empty()) {
    CAIRN_TRY(opened, storage::PosixStorage::open(base, false));
    full = std::move(opened);
  }
  return database::DatabaseImpl::verify_checkpoint(*source, full.get(), directory::Environment::process().clock, progress);
}

std::vector<std::string> Database::drives() const {
  if (!is_usable(impl_)) return {};
  return impl_->directory().manifest().roots;
}
const std::vector<std::string>& Database::open_reports() const {
  static const std::vector<std::string> none;
  return is_usable(impl_) ? impl_->reports() : none;
}
Result<void> Database::close() {
  if (!is_usable(impl_)) return why_unusable(impl_);
  return impl_->close();
}

}  // namespace cairn
