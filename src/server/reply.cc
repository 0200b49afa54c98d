#include "server/reply.h"

#include <array>
#include <charconv>

#include "server/text.h"

namespace cairn::server {

void Reply::number(char type, std::int64_t value) {
  std::array<char, 24> text{};
  text[0] = type;
  char* end = std::to_chars(text.data() + 1, text.data() + text.size() - 2, value).ptr;
  *end++ = '\r';
  *end++ = '\n';
  output_->append({text.data(), static_cast<std::size_t>(end - text.data())});
}

void Reply::simple(ByteView text) {
  std::string& bytes = output_->bytes();
  bytes.push_back('+');
  bytes.append(text);
  bytes.append("\r\n");
}

void Reply::error(ByteView text) {
  std::string& bytes = output_->bytes();
  bytes.push_back('-');
  text = text.substr(0, text.find_last_not_of("\r\n") + 1);
  bytes.append(one_line(text));
  bytes.append("\r\n");
}

void Reply::bulk(ByteView value) {
  number('$', static_cast<std::int64_t>(value.size()));
  output_->append(value);
  output_->append("\r\n");
}

void Reply::bulk(const Pinned& value) {
  number('$', static_cast<std::int64_t>(value.size()));
  output_->append(value);
  output_->append("\r\n");
}

void Reply::verbatim(ByteView text) {
  if (!resp3_) return bulk(text);
  number('=', static_cast<std::int64_t>(text.size() + 4));
  output_->append("txt:");
  output_->append(text);
  output_->append("\r\n");
}

void Reply::end_array(std::size_t begin, std::uint64_t count) {
  std::array<char, 24> text{};
  text[0] = '*';
  char* end = std::to_chars(text.data() + 1, text.data() + text.size() - 2, count).ptr;
  *end++ = '\r';
  *end++ = '\n';
  output_->insert(begin, {text.data(), static_cast<std::size_t>(end - text.data())});
}

}  // namespace cairn::server
