// JSON as the command and the server print it. The JSON library is included by json.cc alone: it costs a source 5 s to compile.
#pragma once
#include <concepts>
#include <initializer_list>
#include <string>
#include <vector>

#include "cairn/bytes.h"
#include "cairn/stats.h"

namespace cairn {

bool is_utf8(ByteView bytes);
/// `text` in quotes. Bytes that are not UTF-8 are replaced by U+FFFD; put_bytes() keeps them.
std::string json_string(ByteView text);

/// A JSON value to be printed. Members keep the order in which they were added.
class Json {
 public:
  struct Member;
  Json() : Json(nullptr) {}
  Json(std::nullptr_t) : text_("null") {}                                   // NOLINT(google-explicit-constructor)
  Json(std::same_as<bool> auto value) : text_(value ? "true" : "false") {}  // NOLINT(google-explicit-constructor)
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Json(T value) : text_(std::to_string(value)) {}              // NOLINT(google-explicit-constructor)
  Json(double value);                                          // NOLINT(google-explicit-constructor)
  Json(const char* text) : text_(json_string(text)) {}         // NOLINT(google-explicit-constructor)
  Json(ByteView text) : text_(json_string(text)) {}            // NOLINT(google-explicit-constructor)
  Json(const std::string& text) : text_(json_string(text)) {}  // NOLINT(google-explicit-constructor)
  Json(const std::vector<std::string>& texts);                 // NOLINT(google-explicit-constructor)
  Json(std::initializer_list<Member> members);                 // NOLINT(google-explicit-constructor)
  static Json array();
  /// A scalar whose JSON text is `text`.
  static Json rendered(std::string text);

  /// The member `name` of an object, added if there is none. A null becomes an object.
  Json& operator[](const std::string& name);
  /// An object with a member `name`.
  [[nodiscard]] bool has(const std::string& name) const;
  /// Adds an element to an array.
  void push_back(Json value) { values_.push_back(std::move(value)); }
  void append_to(std::string& out) const;

 private:
  enum class Kind : std::uint8_t { kScalar, kObject, kArray };
  Kind kind_ = Kind::kScalar;
  std::string text_;                // The JSON text of a scalar.
  std::vector<std::string> names_;  // The names of the values of an object.
  std::vector<Json> values_;
};

struct Json::Member {
  std::string name;
  Json value;
};

/// Puts `bytes` into `object` as `name`, or as base64 under `name`64 if they are not UTF-8.
void put_bytes(Json& object, const std::string& name, ByteView bytes);
/// One line of JSON.
std::string to_line(const Json& value);
Json jobs_to_json(const std::vector<JobStats>& jobs);

}  // namespace cairn
