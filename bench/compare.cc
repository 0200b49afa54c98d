// Judges two runs of tools/bench_table.py. The machine may have been faster in one than in the other: how the peers of a row
// changed is taken off.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "bench/table_bench.h"

namespace cairn::bench {
namespace {

using Json = nlohmann::json;

struct Figures {
  double median;
  double spread;  // Half of the range, of the median.
};

std::optional<Figures> figures_of(const Json& row, const std::string& engine) {
  const Json& engines = row.at("engines");
  if (!engines.contains(engine) || engines.at(engine).empty()) return std::nullopt;
  std::vector<double> values;
  for (const Json& run : engines.at(engine)) values.push_back(run.at(row.at("metric").get<std::string>()).get<double>());
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  if (median <= 0) return std::nullopt;
  return Figures{median, (values.back() - values.front()) / 2 / median};
}

Json read(const std::string& file) {
  std::ifstream in(file);
  Json json = Json::parse(in, nullptr, false);
  if (json.is_discarded() || !json.contains("rows")) give_up(file + " is not what ./dev bench table --json writes");
  return json;
}

/// Prints the line of a row; whether Cairn did not get worse in it.
bool compare_row(const std::string& name, const Json& before, const Json& after) {
  const auto ours_before = figures_of(before, "cairn");
  const auto ours_after = figures_of(after, "cairn");
  if (!ours_before || !ours_after) return true;
  const bool less_is_more = after.at("less_is_more").get<bool>();
  const auto gain = [&](const Figures& from, const Figures& to) {
    return less_is_more ? from.median / to.median : to.median / from.median;
  };
  double noise = ours_before->spread + ours_after->spread;
  double peers = 0;
  int count = 0;
  for (const auto& [engine, runs] : before.at("engines").items()) {
    const auto from = figures_of(before, engine);
    const auto to = figures_of(after, engine);
    if (engine == "cairn" || !from || !to) continue;
    peers += std::log(gain(*from, *to));
    noise = std::max(noise, from->spread + to->spread);
    ++count;
  }
  const double machine = count == 0 ? 1 : std::exp(peers / count);
  const double change = gain(*ours_before, *ours_after) / machine;
  constexpr double kNoiseLeast = 0.05;
  noise = std::max(noise, kNoiseLeast);
  const char* verdict = change > 1 + noise ? "better" : change < 1 / (1 + noise) ? "WORSE" : "same";
  std::printf("%-44s %6.2f x  (peers %.2f x, noise %.0f %%)  %s\n", name.c_str(), change, machine, noise * 100, verdict);
  return change >= 1 / (1 + noise);
}

}  // namespace

bool compare(const std::string& before, const std::string& after) try {
  const Json a = read(before);
  const Json b = read(after);
  if (a.at("n") != b.at("n")) give_up("the runs are of different sizes: --n " + a.at("n").dump() + " and " + b.at("n").dump());
  bool good = true;
  for (const auto& [name, row] : b.at("rows").items()) {
    if (a.at("rows").contains(name)) good = compare_row(name, a.at("rows").at(name), row) && good;
  }
  return good;
} catch (const Json::exception& wrong) {
  give_up("not what ./dev bench table --json writes: " + std::string(wrong.what()));
}

}  // namespace cairn::bench
