// Requests of the Redis protocol, as hostile as they come: whole or in pieces they are the same requests, take no more memory
// than was sent, and what is found lies within what was sent.
#include <cstdlib>

#include "server/glob.h"
#include "server/resp_parser.h"

namespace {

using cairn::ByteView;
using cairn::server::RequestLimits;
using cairn::server::RequestParser;

void require(bool holds) {
  if (!holds) std::abort();
}

/// What all requests say, and how it ended.
std::string parse(ByteView input, std::size_t piece, const RequestLimits& limits) {
  RequestParser parser;
  std::string all;
  std::size_t begin = 0;
  for (std::size_t end = std::min(piece, input.size());; end = std::min(end + piece, input.size())) {
    while (true) {
      const RequestParser::Outcome outcome = parser.parse(input.substr(begin, end - begin), limits);
      if (outcome == RequestParser::Outcome::kBad) return all + "!" + parser.error();
      if (outcome == RequestParser::Outcome::kMore) break;
      require(parser.consumed() > 0 && parser.consumed() <= end - begin);
      for (const ByteView argument : parser.arguments()) {
        all += std::to_string(argument.size()) + ":";
        all += argument;
      }
      all += ";";
      begin += parser.consumed();
    }
    require(parser.memory_bytes() <= 4096 + 16 * (end - begin));
    if (end == input.size()) return all;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView input(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const RequestLimits& limits : {RequestLimits{}, RequestLimits::unauthenticated()}) {
    require(parse(input, input.size() + 1, limits) == parse(input, 1 + data[0], limits));
  }
  const std::size_t half = input.size() / 2;
  if (input.size() < 2000) (void)cairn::server::glob_match(input.substr(0, half), input.substr(half));
  return 0;
}
