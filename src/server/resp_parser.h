// Requests of the Redis protocol as they arrive: arrays of bulk strings, or one line of words. What is announced is checked
// against the limits before any memory is taken for it, and memory follows the bytes that have come, not those that were
// promised.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cairn/bytes.h"

namespace cairn::server {

struct RequestLimits {
  std::uint64_t arguments_max = 1'048'576;
  std::uint64_t argument_bytes_max = 512 * kMiB;
  std::uint64_t line_bytes_max = 64 * kKiB;
  /// Of one request in all.
  std::uint64_t request_bytes_max = 1 * kGiB;

  /// For a client that has not said who it is.
  static RequestLimits unauthenticated() {
    return {.arguments_max = 10, .argument_bytes_max = 16 * kKiB, .line_bytes_max = 64 * kKiB, .request_bytes_max = 64 * kKiB};
  }
};

/// One request at a time, taken up again where the bytes ended. One thread.
class RequestParser {
 public:
  enum class Outcome : std::uint8_t {
    kRequest,  ///< arguments() and consumed() are set. No arguments: an empty request, which gets no answer.
    kMore,     ///< The bytes end within the request.
    kBad,      ///< error() says why; the connection cannot go on.
  };
  /// `input`: all bytes from the beginning of the request on, after kMore again with more behind them.
  Outcome parse(ByteView input, const RequestLimits& limits);

  /// Views of the input, or, of a line with quotes, of this parser; until the next parse().
  [[nodiscard]] std::span<const ByteView> arguments() const { return arguments_; }
  /// They are views of the input.
  [[nodiscard]] bool in_input() const { return words_.empty(); }
  [[nodiscard]] std::size_t consumed() const { return at_; }
  /// After kMore: so many bytes are known to be missing.
  [[nodiscard]] std::uint64_t missing() const { return missing_; }
  /// As a reply says it.
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] std::size_t memory_bytes() const { return places_.capacity() * sizeof(Place); }
  /// Nothing of a request has been taken.
  void reset();

 private:
  struct Place {
    std::size_t offset;
    std::size_t size;
  };
  enum class State : std::uint8_t { kStart, kSize, kBytes };

  Outcome bad(std::string error);
  Outcome more(std::uint64_t missing);
  Outcome parse_line(ByteView input, const RequestLimits& limits);
  Outcome parse_array(ByteView input, const RequestLimits& limits);
  Outcome parse_argument(ByteView input, const RequestLimits& limits);
  Outcome finish(ByteView input);

  State state_ = State::kStart;
  bool done_ = true;
  std::size_t at_ = 0;        // Up to here the input is parsed.
  std::size_t searched_ = 0;  // Up to here it has no end of line.
  std::uint64_t left_ = 0;    // Arguments that are still to come,
  std::uint64_t size_ = 0;    // and the size of the first of them.
  std::uint64_t bytes_ = 0;   // Of arguments.
  std::uint64_t missing_ = 0;
  std::vector<Place> places_;
  std::vector<ByteView> arguments_;
  std::vector<std::string> words_;
  std::string error_;
};

/// The words of a line as a shell splits them, with 'such' and "such\n" quotes. False: a quote is not closed.
bool split_words(ByteView line, std::vector<std::string>& words);

}  // namespace cairn::server
