// Loads lines of KEY TAB VALUE into a table in one thread while another takes a checkpoint half-way:
// checkpoint_while_loading DATABASE CHECKPOINT FILE.tsv. Both are databases afterwards.
#include <cairn/cairn.h>

#include <atomic>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace {

int failed(const cairn::Error& error) {
  std::cerr << error.to_string() << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::vector<std::pair<std::string, std::string>> entries;
  std::ifstream file(argv[3]);
  for (std::string line; std::getline(file, line);) {
    const std::size_t tab = line.find('\t');
    if (tab != std::string::npos) entries.emplace_back(line.substr(0, tab), line.substr(tab + 1));
  }

  auto database = cairn::Database::open(argv[1], {.create_if_missing = true});
  if (!database) return failed(database.error());
  auto table = database->table("packages");
  if (!table) return failed(table.error());

  std::atomic<std::size_t> loaded{0};
  cairn::Result<void> load;
  std::thread loader([&] {
    for (const auto& [key, value] : entries) {
      const auto put = table->put(key, value, {.durability = cairn::Durability::kKernel});
      if (!put) {
        load = std::unexpected(put.error());
        return;
      }
      ++loaded;
    }
  });
  while (loaded < entries.size() / 2) std::this_thread::yield();
  const std::size_t before = loaded;
  const cairn::Result<void> taken = database->checkpoint(argv[2]);
  const std::size_t after = loaded;
  loader.join();
  if (!taken) return failed(taken.error());
  if (!load) return failed(load.error());
  if (const auto closed = database->close(); !closed) return failed(closed.error());

  auto copy = cairn::Database::open(argv[2]);
  if (!copy) return failed(copy.error());
  auto packages = copy->table("packages", {.create_if_missing = false});
  if (!packages) return failed(packages.error());
  std::size_t count = 0;
  {
    cairn::Scan scan = packages->scan();
    for (; scan.valid(); scan.next()) ++count;
    if (const auto status = scan.status(); !status) return failed(status.error());
  }
  std::cout << "loading went from " << before << " to " << after << " while the checkpoint was taken; it holds " << count
            << " of " << entries.size() << '\n';
  return count >= before && count <= entries.size() ? 0 : 1;
}
