// The calls that a process which owns a directory answers to others (Request::Call). They are run here for both: for a process
// that asks the owner, and for one that has opened the directory itself.
#pragma once
#include <functional>
#include <span>
#include <string>

#include "cairn/database.h"
#include "database/owner_message.h"

namespace cairn::database {

/// Gets the parts of one row of an answer. An error ends the call.
using Emit = std::function<Result<void>(std::span<const ByteView> row)>;

/// How the command names the calls: for messages that say what works beside an owner.
inline constexpr const char* kCallsInWords =
    "list, verify, checkpoint, table get, table scan, table dump, table stats, timeline get, timeline keys, timeline history, "
    "timeline watch, timeline stats and forks stats";

/// Whether a view of a kind ("table", "timeline", "forks") is seen; empty: all are.
using ViewFilter = std::function<bool(const std::string& kind, const std::string& name)>;

/// Runs `request` on `database`. `directory`: how messages call it. `sees`: in an owner, what it has opened itself: who opens a
/// view first decides its options, which is not for others. `progress` of a watch is called about once a second. Errors: those of
/// the functions that are called; kNotFound names what there is.
Result<void> run_call(Database& database, const std::string& directory, const Request& request, const Emit& emit,
                      const Progress& progress, const ViewFilter& sees = {});

/// How many parts the rows of a call have.
std::size_t parts_of(Request::Call call);

/// `failed`; if it is kNotFound, followed by the names there are: "there is no table 'x'; tables in data: a, b".
std::unexpected<Error> naming_others(Error failed, const std::string& kinds, const std::vector<std::string>& names);

}  // namespace cairn::database
