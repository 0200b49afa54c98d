// A scripted run over a table that remembers what it wrote and what was acknowledged, for tests that stop it anywhere.
#pragma once
#include <algorithm>
#include <thread>

#include "support/outside_file.h"
#include "support/world.h"

namespace cairn::test {

struct Written {
  struct Change {
    std::string key;
    std::optional<std::string> value;  // None: erased.
    std::optional<std::string> to;     // Of a range that was erased, with `key` its begin.
  };
  std::vector<std::vector<Change>> writes;  // Begun, in order.
  std::size_t durable = 0;                  // So many of them are acknowledged as kDisk, or behind one that is.

  static void apply(Model& model, const Change& change) {
    if (change.to) {
      model.erase(model.lower_bound(change.key), model.lower_bound(*change.to));
    } else if (change.value) {
      model[change.key] = *change.value;
    } else {
      model.erase(change.key);
    }
  }
  /// The table after the first `n` writes.
  [[nodiscard]] Model after(std::size_t n) const {
    Model model;
    for (std::size_t i = 0; i < n; ++i) {
      for (const Change& change : writes[i]) apply(model, change);
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

/// The second family of scripted writes, with a term index on the first byte of the value.
inline Result<Table> scripted_family(const Table& table) {
  return table.family("side", {.indexes = {{.name = "first", .term_bytes = 1, .extractor = "bytes:0,1"}}});
}

/// One write of the script: now a put, now an erase, now a range erased, now a batch of them over a few keys of two
/// families.
inline Result<void> scripted_write(Table table, Written& written, int i, Durability durability) {
  written.writes.emplace_back();
  CAIRN_TRY(side, scripted_family(table));
  Batch batch;
  const int count = i % 5 == 4 ? 4 : 1;
  for (int j = 0; j < count; ++j) {
    const bool in_side = (i + j) % 3 == 2;
    const Table& family = in_side ? side : table;
    const std::string key = "key" + std::to_string((i * 7 + j * 3) % 19);
    const std::string model = model_key(in_side ? "side" : "main", key);
    if ((i + j) % 13 == 12 && key < "key7") {
      batch.erase_range(family, {key, "key7"});
      written.writes.back().push_back({model, std::nullopt, model_key(in_side ? "side" : "main", "key7")});
    } else if ((i + j) % 6 == 5) {
      batch.erase(family, key);
      written.writes.back().push_back({model, std::nullopt, std::nullopt});
    } else {
      const std::string value = std::to_string(i) + std::string(static_cast<std::size_t>(20 + i * 137 % 700), 'x');
      batch.put(family, key, value);
      written.writes.back().push_back({model, value, std::nullopt});
    }
  }
  const auto done = table.write(batch, {.durability = durability});
  if (!done) return std::unexpected(done.error());
  if (durability == Durability::kDisk) written.durable = written.writes.size();
  return {};
}

/// An ingest of a few records into one of the two families, with values both small and large.
inline Result<void> scripted_ingest(Process& process, Written& written, int i) {
  const std::string family = i % 2 == 0 ? "main" : "side";
  OutsideRecords records;
  for (int j = 0; j < 6; ++j) {
    const auto bytes = static_cast<std::size_t>(20 + (i + j) * 137 % 700);
    records["key" + std::to_string((i + j * 5) % 19)] =
        j == 4 ? std::nullopt : std::optional(std::to_string(i) + std::string(bytes, 'y'));
  }
  CAIRN_TRY(file, outside_file(records));
  CAIRN_TRY_VOID(scripted_family(process.table()));
  CAIRN_TRY(number, process.impl().family(family, {}));
  written.writes.emplace_back();
  for (const auto& [key, value] : records) written.writes.back().push_back({model_key(family, key), value, std::nullopt});
  CAIRN_TRY_VOID(process.impl().ingest(number, {file}));
  written.durable = written.writes.size();
  return {};
}

/// Whether the index of the second family leads to exactly the records of `model` that have the term.
inline void expect_terms(const Table& table, const Model& model) {
  const std::vector<std::string> families = table.families();
  if (std::find(families.begin(), families.end(), "side") == families.end()) return;
  const auto side = scripted_family(table);
  ASSERT_OK(side);
  for (char term = '0'; term <= '9'; ++term) {
    Model wanted;
    for (const auto& [key, value] : model) {
      if (key.starts_with("side:") && value[0] == term) wanted.emplace(key, value);
    }
    Model found;
    Scan scan = side->find("first", std::string(1, term));
    for (const auto entry : scan) found.emplace(model_key("side", entry.key), entry.value);
    ASSERT_OK(scan.status());
    ASSERT_EQ(found, wanted) << "term " << term;
  }
}

/// Runs `work` in another thread and waits: for work inside a hook, whose thread may hold locks.
template <typename Work>
void aside(Work work) {
  std::thread(std::move(work)).join();
}

}  // namespace cairn::test
