// Names of files in a directory: NUMBER-EPOCH-RANDOM.segment and .sealed, manifest-EPOCH-VERSION. The random part keeps
// an owner that was taken over from hitting a file of the next one.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::directory {

inline constexpr std::string_view kSegmentSuffix = ".segment";
inline constexpr std::string_view kSealedSuffix = ".sealed";
inline constexpr std::string_view kTrimmedSuffix = ".trimmed";  // Kept aside by recovery; never read.
inline constexpr std::string_view kSpareSuffix = ".spare";      // To be recycled; what it holds is dead.

struct FileName {
  std::uint64_t number = 0;
  std::uint64_t epoch = 0;
  std::uint32_t random = 0;
  std::string_view suffix;

  [[nodiscard]] std::string to_string() const;
  /// nullopt if `name` is not the name of a segment or sealed file, exactly as to_string() writes it.
  static std::optional<FileName> parse(std::string_view name);
};

/// Whether `name` is that of a segment put aside, exactly as this directory writes them: NUMBER-EPOCH-RANDOM.spare.
bool is_spare_name(std::string_view name);
/// The same of a trimmed tail: NUMBER-EPOCH-RANDOM.trimmed.
bool is_trimmed_name(std::string_view name);

struct ManifestName {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;

  [[nodiscard]] std::string to_string() const;
  static std::optional<ManifestName> parse(std::string_view name);
  auto operator<=>(const ManifestName&) const = default;
};

}  // namespace cairn::directory
