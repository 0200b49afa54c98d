// Must not compile: each line that is marked drops the answer of a call that can fail. tools/check.sh counts the warnings.
#include <cairn/cairn.h>

void drop(cairn::Database db, cairn::Table table, cairn::Timeline timeline, cairn::ForkStore forks) {
  table.put("key", "value");          // dropped
  table.flush();                      // dropped
  table.alter("main", {});            // dropped
  timeline.erase("key");              // dropped
  forks.sync(1);                      // dropped
  db.checkpoint("/tmp/copy");         // dropped
  db.close();                         // dropped
  table.put("key", "value").value();  // Throws.
  db.close().ignore_error();
}
