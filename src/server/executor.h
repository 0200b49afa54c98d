// Runs commands, one after the other: those of a read thread at what readers see, those of the writer at everything that was
// applied.
#pragma once
#include <array>
#include <bitset>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "server/client.h"
#include "server/script_engine.h"
#include "server/service.h"

namespace cairn::server {

/// One thread.
class Executor final : public Execution {
 public:
  Executor(Service& service, Sees sees) : service_(service), sees_(sees) {}

  /// Runs one command and writes its reply. In the writer what it saves is applied.
  struct Options {
    Client* client = nullptr;
    WatchSet* watched = nullptr;
    const ClientInfo* who = nullptr;
    const User* user = nullptr;
  };
  void run(const CommandInfo& info, Arguments arguments, int database, Reply& reply, const Options& options);
  /// In the writer: saves each of `puts`, in their order. On an error nothing was done.
  Result<void> put_each(std::span<const Timeline::Put> puts, int database);
  /// In the writer: all of the transaction, or nothing if something in `watched` has changed.
  /// False: nothing was done.
  bool run_transaction(const Requests& transaction, const Options& options, Reply& reply);
  /// Adds the lookups of its keyspaces since the last call to the counters of the server.
  void count_lookups();

  Keyspace& keys(int number) override;
  /// Makes everything that was applied acknowledged.
  Result<void> settle() override;
  Result<void> commit() override;
  ScriptEngine& scripts() override;
  std::uint64_t end_command() override;
  void keep(std::shared_ptr<const void> bytes) override { kept_.push_back(std::move(bytes)); }
  /// For each timeline, the last save that was applied and is not acknowledged yet.
  using Unsettled = std::array<std::optional<Applied>, kDatabases>;
  /// For who makes it acknowledged in another thread, with wait_for().
  Unsettled take_unsettled() {
    any_applied_ = false;
    return std::exchange(applied_, {});
  }
  [[nodiscard]] Result<void> wait_for(const Unsettled& unsettled) const;

 private:
  Result<void> run_command(const CommandInfo& info, Arguments arguments, int database, Reply& reply, const Options& options);
  void discard();
  void end();
  Result<bool> has_changed(const WatchSet& watched);

  Service& service_;
  const Sees sees_;
  std::array<std::unique_ptr<Keyspace>, kDatabases> keys_;
  std::bitset<kDatabases> touched_;  // By the command that runs.
  std::vector<std::shared_ptr<const void>> kept_;
  std::unique_ptr<ScriptEngine> scripts_;  // Once a script was run.
  Unsettled applied_;
  bool any_applied_ = false;
  std::vector<ByteView> arguments_;
};

}  // namespace cairn::server
