// Everything a program needs: #include <cairn/cairn.h>
//
// A Database is a directory. It hands out views by name, of three kinds:
//   Table      ordered keys and values: lookups, scans, term indexes, snapshots; a time to live for each family of records.
//   Timeline   keys and values that remember: every save of a stated time can be read as of any moment, listed, watched and
//              rolled back; an expiry for each save.
//   ForkStore  accounts with keys of 32 bytes, in competing versions (forks) of which one is kept in the end.
//
//   cairn::Result<void> hello() {
//     CAIRN_TRY(database, cairn::Database::open("data", {.create_if_missing = true}));
//     CAIRN_TRY(notes, database.table("notes"));
//     CAIRN_TRY_VOID(notes.put("key", "value"));
//     CAIRN_TRY(value, notes.get("key"));
//     if (value) std::cout << value->view() << '\n';
//     cairn::Scan all = notes.scan();
//     for (const auto entry : all) std::cout << entry.key << '\n';
//     CAIRN_TRY_VOID(all.status());  // A walk that met damage ends early.
//     return database.close();
//   }
#pragma once
#include "cairn/bytes.h"
#include "cairn/database.h"
#include "cairn/forks.h"
#include "cairn/result.h"
#include "cairn/sealed_file.h"
#include "cairn/table.h"
#include "cairn/timeline.h"
