#include "forks/sealed_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "directory/file_name.h"
#include "sealed/sealed_reader.h"

namespace cairn::forks {
namespace {

enum Kind : char { kSegment = 0, kPlain = 1, kOthers = 2 };
constexpr std::size_t kKeyBytes = 5;
constexpr std::uint64_t kFileBytesLeast = 64 * kKiB;
constexpr std::uint64_t kFileBytesMost = 512 * kMiB;
constexpr std::uint64_t kRecordsMost = 3 * VersionIndex::kParts;  // Of one file.

static_assert(std::has_unique_object_representations_v<AccountIndex::Entry> && sizeof(AccountIndex::Entry) == 16);

template <typename T>
std::vector<T> many_of(ByteView bytes) {
  std::vector<T> many(bytes.size() / sizeof(T));
  if (!many.empty()) std::memcpy(many.data(), bytes.data(), many.size() * sizeof(T));
  return many;
}

template <typename T>
ByteView view_of(const std::vector<T>& many) {
  return {reinterpret_cast<const char*>(many.data()), many.size() * sizeof(T)};
}

}  // namespace

SealedIndexWriter::SealedIndexWriter(directory::Directory& directory, std::uint16_t view, std::string view_name,
                                     std::uint64_t bytes_expected)
    : directory_(directory), view_(view), view_name_(std::move(view_name)), bytes_expected_(bytes_expected) {}

SealedIndexWriter::~SealedIndexWriter() {
  if (kept_ || !directory_.state()) return;
  writer_.reset();
  for (const std::string& file : files_) directory_.abandon(file);
}

Result<void> SealedIndexWriter::add(char kind, std::uint32_t number, ByteView value) {
  const std::uint64_t bytes = sealed::object_bytes(kKeyBytes, value.size(), 0);
  if (writer_ && (bytes > bytes_left_ || records_left_ == 0)) CAIRN_TRY_VOID(finish_file());
  if (!writer_) {
    bytes_left_ = std::max(std::clamp(bytes_expected_, kFileBytesLeast, kFileBytesMost), bytes);
    records_left_ = kRecordsMost;
    sealed::SealedIdentity identity{
        .view = view_, .family = kForksFamily, .view_name = view_name_, .family_name = {}, .cover_from = {}, .replaces = {}};
    const sealed::SealedBounds bounds{.records = records_left_, .object_bytes = bytes_left_, .key_bytes_max = kKeyBytes};
    CAIRN_TRY(file, directory_.new_sealed(identity, sealed::sealed_bytes_max(bounds)));
    files_.push_back(file->name());
    writer_ = std::make_unique<sealed::SealedWriter>(std::move(file), identity, sealed::SealedOptions{});
  }
  std::array<char, kKeyBytes> key{kind};
  store(key.data() + 1, std::byteswap(number));
  writer_->add({.key = {key.data(), key.size()}, .value = value});
  bytes_left_ -= bytes;
  bytes_expected_ -= std::min(bytes_expected_, bytes);
  --records_left_;
  return {};
}

Result<void> SealedIndexWriter::add_segment(std::uint32_t number, const SegmentUse& use) {
  const SealedSegment segment{.file = directory::FileName::parse(use.file())->number,
                              .bytes = use.bytes,
                              .first_version = use.first_version,
                              .as_of = use.as_of,
                              .sizes = use.sizes.all()};
  Bytes value(bytes_of(segment));
  value += view_of(use.forks);
  return add(kSegment, number, value);
}

Result<void> SealedIndexWriter::add_plain(std::uint32_t part, const VersionIndex::Plain& accounts) {
  return accounts.empty() ? Result<void>() : add(kPlain, part, view_of(accounts));
}

Result<void> SealedIndexWriter::add_others(std::uint32_t part, const std::vector<Place>& places) {
  std::vector<std::uint64_t> words;
  words.reserve(places.size());
  for (const Place place : places) words.push_back(place.word());
  return places.empty() ? Result<void>() : add(kOthers, part, view_of(words));
}

Result<void> SealedIndexWriter::finish_file() {
  CAIRN_TRY_VOID(writer_->complete());
  CAIRN_TRY_VOID(writer_->finish());
  writer_.reset();
  return {};
}

Result<std::vector<std::string>> SealedIndexWriter::finish() {
  if (writer_) CAIRN_TRY_VOID(finish_file());
  CAIRN_TRY_VOID(directory_.storage().sync_names());
  return files_;
}

Result<void> read_sealed_index(directory::Directory& directory, std::uint16_t view, const std::vector<std::string>& files,
                               const SealedIndexVisitor& visitor) {
  Bytes last_key;
  for (const std::string& file : files) {
    CAIRN_TRY(map, directory.storage().open(file));
    CAIRN_TRY(reader, sealed::SealedReader::open(map, {.database = directory.database_id(),
                                                       .number = directory::FileName::parse(file)->number,
                                                       .view = view,
                                                       .family = kForksFamily}));
    const std::unique_ptr<sealed::Cursor> cursor = reader->cursor();
    CAIRN_TRY_VOID(cursor->seek_first());
    while (cursor->valid()) {
      const sealed::Entry& entry = cursor->entry();
      const auto wrong = [&] { return corruption("a record of an index of accounts that is none", file); };
      if (entry.key.size() != kKeyBytes || entry.key <= last_key) return wrong();
      last_key = entry.key;
      const std::uint32_t number = std::byteswap(load<std::uint32_t>(entry.key.data() + 1));
      const ByteView value = entry.value;
      if (entry.key[0] == kSegment && value.size() >= sizeof(SealedSegment) && value.size() % 8 == 0) {
        CAIRN_TRY_VOID(visitor.segment(number, load<SealedSegment>(value.data()),
                                       many_of<std::uint64_t>(value.substr(sizeof(SealedSegment)))));
      } else if (entry.key[0] == kPlain && number < VersionIndex::kParts && value.size() % sizeof(AccountIndex::Entry) == 0) {
        const auto accounts = many_of<AccountIndex::Entry>(value);
        if (!std::ranges::is_sorted(accounts, {}, &AccountIndex::Entry::hash)) return wrong();
        if (std::ranges::any_of(accounts, [](const AccountIndex::Entry& account) { return account.hash == 0; })) return wrong();
        CAIRN_TRY_VOID(visitor.plain(number, accounts));
      } else if (entry.key[0] == kOthers && number < VersionIndex::kParts && value.size() % 8 == 0) {
        std::vector<Place> places;
        for (const std::uint64_t word : many_of<std::uint64_t>(value)) places.push_back(Place::of(word));
        CAIRN_TRY_VOID(visitor.others(number, std::move(places)));
      } else {
        return wrong();
      }
      CAIRN_TRY_VOID(cursor->next());
    }
  }
  return {};
}

}  // namespace cairn::forks
