// Reads lines at a terminal, with editing, history and completion (libedit). Only line_editor.cc includes its header.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/result.h"

namespace cairn::cli {

/// What may follow `words` and begins with `begun`, the part of the next word before the cursor.
using Completions = std::function<std::vector<std::string>(const std::vector<std::string>& words, const std::string& begun)>;

/// Uses standard input and output, which are a terminal. One thread; one at a time.
class LineEditor {
 public:
  /// `history_file`: lines of earlier prompts, read now and written after each line; "": none are kept.
  LineEditor(std::string prompt, std::string history_file, Completions completions);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The next line without its end, "" after Ctrl-C; nullopt: Ctrl-D, or the terminal is gone. A line that begins with a space is
  /// left out of the history.
  std::optional<std::string> next();

 private:
  struct Editor;
  std::unique_ptr<Editor> editor_;
};

/// The words of a line as a shell splits it: '…', "…" and \ quote. kInvalidArgument: a quote is not closed.
Result<std::vector<std::string>> split_words(const std::string& line);
/// The names of files that begin with `begun`; a directory ends with '/'. For Option::completed_by().
std::vector<std::string> complete_file(const std::vector<std::string>& words, const std::string& begun);

}  // namespace cairn::cli
