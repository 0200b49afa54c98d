// Owns the Lua interpreter and the cache of compiled scripts. Every call that may raise an error of Lua runs within protect(): an
// error outside of it would end the process. A script is ended by raising an error at each instruction (check()); what it has
// staged is then discarded by the executor.
#include "server/script_engine.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <initializer_list>
#include <lua5.1/lua.hpp>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "server/script_library.h"
#include "server/script_values.h"
#include "server/service.h"
#include "server/users.h"
#include "text/hex.h"

namespace cairn::server {
namespace {

constexpr const char* kTemplate = "template";        // In Lua's registry: what script_library.h makes,
constexpr const char* kEnvironment = "environment";  // and the globals of the script that runs.
constexpr const char* kChunk = "@user_script";       // What errors call a script.
constexpr const char* kNoInterpreter = "ERR scripts cannot be run: there is not enough memory for an interpreter";
constexpr int kInstructions = 100;              // Between two looks at the clock. One may take long: it may call a function
constexpr std::uint64_t kAllocated = 1 * kMiB;  // of the library. So may so many bytes.

/// The __index function of a script's globals. It looks the name up in the template and stores the value among the globals, so
/// that it is called once for each name. For a library the template has a metatable; the script gets a new empty table with it.
int find_global(lua_State* lua) {
  lua_settop(lua, 2);
  lua_getfield(lua, LUA_REGISTRYINDEX, kTemplate);
  lua_pushvalue(lua, 2);
  lua_rawget(lua, 3);
  if (lua_isnil(lua, -1)) {
    const char* const name = lua_type(lua, 2) == LUA_TSTRING ? lua_tostring(lua, 2) : "?";
    return luaL_error(lua, "Script attempted to access nonexistent global variable '%s'", name);
  }
  if (lua_istable(lua, -1)) {
    lua_newtable(lua);
    lua_insert(lua, -2);
    lua_setmetatable(lua, -2);
  }
  lua_pushvalue(lua, 2);
  lua_pushvalue(lua, -2);
  lua_rawset(lua, 1);
  return 1;
}

/// __newindex of a script's globals. A global that is meant to be local is a mistake that Redis finds too.
int refuse_global(lua_State* lua) { return luaL_error(lua, "Attempt to modify a readonly table"); }

void push_list(lua_State* lua, Arguments list) {
  lua_createtable(lua, static_cast<int>(list.size()), 0);
  int number = 0;
  for (const ByteView each : list) {
    lua_pushlstring(lua, each.data(), each.size());
    lua_rawseti(lua, -2, ++number);
  }
}

std::string too_much(const char* what, std::uint64_t memory_max) {
  return fmt::format("ERR Error running script: it {} more than {} MiB (script_memory_mib). Nothing of it was saved", what,
                     memory_max / kMiB);
}

/// An error that ends all that is being run with it: nothing of it is saved. `reply`: all of the reply.
Error ending(std::string reply) {
  Error error = refuse(std::move(reply)).error();
  error.code = ErrorCode::kUnavailable;
  return error;
}

/// `#!lua flags=no-writes,…`: the only flag that changes anything here is no-writes.
Result<bool> read_shebang(ByteView line) {
  constexpr ByteView kFlags = "flags=";
  bool read_only = false;
  bool first = true;
  while (!line.empty()) {
    const std::size_t space = line.find(' ');
    const ByteView word = line.substr(0, space);
    line.remove_prefix(space == ByteView::npos ? line.size() : space + 1);
    if (std::exchange(first, false)) {
      if (word != "#!lua") return refuse("ERR Unexpected engine in script shebang: " + std::string(word.substr(2)));
      continue;
    }
    if (word.empty()) continue;
    if (!word.starts_with(kFlags)) return refuse("ERR Unknown lua shebang option: " + std::string(word));
    for (ByteView flags = word.substr(kFlags.size()); !flags.empty();) {
      const ByteView flag = flags.substr(0, flags.find(','));
      flags.remove_prefix(std::min(flags.size(), flag.size() + 1));
      const auto known = {"no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"};
      if (std::ranges::find(known, flag) == known.end())
        return refuse("ERR Unexpected flag in script shebang: " + std::string(flag));
      read_only = read_only || flag == "no-writes";
    }
  }
  return read_only;
}

}  // namespace

ScriptEngine::ScriptEngine(ScriptControl& control, const std::atomic<std::int64_t>& time_ms_max, std::uint64_t memory_max)
    : control_(control), time_ms_max_(time_ms_max), memory_max_(memory_max) {
  open();
}

ScriptEngine::~ScriptEngine() {
  if (lua_ != nullptr) lua_close(lua_);
}

ScriptEngine& ScriptEngine::of(lua_State* lua) {
  void* engine = nullptr;
  lua_getallocf(lua, &engine);
  return *static_cast<ScriptEngine*>(engine);
}

void* ScriptEngine::allocate(void* engine, void* block, std::size_t size, std::size_t new_size) {
  ScriptEngine& self = *static_cast<ScriptEngine*>(engine);
  if (new_size == 0) {
    std::free(block);
    self.memory_ -= size;
    return nullptr;
  }
  if (new_size > size && self.memory_ + (new_size - size) > self.memory_max_) {
    self.refused_ = true;
    return nullptr;
  }
  self.allocated_ += new_size;
  if (self.allocated_ > kAllocated && self.run_ != nullptr) {
    self.allocated_ = 0;
    lua_sethook(self.lua_, on_count, LUA_MASKCOUNT, 1);
  }
  void* const moved = std::realloc(block, new_size);
  if (moved != nullptr) self.memory_ = self.memory_ - size + new_size;
  return moved;
}

void ScriptEngine::open() {
  lua_ = lua_newstate(allocate, this);
  const bool opened = lua_ != nullptr && protect([](lua_State* lua) {
                        push_script_library(lua);
                        lua_setfield(lua, LUA_REGISTRYINDEX, kTemplate);
                        // The next collection begins when a fifth has been added, not as much again: garbage counts.
                        lua_gc(lua, LUA_GCSETPAUSE, 120);
                      });
  if (opened || lua_ == nullptr) return;
  lua_close(lua_);
  lua_ = nullptr;
}

bool ScriptEngine::protect(const std::function<void(lua_State*)>& work) {
  const auto call = [](lua_State* lua) {
    const auto& function = *static_cast<const std::function<void(lua_State*)>*>(lua_touserdata(lua, 1));
    lua_settop(lua, 0);
    function(lua);
    return 0;
  };
  const bool done =
      lua_cpcall(lua_, call, const_cast<void*>(static_cast<const void*>(&work))) == 0;  // NOLINT: it is not changed.
  if (!done) lua_settop(lua_, 1);
  return done;
}

void ScriptEngine::publish() const {
  control_.cached.store(scripts_.size(), std::memory_order_relaxed);
  control_.memory.store(memory_, std::memory_order_relaxed);
}

int ScriptEngine::compile(lua_State* lua, ByteView source, const char* name) {
  constexpr std::size_t kPiece = 512;  // Lua's compiler may take long for each, and nothing else interrupts it.
  struct Pieces {
    ScriptEngine& engine;
    ByteView left;
  } pieces{*this, source};
  const auto read = [](lua_State* state, void* data, std::size_t* size) {
    Pieces& from = *static_cast<Pieces*>(data);
    from.engine.check(state);
    const ByteView piece = from.left.substr(0, kPiece);
    from.left.remove_prefix(piece.size());
    *size = piece.size();
    return piece.empty() ? nullptr : piece.data();
  };
  if (source.starts_with(LUA_SIGNATURE[0])) {
    lua_pushliteral(lua, "bytecode is not allowed");
    return LUA_ERRSYNTAX;
  }
  return lua_load(lua, read, &pieces, name);
}

Result<ScriptEngine::Script> ScriptEngine::compile_script(ByteView source, std::string sha1) {
  Script script{.sha1 = std::move(sha1), .bytes = source.size(), .read_only = false};
  if (source.starts_with("#!")) {
    const std::size_t end = source.find('\n');
    if (end == ByteView::npos) return refuse("ERR Invalid script shebang");
    CAIRN_TRY(read_only, read_shebang(source.substr(0, end)));
    script.read_only = read_only;
    source.remove_prefix(end);  // The end of the line stays, so that lines have their numbers.
  }
  std::string error = "not enough memory";
  begin();
  const bool compiled = protect([&](lua_State* lua) {
    if (compile(lua, source, kChunk) != 0) {
      error = lua_isstring(lua, -1) != 0 ? lua_tostring(lua, -1) : error;
      lua_error(lua);
    }
    lua_setfield(lua, LUA_REGISTRYINDEX, script.sha1.c_str());
  });
  end();
  if (!compiled && stopped_) return refuse(error_reply(*stopped_));
  if (!compiled) return refuse("ERR Error compiling script (new function): " + error);
  return script;
}

/// What follows may be ended from outside, until end().
void ScriptEngine::begin() {
  stopped_.reset();
  refused_ = false;
  allocated_ = 0;
  ends_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(time_ms_max_.load(std::memory_order_relaxed));
  control_.running.store(++number_, std::memory_order_relaxed);
}

void ScriptEngine::end() {
  lua_sethook(lua_, nullptr, 0, 0);
  // Without this, KEYS and ARGV of the script would stay reachable until the next script runs.
  protect([](lua_State* lua) {
    lua_pushnil(lua);
    lua_setfield(lua, LUA_REGISTRYINDEX, kEnvironment);
  });
  lua_settop(lua_, 0);
  control_.running.store(0, std::memory_order_relaxed);
  publish();
}

/// Half of the memory is for the script that runs. Lua does not look for garbage when there is no room: it gets the chance
/// here. If scripts that are kept take the other half, all of them are forgotten: clients send them again.
void ScriptEngine::make_room() {
  if (!collect()) flush();
}

bool ScriptEngine::collect() {
  const std::uint64_t most = memory_max_ / 2;
  return memory_ <= most || (protect([](lua_State* lua) { lua_gc(lua, LUA_GCCOLLECT, 0); }) && memory_ <= most);
}

std::string sha1_of(ByteView bytes) {
  static const EVP_MD* const sha1 = EVP_MD_fetch(nullptr, "SHA1", nullptr);  // Else each call would look it up.
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, sha1, nullptr);
  return to_hex({reinterpret_cast<const char*>(digest.data()), size});
}

Result<std::string> ScriptEngine::load(ByteView source) {
  if (lua_ == nullptr) return refuse(kNoInterpreter);
  std::string sha1 = sha1_of(source);
  if (contains(sha1)) {
    scripts_.splice(scripts_.begin(), scripts_, by_sha1_.find(sha1)->second);
    return sha1;
  }
  make_room();
  if (lua_ == nullptr) return refuse(kNoInterpreter);
  CAIRN_TRY(script, compile_script(source, sha1));
  scripts_.push_front(std::move(script));
  by_sha1_[scripts_.front().sha1] = scripts_.begin();
  source_bytes_ += source.size();
  while (scripts_.size() > 1 && (scripts_.size() > kScriptsMax || source_bytes_ > kSourceBytesMax)) {
    forget(std::prev(scripts_.end()));
  }
  publish();
  return sha1;
}

void ScriptEngine::forget(ScriptList::iterator script) {
  protect([&](lua_State* lua) {
    lua_pushnil(lua);
    lua_setfield(lua, LUA_REGISTRYINDEX, script->sha1.c_str());
  });
  source_bytes_ -= script->bytes;
  by_sha1_.erase(script->sha1);
  scripts_.erase(script);
}

bool ScriptEngine::contains(ByteView sha1) const { return by_sha1_.contains(sha1); }

void ScriptEngine::flush() {
  if (lua_ != nullptr) lua_close(lua_);
  scripts_.clear();
  by_sha1_.clear();
  source_bytes_ = 0;
  open();
  publish();
}

/// KEYS, ARGV and, when they are used, the names of the template, behind a table that takes no new names.
void ScriptEngine::push_globals(lua_State* lua, const Call& call) {
  lua_newtable(lua);  // Stays empty: what the script writes would stand here.
  lua_createtable(lua, 0, 3);
  lua_newtable(lua);
  push_list(lua, call.keys);
  lua_setfield(lua, -2, "KEYS");
  push_list(lua, call.values);
  lua_setfield(lua, -2, "ARGV");
  lua_pushvalue(lua, 1);
  lua_setfield(lua, -2, "_G");
  lua_createtable(lua, 0, 1);
  set_function(lua, "__index", find_global);
  lua_setmetatable(lua, -2);
  lua_setfield(lua, -2, "__index");
  set_function(lua, "__newindex", refuse_global);
  lua_pushliteral(lua, "globals");
  lua_setfield(lua, -2, "__metatable");
  lua_setmetatable(lua, -2);
  lua_pushvalue(lua, -1);
  lua_setfield(lua, LUA_REGISTRYINDEX, kEnvironment);
}

void ScriptEngine::push_environment(lua_State* lua) const { lua_getfield(lua, LUA_REGISTRYINDEX, kEnvironment); }

void ScriptEngine::on_count(lua_State* lua, lua_Debug* /*where*/) { of(lua).check(lua); }

void ScriptEngine::refuse_memory(lua_State* lua) {
  refused_ = true;
  check(lua);
}

void ScriptEngine::check(lua_State* lua) {
  if (!stopped_) {
    if (control_.kill.load(std::memory_order_relaxed) == number_) {
      stopped_ = ending("ERR Error running script: Script killed by user with SCRIPT KILL. Nothing of it was saved");
    } else if (control_.stopping.load(std::memory_order_relaxed)) {
      stopped_ = ending("ERR Error running script: the server stops. Nothing of it was saved");
    } else if (refused_) {
      stopped_ = ending(too_much("needs", memory_max_));
    } else if (std::chrono::steady_clock::now() >= ends_) {
      stopped_ = ending(fmt::format(
          "ERR Error running script: it ran for more than {} ms (script_time_ms) and was ended. Nothing of it was saved",
          time_ms_max_.load(std::memory_order_relaxed)));
    }
  }
  if (!stopped_) {
    if (run_ != nullptr) lua_sethook(lua, on_count, LUA_MASKCOUNT, kInstructions);
    return;
  }
  // From now on at each instruction: what catches this error gets the next one.
  if (run_ != nullptr) lua_sethook(lua, on_count, LUA_MASKCOUNT, 1);
  luaL_error(lua, "the script was ended");
}

/// Error handler of a script: what it ends with, and in which line.
int ScriptEngine::on_error(lua_State* lua) {
  std::string text = "ERR unknown error";
  if (lua_istable(lua, 1)) {
    lua_pushliteral(lua, "err");
    lua_rawget(lua, 1);
    if (lua_isstring(lua, -1) != 0) text = lua_tostring(lua, -1);
  } else if (lua_isboolean(lua, 1)) {
    text = lua_toboolean(lua, 1) != 0 ? "ERR true" : "ERR false";
  } else {
    text = std::string("ERR ") + (lua_isstring(lua, 1) != 0 ? lua_tostring(lua, 1) : luaL_typename(lua, 1));
  }
  ScriptEngine& self = of(lua);
  lua_Debug where{};
  int level = 1;
  if (lua_getstack(lua, level, &where) != 0 && lua_getinfo(lua, "Sl", &where) != 0 && ByteView(where.what) == "C") ++level;
  if (lua_getstack(lua, level, &where) != 0 && lua_getinfo(lua, "Sl", &where) != 0 && where.currentline > 0) {
    text += fmt::format(" script: {}, on {}:{}.", self.run_->script.sha1, where.source, where.currentline);
  }
  self.run_->error = std::move(text);
  return 0;
}

void ScriptEngine::run_protected(lua_State* lua) {
  push_globals(lua, run_->call);
  lua_pushcfunction(lua, on_error);
  lua_getfield(lua, LUA_REGISTRYINDEX, run_->script.sha1.c_str());
  lua_pushvalue(lua, 1);
  lua_setfenv(lua, -2);
  lua_sethook(lua, on_count, LUA_MASKCOUNT, kInstructions);
  const int failed = lua_pcall(lua, 0, 1, 2);
  if (stopped_ || refused_) return;
  if (failed == 0) {
    pop_as_reply(lua, run_->context.reply, run_->resp3);
  } else if (run_->error.empty()) {
    run_->error = "ERR the script failed, and so did the report of its error";
  }
}

Result<void> ScriptEngine::run(Context& context, const Call& call) {
  const auto found = by_sha1_.find(call.sha1);
  if (found == by_sha1_.end()) return refuse(kNoScript);
  scripts_.splice(scripts_.begin(), scripts_, found->second);
  collect();
  if (std::exchange(seeded_, false)) std::srand(static_cast<unsigned>(system_random()));  // What math.random() uses.
  const Script& script = scripts_.front();
  Run run{.context = context, .call = call, .script = script, .read_only = call.read_only || script.read_only};
  run.database = context.keys.number();
  run_ = &run;
  begin();
  const Output::Mark mark = context.reply.output().mark();
  const bool done = protect([this](lua_State* lua) { run_protected(lua); });
  run_ = nullptr;
  if (!done && run.error.empty()) {
    run.error =
        lua_isstring(lua_, -1) != 0 ? std::string("ERR ") + lua_tostring(lua_, -1) : "ERR not enough memory for the script";
  }
  if (refused_ && !stopped_) stopped_ = ending(too_much("needs", memory_max_));
  end();
  if (stopped_) return std::unexpected(*stopped_);
  if (run.error.empty()) return {};
  context.reply.output().rewind(mark);
  context.reply.error(run.error);
  return {};
}

/// Why a script may not run the command; nullptr: it may, or the user may not.
const char* ScriptEngine::refusal(const CommandInfo& info) const {
  const auto is_one_of = [&](std::initializer_list<ByteView> names) {
    return std::ranges::find(names, info.name) != names.end();
  };
  const bool of_connection = info.where == Where::kConnection && !is_one_of({"PING", "ECHO", "SELECT"});
  const bool of_server = (info.flags & kAdmin) != 0 && (info.flags & kWrites) == 0;
  if (of_connection || of_server || (info.flags & (kNotInMulti | kScripts)) != 0 || is_one_of({"ROLE", "WAIT"})) {
    return "ERR This Redis command is not allowed from script";
  }
  if (run_->read_only && (info.flags & kWrites) != 0) return "ERR Write commands are not allowed from read-only scripts.";
  return nullptr;
}

/// Copies the arguments of a command that saves. Staged saves are views of them, and Lua may free its strings before the script
/// is over.
void ScriptEngine::hold(lua_State* lua, const CommandInfo& info, std::vector<ByteView>& arguments) {
  constexpr std::uint64_t kOverhead = 256;  // About what a staged save takes besides its bytes.
  if ((info.flags & kWrites) == 0) return;
  run_->held_bytes += kOverhead;
  for (const ByteView argument : arguments) run_->held_bytes += argument.size();
  if (run_->held_bytes > memory_max_) end_for_memory(lua, "saves");
  const auto copies = std::make_shared<std::vector<Bytes>>(arguments.begin(), arguments.end());
  std::ranges::copy(*copies, arguments.begin());
  run_->context.execution.keep(copies);
}

void ScriptEngine::end_for_memory(lua_State* lua, const char* what) {
  stopped_ = ending(too_much(what, memory_max_));
  check(lua);
}

/// Returns an error as a reply has it; empty: the reply was written.
std::string ScriptEngine::run_command(const CommandInfo& info, Arguments arguments, Reply& reply) {
  const Context& outer = run_->context;
  if (!outer.service.config().users_file.empty()) {
    const std::string why =
        outer.user == nullptr ? "NOPERM the user is not known any more" : outer.user->refusal(info, arguments);
    if (!why.empty()) return why;
  }
  if (ByteView(info.name) == "SELECT") {
    const Result<int> number = int_argument(arguments[1]);
    const Result<void> there = number ? check_database(*number) : std::unexpected(number.error());
    if (!there) return error_reply(there.error());
    run_->database = *number;
    reply.ok();
    return {};
  }
  Context inner{.service = outer.service,
                .execution = outer.execution,
                .info = info,
                .arguments = arguments,
                .keys = outer.execution.keys(run_->database),
                .reply = reply,
                .who = outer.who,
                .user = outer.user};
  const Output::Mark mark = reply.output().mark();
  Result<void> done;
  try {
    done = info.run(inner);
  } catch (const std::exception& what) {
    // Lua would take it for an error that a script may go on after.
    done = std::unexpected(ending(std::string("ERR Error running script: ") + what.what() + ". Nothing of it was saved"));
  }
  if (done) return {};
  reply.output().rewind(mark);
  // An error of the device ends the script. An error of the command is returned to the script, which may handle it.
  if (!is_refusal(done.error())) stopped_ = done.error();
  return one_line(error_reply(done.error()));
}

int ScriptEngine::call_command(lua_State* lua, bool raises) {
  const int count = lua_gettop(lua);
  check(lua);
  std::string error;
  std::string answer;
  Output output;
  Reply reply(output, run_->resp3);
  std::vector<std::string> numbers;
  numbers.reserve(static_cast<std::size_t>(count));
  std::vector<ByteView> arguments;
  for (int i = 1; i <= count && error.empty(); ++i) {
    std::size_t size = 0;
    if (lua_type(lua, i) == LUA_TNUMBER) {
      arguments.emplace_back(numbers.emplace_back(fmt::format("{:.17g}", lua_tonumber(lua, i))));
    } else if (const char* const bytes = lua_tolstring(lua, i, &size)) {
      arguments.emplace_back(bytes, size);
    } else {
      error = "ERR Lua redis lib command arguments must be strings or integers";
    }
  }
  if (count == 0) error = "ERR Please specify at least one argument for this redis lib call";
  if (error.empty()) {
    std::string wrong;
    const CommandInfo* const info = find_command(arguments, wrong);
    if (info == nullptr) {
      error = wrong.starts_with("ERR wrong number") ? "ERR Wrong number of args calling Redis command from script"
                                                    : "ERR Unknown Redis command called from script";
    } else if (const char* const refused = refusal(*info)) {
      error = refused;
    } else {
      hold(lua, *info, arguments);
      error = run_command(*info, arguments, reply);
      if (output.size() > memory_max_) end_for_memory(lua, "reads");
      answer = output.copy();  // Before end_command(), which asks whether the device has failed under the values.
      if (run_->context.execution.end_command() + run_->held_bytes > memory_max_) end_for_memory(lua, "saves");
    }
  }
  if (error.empty()) {
    push_reply(lua, answer);
    lua_pushliteral(lua, "err");
    const bool failed = lua_istable(lua, -2) && (lua_rawget(lua, -2), lua_isstring(lua, -1) != 0);
    lua_settop(lua, count + 1);
    if (!failed || !raises) return 1;
  } else {
    push_error(lua, error);
  }
  if (stopped_) check(lua);
  return raises ? lua_error(lua) : 1;
}

}  // namespace cairn::server
