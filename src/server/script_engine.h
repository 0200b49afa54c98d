// Runs scripts of Lua 5.1 over strings and keys, as redis-server does. All of what a script saves is one batch; a script that
// is ended from outside (time, memory, SCRIPT KILL, an error of the device) saves nothing.
//
// Lua is the one that was built as C++: its errors are exceptions, so that what the functions here hold is given back.
//
// Each run has empty tables for its globals and libraries. Metatables lead from them to a template that no script can reach, so
// the next script sees nothing that a script has changed. The template holds no function that reaches files, processes, modules,
// bytecode or other environments.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/command.h"

struct lua_State;
struct lua_Debug;

namespace cairn::server {

inline constexpr const char* kNoScript = "NOSCRIPT No matching script. Please use EVAL.";

/// In 40 hexadecimal digits.
std::string sha1_of(ByteView bytes);

/// What the server and its scripts tell each other. Thread-safe.
struct ScriptControl {
  std::atomic<std::uint64_t> running{0};  // The number of the script that runs or is compiled; 0: none.
  std::atomic<std::uint64_t> kill{0};     // The one that is to end.
  std::atomic<bool> stopping{false};      // The server stops: all are to end.
  std::atomic<std::uint64_t> cached{0};   // Scripts that are kept,
  std::atomic<std::uint64_t> memory{0};   // and bytes of all that Lua holds.
};

/// One thread at a time. Not copied or moved: Lua holds its address.
class ScriptEngine {
 public:
  /// A script that runs longer than `time_ms_max` is ended. Lua may allocate `memory_max` bytes, and a script may save so many.
  ScriptEngine(ScriptControl& control, const std::atomic<std::int64_t>& time_ms_max, std::uint64_t memory_max);
  ~ScriptEngine();
  ScriptEngine(const ScriptEngine&) = delete;
  ScriptEngine& operator=(const ScriptEngine&) = delete;

  /// Compiles `source` and keeps it; returns its SHA-1 in hexadecimal digits. Of 16 MiB of sources and 10,000 scripts those are
  /// kept that were used last. The error is a reply: it does not compile.
  Result<std::string> load(ByteView source);
  [[nodiscard]] bool contains(ByteView sha1) const;
  /// Forgets all scripts.
  void flush();

  struct Call {
    ByteView sha1;
    Arguments keys;
    Arguments values;
    bool read_only = false;
  };
  /// Runs a script that is kept, and writes its reply: what it returns, or the error that it ended with; what it saved before
  /// an error of its own is staged. An error is returned when it was ended from outside: nothing of it may be saved.
  Result<void> run(Context& context, const Call& call);

  // For the functions that a script calls.
  static ScriptEngine& of(lua_State* lua);
  /// Raises an error that no pcall() of the script survives, if the script has to end. Called from time to time by Lua, too.
  void check(lua_State* lua);
  /// Raises the error of a script that needs more than memory_max(), for a function that would allocate so much.
  void refuse_memory(lua_State* lua);
  /// redis.call() and redis.pcall(): runs the command in the arguments on the stack and pushes its reply.
  int call_command(lua_State* lua, bool raises);
  /// Compiles what lua_load() reads from `source`, as check() allows; pushes the function, or an error. Returns the status of
  /// Lua.
  int compile(lua_State* lua, ByteView source, const char* name);
  /// math.randomseed() was called: the next script starts from elsewhere.
  void set_seeded() { seeded_ = true; }
  /// redis.setresp(): the version of the protocol whose replies the script gets.
  void set_version(bool resp3) { run_->resp3 = resp3; }
  /// Pushes the table of globals of the script that runs.
  void push_environment(lua_State* lua) const;
  [[nodiscard]] std::uint64_t memory_max() const { return memory_max_; }

 private:
  static constexpr std::size_t kScriptsMax = 10'000;
  static constexpr std::uint64_t kSourceBytesMax = 16 * kMiB;
  struct Script {
    std::string sha1;
    std::uint64_t bytes;
    bool read_only;  // Its first line says so.
  };
  using ScriptList = std::list<Script>;  // The one that was used last in front.
  struct Run {
    Context& context;
    const Call& call;
    const Script& script;
    bool read_only;
    bool resp3 = false;
    int database = 0;              // SELECT of a script is its own.
    std::uint64_t held_bytes = 0;  // Arguments of its writes, which stay until all is saved.
    std::string error;             // The reply, if it ends with an error of its own.
  };

  static void* allocate(void* engine, void* block, std::size_t size, std::size_t new_size);
  static void on_count(lua_State* lua, lua_Debug* where);
  static int on_error(lua_State* lua);
  void open();
  /// Calls `work`, which may raise errors of Lua. False: it did.
  bool protect(const std::function<void(lua_State* lua)>& work);
  void run_protected(lua_State* lua);
  void push_globals(lua_State* lua, const Call& call);
  Result<Script> compile_script(ByteView source, std::string sha1);
  void begin();
  void end();
  void make_room();
  /// Collects garbage if more than half of the memory is taken. False: it still is.
  bool collect();
  void forget(ScriptList::iterator script);
  void publish() const;
  [[nodiscard]] const char* refusal(const CommandInfo& info) const;
  /// Ends the script: it needs, saves or reads too much.
  void end_for_memory(lua_State* lua, const char* what);
  void hold(lua_State* lua, const CommandInfo& info, std::vector<ByteView>& arguments);
  std::string run_command(const CommandInfo& info, Arguments arguments, Reply& reply);

  ScriptControl& control_;
  const std::atomic<std::int64_t>& time_ms_max_;
  const std::uint64_t memory_max_;
  std::uint64_t memory_ = 0;
  lua_State* lua_ = nullptr;
  ScriptList scripts_;
  std::unordered_map<std::string_view, ScriptList::iterator> by_sha1_;
  std::uint64_t source_bytes_ = 0;
  std::uint64_t number_ = 0;  // Of what was run or compiled last.
  bool seeded_ = true;
  // Of what goes on:
  Run* run_ = nullptr;  // None while a script is compiled for the first time.
  std::chrono::steady_clock::time_point ends_;
  std::uint64_t allocated_ = 0;   // Since the last look at the clock.
  bool refused_ = false;          // An allocation, or a result, beyond memory_max_.
  std::optional<Error> stopped_;  // Why it has to end.
};

}  // namespace cairn::server
