// The smallest complete program: open, write, read, scan, snapshot.
#include <cairn/cairn.h>

#include <cstdio>

namespace {

cairn::Result<void> run(const char* path) {
  CAIRN_TRY(database, cairn::Database::open(path, {.create_if_missing = true}));
  CAIRN_TRY(users, database.table("users"));

  CAIRN_TRY_VOID(users.put("alice", "1 Main Street"));  // On the device when it returns.
  const cairn::Snapshot before = users.snapshot("before the move");

  cairn::Batch batch;  // All of it or nothing.
  batch.put("alice", "2 Side Street");
  batch.put("alan", "3 Back Street");
  CAIRN_TRY_VOID(users.write(batch));

  CAIRN_TRY(then, users.get("alice", before));
  CAIRN_TRY(now, users.get("alice"));
  if (then && now) std::printf("alice lived at %s, now at %s\n", cairn::Bytes(*then).c_str(), cairn::Bytes(*now).c_str());

  cairn::Scan scan = users.scan(cairn::prefix("al"));
  for (const auto entry : scan) std::printf("%s: %s\n", cairn::Bytes(entry.key).c_str(), cairn::Bytes(entry.value).c_str());
  CAIRN_TRY_VOID(scan.status());
  return database.close();
}

}  // namespace

int main(int argc, char** argv) {
  const cairn::Result<void> done = run(argc > 1 ? argv[1] : "quickstart.data");
  if (done) return 0;
  std::fprintf(stderr, "%s\n", done.error().to_string().c_str());
  return 1;
}
