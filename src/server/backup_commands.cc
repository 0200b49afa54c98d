// BGSAVE, CHECKPOINT, LASTSAVE: copies of the database while it is served.
#include "base/error.h"
#include "server/service.h"
#include "server/text.h"

namespace cairn::server {
namespace {

/// The error as a reply; what others report it is kept for the log and for INFO.
std::unexpected<Error> refusal_of(const Error& error) { return refuse("ERR " + error.message); }

Result<void> bgsave(Context& c) {
  const bool schedule = c.size() == 2 && same_word(c[1], "SCHEDULE");
  if (c.size() > 2 || (c.size() == 2 && !schedule)) return refuse_syntax();
  const Result<Backups::Taken> taken = c.service.backups().request(schedule);
  if (!taken) return refusal_of(taken.error());
  c.reply.simple(*taken == Backups::Taken::kStarted ? "Background saving started" : "Background saving scheduled");
  return {};
}

Result<void> checkpoint(Context& c) {
  const Result<void> taken = c.service.backups().request_named(std::string(c[1]));
  if (!taken) return refusal_of(taken.error());
  c.reply.simple("Background saving started");
  return {};
}

Result<void> last_save(Context& c) {
  c.reply.integer(c.service.last_save_s());
  return {};
}

constexpr const char* kGroup = "server";

constexpr CommandInfo kCommands[] = {
    {"BGSAVE", -1, Where::kReader, kAdmin, 0, 0, 0, bgsave, kGroup, "1.0.0",
     "Copy the database into backup_directory, incrementally where a full copy is there", "[SCHEDULE]"},
    {"CHECKPOINT", 2, Where::kReader, kAdmin, 0, 0, 0, checkpoint, kGroup, "0.1.0",
     "Copy the database into backup_directory, as a full copy that is kept", "name"},
    {"LASTSAVE", 1, Where::kReader, kAdmin, 0, 0, 0, last_save, kGroup, "1.0.0",
     "Return when the last copy of the database was begun, in seconds since 1970", ""},
};

}  // namespace

std::span<const CommandInfo> backup_commands() { return kCommands; }

}  // namespace cairn::server
