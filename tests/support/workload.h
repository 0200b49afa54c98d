// A scripted run over a table that remembers what it wrote and what was acknowledged, for tests that stop it anywhere.
#pragma once
#include <thread>

#include "support/world.h"

namespace cairn::test {

struct Written {
  std::vector<std::vector<std::pair<std::string, std::optional<std::string>>>> writes;  // Begun, in order.
  std::size_t durable = 0;  // So many of them are acknowledged as kDisk, or behind one that is.

  /// The table after the first `n` writes.
  [[nodiscard]] Model after(std::size_t n) const {
    Model model;
    for (std::size_t i = 0; i < n; ++i) {
      for (const auto& [key, value] : writes[i]) {
        if (value) {
          model[key] = *value;
        } else {
          model.erase(key);
        }
      }
    }
    return model;
  }
  /// The greatest n in [from, to] with after(n) == found.
  [[nodiscard]] std::optional<std::size_t> match(const Model& found, std::size_t from, std::size_t to) const {
    for (std::size_t n = to + 1; n-- > from;) {
      if (after(n) == found) return n;
    }
    return std::nullopt;
  }
};

/// One write of the script: now a put, now an erase, now a batch of both over a few keys.
inline Result<void> scripted_write(Table table, Written& written, int i, Durability durability) {
  Batch batch;
  written.writes.emplace_back();
  const int count = i % 5 == 4 ? 4 : 1;
  for (int j = 0; j < count; ++j) {
    const std::string key = "key" + std::to_string((i * 7 + j * 3) % 11);
    if ((i + j) % 6 == 5) {
      batch.erase(key);
      written.writes.back().emplace_back(key, std::nullopt);
    } else {
      const std::string value = std::to_string(i) + std::string(static_cast<std::size_t>(20 + i * 37 % 400), 'x');
      batch.put(key, value);
      written.writes.back().emplace_back(key, value);
    }
  }
  const auto done = table.write(batch, {.durability = durability});
  if (!done) return std::unexpected(done.error());
  if (durability == Durability::kDisk) written.durable = written.writes.size();
  return {};
}

/// Runs `work` in another thread and waits: for work inside a hook, whose thread may hold locks.
template <typename Work>
void aside(Work work) {
  std::thread(std::move(work)).join();
}

}  // namespace cairn::test
