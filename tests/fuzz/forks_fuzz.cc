// Any bytes as the sealed index of a fork store: opening it, and all that is asked of it, ends with an answer or an error. An odd
// first byte asks for all checksums to be made right first, so that what lies behind them is reached too.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "database/database_impl.h"
#include "directory/file_name.h"
#include "sound_file.h"
#include "storage/simulated_storage.h"

using namespace cairn;  // NOLINT(google-build-using-namespace)

namespace {

/// A store that was closed, by the names of its files; fuzz_seeds wrote it.
struct Example {
  std::map<std::string, Bytes> files;
  std::string index;
  sealed::DatabaseId database{};

  Example() {
    for (const auto& entry : std::filesystem::directory_iterator(CAIRN_CORPUS "/forks-store")) {
      std::ifstream in(entry.path(), std::ios::binary);
      files[entry.path().filename()] = Bytes((std::istreambuf_iterator<char>(in)), {});
    }
    for (const auto& [name, bytes] : files) {
      if (!name.ends_with(directory::kSealedSuffix)) continue;
      index = name;
      database = load<sealed::Preamble>(bytes.data()).database;
    }
  }
};

void use(database::DatabaseImpl& database) {
  const auto impl = database.forks("main", {});
  if (!impl) return;
  ForkStore store(*impl);
  for (const ForkNumber fork : {0, 1, 2}) {
    (void)store.scan(fork, [](ByteView, const Pinned&) { return Result<void>(); });
    for (int i = 0; i < 20; ++i) (void)store.load(fork, Bytes(31, 'k') + static_cast<char>('a' + i));
  }
  (void)store.diff(1, 2, [](ByteView, const auto&, const auto&) { return Result<void>(); });
  for (int i = 0; i < 20; i += 3) (void)store.store(1, Bytes(31, 'k') + static_cast<char>('a' + i), "later");
  (void)store.set_root(1);
  (void)(*impl)->end_logs();
  (void)(*impl)->collect();
  (void)(*impl)->seal_index();
  (void)store.stats();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Example example;
  if (size == 0) return 0;
  Bytes bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1) != 0) {
    test::make_sound(bytes, example.database, directory::FileName::parse(example.index)->number, 1, kForksFamily);
  }
  storage::SimulatedDisk disk(1);
  for (const auto& [name, contents] : example.files) disk.put(name, name == example.index ? bytes : contents);
  SimulatedClock clock;
  directory::Environment environment(clock, false);
  const auto database = database::DatabaseImpl::open(std::make_unique<storage::SimulatedStorage>(disk), environment,
                                                     database::DatabaseImpl::Mode::kOpen, {});
  if (!database) return 0;
  use(**database);
  (void)(*database)->close();
  return 0;
}
