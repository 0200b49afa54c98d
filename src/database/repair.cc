// Repair: everything readable of a damaged directory, with or without manifest and indexes, becomes a new database.
//
// Which files count: those of the newest readable manifest, and those made after it; without any manifest all. Of these a
// record is passed over if a sound sealed file, made later, covers its key and its version: that file says what lives
// there, so that erased keys stay erased. Everything else is merged, the newest version of each key winning.
// Of a timeline every save counts, and its indexes are made anew: its segments say all that they do. Of a fork store every
// version counts that is of one of its forks, which a manifest alone says.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "database/database_impl.h"
#include "directory/file_name.h"
#include "directory/further_drives.h"
#include "forks/rebuild.h"
#include "forks/record_key.h"
#include "sealed/merge_cursor.h"
#include "sealed/sealed_salvage.h"
#include "segment/segment_salvage.h"
#include "table/large_value.h"
#include "table/run_writer.h"
#include "timeline/rebuild.h"
#include "timeline/save.h"

namespace cairn::database {
namespace {

using FamilyOf = std::pair<std::uint16_t, std::uint16_t>;  // View, family.

/// Entries in memory, in order.
class VectorCursor final : public sealed::Cursor {
 public:
  VectorCursor(std::vector<sealed::Entry> entries, std::shared_ptr<const void> hold)
      : entries_(std::move(entries)), kept_(std::move(hold)) {
    std::sort(entries_.begin(), entries_.end(), [](const sealed::Entry& a, const sealed::Entry& b) {
      return a.key != b.key ? a.key < b.key : a.write_version > b.write_version;
    });
  }
  Result<void> seek_first() override {
    at_ = 0;
    return take();
  }
  Result<void> next() override {
    ++at_;
    return take();
  }
  Result<void> seek(ByteView /*key*/) override { return forward_only(); }
  Result<void> seek_before(ByteView /*key*/, std::uint64_t /*version*/) override { return forward_only(); }
  Result<void> seek_last() override { return forward_only(); }
  Result<void> prev() override { return forward_only(); }

 private:
  Result<void> take() {
    entry_ = at_ < entries_.size() ? &entries_[at_] : nullptr;
    return {};
  }
  static Result<void> forward_only() { return fail(ErrorCode::kUnsupported, "repair walks forward only"); }
  std::vector<sealed::Entry> entries_;
  std::shared_ptr<const void> kept_;  // What the entries lie in.
  std::size_t at_ = 0;
};

/// What a sound sealed file has the last word on.
struct Cover {
  FamilyOf family;
  std::uint64_t number;
  std::uint64_t version_first;
  std::uint64_t version_last;
  Bytes from;
  Bytes to;
};

struct FamilyFound {
  std::string name;
  std::vector<std::unique_ptr<sealed::Cursor>> sources;
  std::vector<sealed::Entry> range_tombstones;
  sealed::SealedBounds bounds;  // Of what is in sources, and of what references in them stand for.
};

class Repair {
 public:
  Repair(storage::Storage& source, directory::Environment& environment, const Progress& progress)
      : first_(source), environment_(environment), progress_(progress) {}

  Result<RepairReport> run(std::unique_ptr<storage::Storage> target) {
    CAIRN_TRY_VOID(source_.make_lease(environment_.clock)->wait_until_free());
    CAIRN_TRY_VOID(find_files());
    for (const auto& [name, file] : sealed_files_) CAIRN_TRY_VOID(look_at_sealed(name, file));
    for (const auto& [name, end] : segments_) CAIRN_TRY_VOID(read_segment(name, end));
    for (const auto& [name, file] : sealed_files_) CAIRN_TRY_VOID(read_sealed(name, file));
    name_missing_files();
    CAIRN_TRY_VOID(write(std::move(target)));
    return std::move(report_);
  }

 private:
  struct SealedFound {
    std::shared_ptr<const storage::MappedFile> map;
    std::shared_ptr<sealed::SealedReader> reader;    // Of a file that verifies.
    std::shared_ptr<sealed::SealedSalvage> salvage;  // Of one that does not.
  };

  Result<void> step(std::uint64_t bytes) {
    done_ += bytes;
    if (progress_ && !progress_(done_, total_)) return fail(ErrorCode::kUnavailable, "cancelled");
    return {};
  }

  /// Those that are there.
  void connect_drives() {
    for (std::size_t number = 1; manifest_ && number <= manifest_->roots.size(); ++number) {
      Result<std::unique_ptr<storage::Storage>> drive = directory::open_drive(first_, *manifest_, number);
      if (drive) {
        source_.add(*std::move(drive));
      } else {
        report_.lost.push_back(drive.error());
      }
    }
  }

  /// The newest that is readable, if one is.
  Result<void> read_manifest() {
    CAIRN_TRY(names, first_.list());
    std::vector<directory::ManifestName> manifests;
    for (const std::string& name : names) {
      if (const auto parsed = directory::ManifestName::parse(name)) manifests.push_back(*parsed);
    }
    std::sort(manifests.rbegin(), manifests.rend());
    for (const directory::ManifestName& name : manifests) {
      const Result<Bytes> text = first_.read(name.to_string());
      Result<directory::Manifest> manifest =
          text ? directory::decode_manifest(*text, name.to_string()) : std::unexpected(text.error());
      if (manifest) {
        manifest_ = *std::move(manifest);
        return {};
      }
      report_.lost.push_back(manifest.error());
    }
    report_.lost.push_back(corruption("no readable manifest: options of families are not known", "manifest").error());
    return {};
  }

  /// Decides which files count.
  Result<void> find_files() {
    CAIRN_TRY_VOID(read_manifest());
    const bool newest = manifest_ && report_.lost.empty();
    connect_drives();
    CAIRN_TRY(names, source_.list());
    std::set<std::string> listed;
    if (manifest_) {
      database_ = manifest_->database;
      for (const std::string& name : manifest_->files()) listed.insert(name);
    }
    for (const std::string& name : names) {
      const auto parsed = directory::FileName::parse(name);
      if (!parsed) continue;
      // A stray, unless a newer manifest, which nobody can read, has it.
      if (newest && !listed.contains(name) && parsed->number < manifest_->next_file) continue;
      CAIRN_TRY(map, source_.open(name));
      total_ += map->size();
      ++report_.files;
      if (parsed->suffix == directory::kSegmentSuffix) {
        segments_[name] = 0;
        if (!database_) {
          const auto salvage = segment::SegmentSalvage::open(map, parsed->number, std::nullopt);
          if (salvage) database_ = salvage->identity().database;
        }
      } else {
        sealed_files_[name].map = map;
      }
    }
    for (std::size_t v = 0; manifest_ && v < manifest_->views.size(); ++v) {
      const auto ends_at = [&](const std::string& file, std::uint64_t end) {
        const auto found = segments_.find(file);
        if (found != segments_.end()) found->second = end;
        if (found == segments_.end()) missing_.insert(file);
      };
      for (const directory::SegmentEntry& segment : manifest_->views[v].log) ends_at(segment.file, segment.end);
      for (const directory::LargeEntry& large : manifest_->views[v].large) {
        ends_at(large.file, large.end);
        large_.insert(directory::FileName::parse(large.file)->number);
      }
      if (const auto& forks = manifest_->views[v].forks) {
        for (const std::string& index : forks->index) listed.erase(index);  // It holds nothing of its own.
      }
      if (const auto& timeline = manifest_->views[v].timeline) {
        for (const directory::BlockEntry& block : timeline->blocks) ends_at(block.file, block.end);
        for (const directory::BlockIndexEntry& index : timeline->indexes)
          listed.erase(index.file);  // It holds nothing of its own.
      }
    }
    for (const std::string& name : listed) {
      if (name.ends_with(directory::kSealedSuffix) && !sealed_files_.contains(name)) missing_.insert(name);
    }
    return {};
  }

  /// Sound or not, and if sound what it covers.
  Result<void> look_at_sealed(const std::string& name, const SealedFound& file) {
    SealedFound& found = sealed_files_[name];
    CAIRN_TRY_VOID(step(file.map->size()));
    Result<std::shared_ptr<sealed::SealedSalvage>> salvage = sealed::SealedSalvage::open(file.map);
    if (!salvage) {
      report_.lost.push_back(salvage.error());
      return {};
    }
    const sealed::Preamble& preamble = (*salvage)->preamble();
    if (!database_) database_ = preamble.database;
    const FamilyOf family{preamble.view, preamble.family};
    name_of(family, preamble.view_name, preamble.family_name);
    if (preamble.family == kTimelineFamily) {
      saves_[preamble.view];
      return {};
    }
    if (preamble.family == kForksFamily) {
      versions_[preamble.view];
      return {};
    }
    const std::uint64_t number = directory::FileName::parse(name)->number;
    auto reader = sealed::SealedReader::open(
        file.map, {.database = *database_, .number = number, .view = preamble.view, .family = preamble.family});
    const Result<void> verified =
        reader ? (*reader)->verify([](std::uint64_t) { return Result<void>{}; }) : std::unexpected(reader.error());
    if (!verified) {
      report_.lost.push_back(verified.error());
      found.salvage = *salvage;
      return {};
    }
    found.reader = *reader;
    CAIRN_TRY(cover, (*reader)->key_bounds());
    covers_.push_back(
        {family, number, preamble.version_first, preamble.version_last, Bytes(cover.cover_from), Bytes(cover.cover_to)});
    for (const std::uint64_t replaced : (*reader)->replaces()) replaced_.insert(replaced);
    return {};
  }

  template <std::size_t kSize>
  static std::string text_of(const std::array<char, kSize>& text) {
    return {text.begin(), std::find(text.begin(), text.end(), '\0')};
  }
  void name_of(const FamilyOf& family, const std::array<char, 64>& view, const std::array<char, 64>& name) {
    if (directory::valid_name(text_of(view))) view_names_[family.first] = text_of(view);
    if (directory::valid_name(text_of(name))) families_[family].name = text_of(name);
  }

  /// A large value that the manifest lists has lived, though its record's own version is older than its reference's.
  [[nodiscard]] bool passed_over(const FamilyOf& family, std::uint64_t number, const sealed::Entry& entry) const {
    if (large_.contains(number)) return false;
    return std::any_of(covers_.begin(), covers_.end(), [&](const Cover& cover) {
      return cover.number > number && cover.family == family && entry.write_version >= cover.version_first &&
             entry.write_version <= cover.version_last && entry.key >= cover.from && table::below(entry.key, cover.to);
    });
  }

  void add(const FamilyOf& family, std::uint64_t number, std::vector<sealed::Entry> entries, std::shared_ptr<const void> hold) {
    FamilyFound& found = families_[family];
    for (const sealed::Entry& entry : entries) {
      found.bounds.add({.records = 1,
                        .object_bytes = sealed::object_bytes(entry.key.size(), entry.value.size(), entry.flags()),
                        .key_bytes_max = entry.key.size()});
    }
    std::erase_if(entries, [&](const sealed::Entry& entry) { return passed_over(family, number, entry); });
    found.sources.push_back(std::make_unique<VectorCursor>(std::move(entries), std::move(hold)));
  }

  Result<void> read_segment(const std::string& name, std::uint64_t end) {
    CAIRN_TRY(map, source_.open(name));
    CAIRN_TRY_VOID(step(map->size()));
    const std::uint64_t number = directory::FileName::parse(name)->number;
    const auto salvage = segment::SegmentSalvage::open(map, number, database_);
    if (!salvage) {
      if (manifest_ && end != 0) report_.lost.push_back(corruption("segment of an unknown database", name).error());
      return {};
    }
    if (!salvage->header_sound()) report_.lost.push_back(corruption("segment header", name, 0).error());
    if (!salvage->identity().view_name.empty()) view_names_.try_emplace(salvage->identity().view, salvage->identity().view_name);
    std::map<FamilyOf, std::vector<sealed::Entry>> entries;
    salvage->read(
        end,
        [&](const segment::RecordView& record) {
          const FamilyOf family{record.header.view, record.header.family};
          if (record.header.family == kTimelineFamily) {
            saves_[record.header.view].push_back(record);
            return;
          }
          if (record.header.family == kForksFamily) {
            if (forks::is_version(record)) versions_[record.header.view].push_back(record);
            return;
          }
          const sealed::Entry entry{.key = record.key,
                                    .value = record.value,
                                    .kind = record.kind(),
                                    .write_version = record.header.write_version,
                                    .stamp = record.header.stamp,
                                    .account = record.account,
                                    .expiry_ms = record.expiry_ms};
          if (record.offset == segment::kHeaderBytes && is_value(entry.kind))
            puts_[{number, static_cast<std::uint64_t>(entry.value.data() - map->data())}] = entry;
          if (entry.kind == RecordKind::kRangeTombstone) {
            families_[family].range_tombstones.push_back(entry);
          } else {
            entries[family].push_back(entry);
          }
        },
        report_.lost);
    for (auto& [family, of_family] : entries) add(family, number, std::move(of_family), map);
    maps_.push_back(map);
    return {};
  }

  Result<void> read_sealed(const std::string& name, const SealedFound& file) {
    if (!file.reader && !file.salvage) return {};  // Nothing of it can be read, or nothing has to be.
    const std::uint64_t number = directory::FileName::parse(name)->number;
    if (file.reader) {
      const sealed::Preamble& preamble = file.reader->preamble();
      const FamilyOf family{preamble.view, preamble.family};
      CAIRN_TRY(ranges, file.reader->range_tombstones());
      FamilyFound& found = families_[family];
      found.range_tombstones.insert(found.range_tombstones.end(), ranges.begin(), ranges.end());
      const bool disputed = std::any_of(covers_.begin(), covers_.end(), [&](const Cover& cover) {
        return cover.number > number && cover.family == family && cover.version_first <= preamble.version_last &&
               cover.version_last >= preamble.version_first;
      });
      if (!disputed) {
        found.bounds.add({.records = preamble.record_count,
                          .object_bytes = preamble.raw_object_bytes,
                          .key_bytes_max = preamble.key_bytes_max});
        found.sources.push_back(file.reader->cursor());
        return {};
      }
    }
    const auto salvage =
        file.salvage ? Result<std::shared_ptr<sealed::SealedSalvage>>(file.salvage) : sealed::SealedSalvage::open(file.map);
    if (!salvage) return {};
    const FamilyOf family{(*salvage)->preamble().view, (*salvage)->preamble().family};
    std::vector<Error> of_sound;  // A sound file loses nothing.
    std::vector<Error>& lost = file.reader ? of_sound : report_.lost;
    if (!file.reader) {
      const std::vector<sealed::Entry> ranges = (*salvage)->range_tombstones(lost);
      FamilyFound& found = families_[family];
      found.range_tombstones.insert(found.range_tombstones.end(), ranges.begin(), ranges.end());
    }
    add(family, number, (*salvage)->records(lost), *salvage);
    salvages_.push_back(*salvage);
    return {};
  }

  /// A listed file that is not there matters unless a sound one has taken its place.
  void name_missing_files() {
    for (const std::string& name : missing_) {
      if (!replaced_.contains(directory::FileName::parse(name)->number)) {
        report_.lost.push_back(corruption("a live file is missing", name).error());
      }
    }
  }

  /// What the manifest says of a view; nullptr: nothing.
  [[nodiscard]] const directory::ViewEntry* old_entry(std::uint16_t view) const {
    if (!manifest_) return nullptr;
    for (const directory::ViewEntry& entry : manifest_->views) {
      if (entry.number == view) return &entry;
    }
    return nullptr;
  }
  /// The name that a view had, or what its files say; if that is nothing, or another has it, one of its number.
  std::string new_name(const directory::Directory& directory, std::uint16_t view, const std::string& kind) {
    const directory::ViewEntry* const old = old_entry(view);
    const std::string wanted = old != nullptr ? old->name : view_names_[view];
    const directory::Manifest made = directory.manifest();
    const bool taken = std::any_of(made.views.begin(), made.views.end(),
                                   [&](const directory::ViewEntry& other) { return other.kind == kind && other.name == wanted; });
    return wanted.empty() || taken ? kind + "-" + std::to_string(view) : wanted;
  }

  /// The entry the new manifest gets for a table: as the old one had it, else what the files say of it.
  directory::ViewEntry table_entry(std::uint16_t view, std::uint16_t number) {
    directory::ViewEntry entry{.name = {}, .kind = "table", .number = number, .families = {}, .log = {}};
    if (const directory::ViewEntry* const old = old_entry(view)) entry.families = old->families;
    for (directory::FamilyEntry& family : entry.families) {
      family.runs.clear();
      if (const auto known = table::Family::from(family); !known) {
        report_.lost.push_back(known.error());
        family.indexes.clear();
      }
    }
    for (const auto& [family, found] : families_) {
      if (family.first != view) continue;
      while (entry.families.size() <= family.second) {
        const auto next = static_cast<std::uint16_t>(entry.families.size());
        entry.families.push_back(
            {.name = next == 0 ? "main" : "family-" + std::to_string(next), .number = next, .indexes = {}, .runs = {}});
        const std::string& name = families_[{view, next}].name;
        if (!name.empty()) entry.families.back().name = name;
      }
    }
    if (entry.families.empty()) entry.families.push_back({.name = "main", .number = 0, .indexes = {}, .runs = {}});
    return entry;
  }

  /// Puts the value that a reference stands for in its place; whether it is there.
  bool resolve(sealed::Entry& entry) {
    if (entry.kind != RecordKind::kReference) return true;
    const Result<table::LargeReference> at = table::LargeReference::of(entry);
    const auto found = at ? puts_.find({at->file, at->offset}) : puts_.end();
    if (found == puts_.end() || found->second.key != entry.key) {
      report_.lost.push_back(corruption("a large value is lost", "").error());
      return false;
    }
    entry.kind = RecordKind::kPut;
    entry.value = found->second.value;
    return true;
  }

  Result<void> write(std::unique_ptr<storage::Storage> target) {
    CAIRN_TRY_VOID(target->check_empty());
    CAIRN_TRY(directory, directory::Directory::draft(std::move(target), environment_, {.owner = "repair"}));
    const Result<void> written = write_views(*directory);
    Result<void> published = written ? directory->publish_draft() : written;
    if (published) {
      // The target is whole, whether the ceilings in its manifest can still be lowered or not.
      directory->close().ignore_error();
      return {};
    }
    directory->discard_all();  // A part of it would look like a whole database.
    return published;
  }

  Result<void> write_views(directory::Directory& directory) {
    std::set<std::uint16_t> views;
    if (manifest_) {
      for (const directory::ViewEntry& view : manifest_->views) views.insert(view.number);
    }
    for (const auto& [family, found] : families_) views.insert(family.first);
    for (const auto& [view, saves] : saves_) views.insert(view);
    for (const auto& [view, versions] : versions_) views.insert(view);
    for (const std::uint16_t view : views) {
      const directory::ViewEntry* const old = old_entry(view);
      if (old != nullptr ? old->forks.has_value() : versions_.contains(view)) {
        CAIRN_TRY_VOID(write_forks(directory, view));
        continue;
      }
      const bool is_timeline = old != nullptr ? old->timeline.has_value() : saves_.contains(view);
      CAIRN_TRY_VOID(is_timeline ? write_timeline(directory, view) : write_table(directory, view));
    }
    return {};
  }

  Result<void> write_timeline(directory::Directory& directory, std::uint16_t view) {
    const directory::ViewEntry* const old = old_entry(view);
    directory::ViewEntry entry{
        .name = new_name(directory, view, "timeline"), .kind = "timeline", .number = directory.manifest().next_view};
    if (old == nullptr) {
      report_.lost.push_back(
          corruption(fmt::format("timeout and rollbacks of timeline '{}' are not known: of its {} saves, those that "
                                 "were rolled back or had expired with the timeout are there again",
                                 entry.name, saves_[view].size()),
                     "manifest")
              .error());
    }
    CAIRN_TRY(made,
              timeline::rebuild(directory, entry.number, entry.name,
                                old != nullptr ? *old->timeline : timeline::TimelineImpl::defaults(), std::move(saves_[view])));
    for (const directory::BlockEntry& block : made.blocks) report_.records += block.saves;
    entry.timeline = std::move(made);
    ++report_.timelines;
    return list(directory, entry);
  }

  Result<void> write_forks(directory::Directory& directory, std::uint16_t view) {
    const directory::ViewEntry* const old = old_entry(view);
    const std::string name = new_name(directory, view, "forks");
    if (old == nullptr) {
      std::set<std::uint64_t> forks;
      for (const segment::RecordView& record : versions_[view]) forks.insert(forks::fork_in(record.key));
      report_.lost.push_back(
          corruption(fmt::format("the forks of fork store '{}' are not known: of {} versions in {} forks, purged ones "
                                 "included, the newest of each account is taken for the root's",
                                 name, versions_[view].size(), forks.size()),
                     "manifest")
              .error());
    }
    CAIRN_TRY(entry, forks::rebuild(directory, directory.manifest().next_view, name, old != nullptr ? &*old->forks : nullptr,
                                    versions_[view], report_.records));
    entry.name = name;
    entry.kind = "forks";
    ++report_.fork_stores;
    return list(directory, entry);
  }

  Result<void> write_table(directory::Directory& directory, std::uint16_t view) {
    directory::ViewEntry entry = table_entry(view, directory.manifest().next_view);
    entry.name = new_name(directory, view, "table");
    const std::uint64_t expiring_before = expiring_;
    CAIRN_TRY_VOID(directory.prepare_versions(1));
    const auto stamped = directory.reserve_versions(1);
    if (!stamped) return fail(ErrorCode::kUnavailable, "the clock ran away during repair; try again");
    for (directory::FamilyEntry& family : entry.families) {
      CAIRN_TRY(known, table::Family::from(family));
      std::vector<std::string> files;
      CAIRN_TRY_VOID(write_family(directory, entry, known, families_[{view, family.number}], stamped->write_version, files));
      if (!files.empty()) {
        family.runs.push_back({.files = files,
                               .version_first = stamped->write_version,
                               .version_last = stamped->write_version,
                               .from = {},
                               .starts = {}});
      }
    }
    if (old_entry(view) == nullptr && expiring_ != expiring_before) {
      report_.lost.push_back(
          corruption(
              fmt::format("the times to live of table '{}' are not known: {} records keep the expiry they carry, later ones have "
                          "none until its families are given one",
                          entry.name, expiring_ - expiring_before),
              "manifest")
              .error());
    }
    ++report_.tables;
    return list(directory, entry);
  }

  static Result<void> list(directory::Directory& directory, const directory::ViewEntry& entry) {
    return directory.commit([&](directory::Manifest& manifest) -> Result<void> {
      manifest.views.push_back(entry);
      ++manifest.next_view;
      return {};
    });
  }

  /// The newest version of each key, as of one new write version.
  Result<void> write_family(directory::Directory& directory, const directory::ViewEntry& view,
                            const std::shared_ptr<const table::Family>& family, FamilyFound& found, std::uint64_t version,
                            std::vector<std::string>& files) {
    const table::RangeTombstones ranges(found.range_tombstones);
    table::RunWriter writer(directory,
                            {.view = view.number,
                             .view_name = view.name,
                             .family = family,
                             .version_first = version,
                             .version_last = version,
                             .replaces = {},
                             .from = {},
                             .file_bytes_max = table::Tuning{}.sealed_bytes_max,
                             .bounds = found.bounds,
                             .range_tombstones = {},
                             .large_value = {},
                             .extractor_failures = &extractor_failures_},
                            [&](const std::shared_ptr<const table::RunFile>& file) -> Result<void> {
                              files.push_back(file->name());
                              return {};
                            });
    sealed::MergeCursor merged(std::move(found.sources));
    CAIRN_TRY_VOID(merged.seek_first());
    Bytes key;
    while (merged.valid()) {
      sealed::Entry newest = merged.entry();
      const std::shared_ptr<const void> hold = merged.hold();
      key = newest.key;
      newest.key = key;
      while (merged.valid() && merged.entry().key == key) CAIRN_TRY_VOID(merged.next());
      if (!is_value(newest.kind) || ranges.newest_over(key, ~std::uint64_t{0}) > newest.write_version) continue;
      if (!resolve(newest)) continue;
      newest.write_version = version;
      if (newest.expiry_ms != 0) ++expiring_;
      CAIRN_TRY_VOID(writer.add({&newest, 1}));
      ++report_.records;
    }
    return writer.finish();
  }

  storage::Storage& first_;
  storage::Drives source_{first_};
  directory::Environment& environment_;
  const Progress& progress_;
  RepairReport report_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
  std::optional<directory::Manifest> manifest_;
  std::optional<segment::DatabaseId> database_;
  std::map<std::string, std::uint64_t> segments_;  // And their ends, where they are known.
  std::map<std::string, SealedFound> sealed_files_;
  std::set<std::uint64_t> large_;  // Numbers of the large values that the manifest lists.
  std::set<std::string> missing_;
  std::set<std::uint64_t> replaced_;  // Numbers of files that sound ones replace.
  std::vector<Cover> covers_;
  std::map<std::uint16_t, std::string> view_names_;
  std::map<FamilyOf, FamilyFound> families_;
  std::map<std::uint16_t, std::vector<segment::RecordView>> saves_;        // Of timelines, by view.
  std::map<std::uint16_t, std::vector<segment::RecordView>> versions_;     // Of fork stores, by view.
  std::map<std::pair<std::uint64_t, std::uint64_t>, sealed::Entry> puts_;  // The first of each segment, by the value's place.
  std::vector<std::shared_ptr<const storage::MappedFile>> maps_;
  std::vector<std::shared_ptr<sealed::SealedSalvage>> salvages_;
  std::atomic<std::uint64_t> extractor_failures_{0};
  std::uint64_t expiring_ = 0;  // Records written that carry an expiry.
};

}  // namespace

Result<RepairReport> DatabaseImpl::repair(storage::Storage& source, std::unique_ptr<storage::Storage> target,
                                          directory::Environment& environment, const Progress& progress) {
  return Repair(source, environment, progress).run(std::move(target));
}

}  // namespace cairn::database
