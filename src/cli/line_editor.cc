// The only source that includes the header of libedit, whose C handles end here.
#include "cli/line_editor.h"

#include <histedit.h>

#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>

#include "base/error.h"

namespace cairn::cli {
namespace {

constexpr int kHistoryLines = 1000;
constexpr std::size_t kShownMost = 200;  // Of what may complete a word.

struct Free {
  void operator()(Tokenizer* tokenizer) const { tok_end(tokenizer); }
  void operator()(EditLine* editor) const { el_end(editor); }
  void operator()(History* lines) const { history_end(lines); }
};

/// What a shell would take apart is quoted.
std::string quoted(const std::string& text) {
  std::string all;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\'' || c == '"' || c == '\\') all += '\\';
    all += c;
  }
  return all;
}

std::string common_begin(const std::vector<std::string>& texts) {
  std::string begin = texts.front();
  for (const std::string& text : texts) {
    begin.resize(static_cast<std::size_t>(std::ranges::mismatch(begin, text).in1 - begin.begin()));
  }
  return begin;
}

}  // namespace

struct LineEditor::Editor {
  static Editor& of(EditLine* line) {
    void* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return *static_cast<Editor*>(self);
  }
  static char* prompt_of(EditLine* line) { return of(line).prompt.data(); }
  static unsigned char on_interrupt(EditLine* line, int) {
    of(line).interrupted = true;
    std::fputs("^C\n", stdout);
    return CC_NEWLINE;
  }
  static unsigned char on_tab(EditLine* line, int) { return of(line).complete(); }

  /// Inserts what all candidates have in common or, if that is nothing, prints them.
  unsigned char complete() {
    int count = 0;
    int word = 0;  // In which the cursor is,
    int at = 0;    // and where in it.
    const char** begin = nullptr;
    tok_reset(tokenizer.get());
    // Fails within a quote that is not closed: there is nothing to complete then.
    if (tok_line(tokenizer.get(), el_line(line.get()), &count, &begin, &word, &at) < 0 || begin == nullptr) return CC_ERROR;
    const std::vector<std::string> words(begin, begin + std::min(word, count));
    const std::string begun = word < count ? std::string(begin[word]).substr(0, static_cast<std::size_t>(at)) : "";
    std::vector<std::string> candidates = completions(words, begun);
    std::erase_if(candidates, [](const std::string& each) {  // The terminal would obey them.
      return std::ranges::any_of(each, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    });
    if (candidates.empty()) return CC_ERROR;
    std::string more = quoted(common_begin(candidates).substr(begun.size()));
    if (candidates.size() == 1 && !candidates.front().ends_with('/')) more += ' ';
    if (!more.empty()) return el_insertstr(line.get(), more.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
    std::ranges::sort(candidates);
    std::string list = "\n";
    for (std::size_t i = 0; i < std::min(candidates.size(), kShownMost); ++i) list += candidates[i] + "  ";
    if (candidates.size() > kShownMost) list += "and " + std::to_string(candidates.size() - kShownMost) + " more";
    std::fputs((list + "\n").c_str(), stdout);
    return CC_REDISPLAY;
  }

  std::string prompt;
  std::string history_file;
  Completions completions;
  bool interrupted = false;
  std::unique_ptr<Tokenizer, Free> tokenizer{tok_init(nullptr)};
  std::unique_ptr<History, Free> lines{history_init()};
  std::unique_ptr<EditLine, Free> line;
};

LineEditor::LineEditor(std::string prompt, std::string history_file, Completions completions)
    : editor_(std::make_unique<Editor>()) {
  // libedit takes bytes for characters of the locale; in the locale C it would lose those that are not ASCII.
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  Editor& editor = *editor_;
  editor.prompt = std::move(prompt);
  editor.history_file = std::move(history_file);
  editor.completions = std::move(completions);
  HistEvent event;
  history(editor.lines.get(), &event, H_SETSIZE, kHistoryLines);
  history(editor.lines.get(), &event, H_SETUNIQUE, 1);
  if (!editor.history_file.empty()) history(editor.lines.get(), &event, H_LOAD, editor.history_file.c_str());
  editor.line.reset(el_init("cairn", stdin, stdout, stderr));
  EditLine* const line = editor.line.get();
  el_set(line, EL_CLIENTDATA, &editor);
  el_set(line, EL_PROMPT, &Editor::prompt_of);
  el_set(line, EL_EDITOR, "emacs");
  el_source(line, nullptr);  // The user's own ~/.editrc; it may name another editor, which takes its own keys.
  el_set(line, EL_HIST, history, editor.lines.get());
  el_set(line, EL_ADDFN, "cairn-complete", "Complete the word", &Editor::on_tab);
  el_set(line, EL_ADDFN, "cairn-interrupt", "Give the line up", &Editor::on_interrupt);
  el_set(line, EL_BIND, "^I", "cairn-complete", nullptr);
  el_set(line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // While a line is edited, Ctrl-C and Ctrl-Z are characters, no signals: the handlers of libedit are not for a process with
  // threads.
  el_set(line, EL_SETTY, "-d", "-intr", "-susp", nullptr);
  el_set(line, EL_BIND, "^C", "cairn-interrupt", nullptr);
  el_set(line, EL_BIND, "-a", "^C", "cairn-interrupt", nullptr);  // In the command mode of vi.
}

LineEditor::~LineEditor() = default;

std::optional<std::string> LineEditor::next() {
  Editor& editor = *editor_;
  editor.interrupted = false;
  int count = 0;
  el_resize(editor.line.get());
  const char* const text = el_gets(editor.line.get(), &count);
  if (editor.interrupted || (text == nullptr && count < 0 && errno == EINTR)) return "";
  if (text == nullptr || count <= 0) return std::nullopt;
  std::string line(text, static_cast<std::size_t>(count));
  if (line.ends_with('\n')) line.pop_back();
  const bool empty = line.find_first_not_of(" \t") == std::string::npos;
  if (empty || line.starts_with(' ')) return line;
  HistEvent event;
  history(editor.lines.get(), &event, H_ENTER, line.c_str());
  if (editor.history_file.empty()) return line;
  // By another file, so that the lines are not lost if this process ends, or the disk is full, meanwhile.
  const std::string next_file = editor.history_file + ".new";
  if (history(editor.lines.get(), &event, H_SAVE, next_file.c_str()) >= 0) {
    std::rename(next_file.c_str(), editor.history_file.c_str());  // A failure leaves the file as it was.
  }
  return line;
}

Result<std::vector<std::string>> split_words(const std::string& line) {
  // libedit would read on behind the end of the line.
  const std::size_t last = line.find_last_not_of('\\');
  const std::size_t backslashes = line.size() - (last == std::string::npos ? 0 : last + 1);
  if (backslashes % 2 == 1) return fail(ErrorCode::kInvalidArgument, "nothing follows the last \\");
  const std::unique_ptr<Tokenizer, Free> tokenizer(tok_init(nullptr));
  int count = 0;
  const char** begin = nullptr;
  switch (tok_str(tokenizer.get(), line.c_str(), &count, &begin)) {
    case 0: break;
    case 1: return fail(ErrorCode::kInvalidArgument, "a ' is not closed");
    case 2: return fail(ErrorCode::kInvalidArgument, "a \" is not closed");
    default: return fail(ErrorCode::kInvalidArgument, "the line cannot be split into words");
  }
  if (begin == nullptr && count != 0) return fail(ErrorCode::kInvalidArgument, "the line is not text");
  return std::vector<std::string>(begin, begin + count);
}

std::vector<std::string> complete_file(const std::vector<std::string>& /*words*/, const std::string& begun) {
  const std::size_t slash = begun.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : begun.substr(0, slash + 1);
  std::vector<std::string> names;
  std::error_code failed;
  std::filesystem::directory_iterator each(folder.empty() ? "." : folder, failed);
  while (!failed && each != std::filesystem::directory_iterator()) {
    const std::string name = each->path().filename().string();
    const bool hidden = name.starts_with('.') && begun.size() == folder.size();
    if (!hidden) names.push_back(folder + name + (each->is_directory(failed) ? "/" : ""));
    failed.clear();
    each.increment(failed);
  }
  return names;
}

}  // namespace cairn::cli
