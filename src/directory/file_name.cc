#include "directory/file_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>

namespace cairn::directory {
namespace {

constexpr std::string_view kManifestPrefix = "manifest-";

/// Takes a number off the front of `text`.
template <typename T>
bool take(std::string_view& text, T& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

/// NUMBER-EPOCH-RANDOM and one of `suffixes`, exactly as FileName::to_string() writes it.
std::optional<FileName> parse_with(std::string_view name, std::initializer_list<std::string_view> suffixes) {
  FileName parsed;
  std::string_view rest = name;
  if (!take(rest, parsed.number) || !take(rest, '-') || !take(rest, parsed.epoch) || !take(rest, '-') ||
      !take(rest, parsed.random, 16)) {
    return std::nullopt;
  }
  const auto* const suffix = std::find(suffixes.begin(), suffixes.end(), rest);
  if (suffix == suffixes.end()) return std::nullopt;
  parsed.suffix = *suffix;
  if (parsed.to_string() != name) return std::nullopt;
  return parsed;
}

}  // namespace

std::string FileName::to_string() const { return fmt::format("{}-{}-{:08x}{}", number, epoch, random, suffix); }

std::optional<FileName> FileName::parse(std::string_view name) { return parse_with(name, {kSegmentSuffix, kSealedSuffix}); }

bool is_spare_name(std::string_view name) { return parse_with(name, {kSpareSuffix}).has_value(); }
bool is_trimmed_name(std::string_view name) { return parse_with(name, {kTrimmedSuffix}).has_value(); }

std::string ManifestName::to_string() const { return fmt::format("{}{}-{}", kManifestPrefix, epoch, version); }

std::optional<ManifestName> ManifestName::parse(std::string_view name) {
  if (!name.starts_with(kManifestPrefix)) return std::nullopt;
  ManifestName parsed;
  std::string_view rest = name.substr(kManifestPrefix.size());
  if (!take(rest, parsed.epoch) || !take(rest, '-') || !take(rest, parsed.version) || !rest.empty()) return std::nullopt;
  if (parsed.to_string() != name) return std::nullopt;
  return parsed;
}

}  // namespace cairn::directory
