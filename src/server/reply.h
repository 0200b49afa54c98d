// Writes replies of the Redis protocol, version 2 or 3, into an Output.
#pragma once
#include <cstdint>
#include <optional>

#include "cairn/bytes.h"
#include "server/output.h"

namespace cairn::server {

class Reply {
 public:
  Reply(Output& output, bool resp3) : output_(&output), resp3_(resp3) {}

  void simple(ByteView text);
  /// Its first word is the code. Ends of lines in it become spaces, at its end nothing.
  void error(ByteView text);
  void integer(std::int64_t value) { number(':', value); }
  void bulk(ByteView bytes);
  void bulk(const Pinned& value);
  /// A text that a person reads; a client of version 3 is told so.
  void verbatim(ByteView text);
  void null() { output_->append(resp3_ ? "_\r\n" : "$-1\r\n"); }
  void null_array() { output_->append(resp3_ ? "_\r\n" : "*-1\r\n"); }
  void bulk_or_null(const std::optional<Pinned>& value) { value ? bulk(*value) : null(); }
  void ok() { output_->append("+OK\r\n"); }
  // What follows counts in elements; a map has two for each pair.
  void array(std::uint64_t count) { number('*', static_cast<std::int64_t>(count)); }
  void map(std::uint64_t pairs) { number(resp3_ ? '%' : '*', static_cast<std::int64_t>(resp3_ ? pairs : 2 * pairs)); }
  void set(std::uint64_t count) { number(resp3_ ? '~' : '*', static_cast<std::int64_t>(count)); }
  void push(std::uint64_t count) { number(resp3_ ? '>' : '*', static_cast<std::int64_t>(count)); }

  /// An array whose length is known when its elements are written: begin, then end with their number.
  [[nodiscard]] std::size_t begin_array() const { return output_->mark().bytes; }
  void end_array(std::size_t begin, std::uint64_t count);

  [[nodiscard]] bool resp3() const { return resp3_; }
  [[nodiscard]] Output& output() const { return *output_; }

 private:
  void number(char type, std::int64_t value);
  Output* output_;
  bool resp3_;
};

}  // namespace cairn::server
