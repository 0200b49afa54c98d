// cairn-bench: Cairn beside its peers on the same work, one engine and one workload per process. docs/benchmarks.md says
// how its figures are to be read.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "bench/forks_bench.h"
#include "bench/model_bench.h"
#include "bench/table_bench.h"
#include "bench/timeline_bench.h"

namespace cairn::bench {

void give_up(const std::string& why) {
  std::fprintf(stderr, "cairn-bench: %s\n", why.c_str());
  std::_Exit(1);
}

namespace {

void add_table(CLI::App& app, TableBench& bench) {
  CLI::App& table = *app.add_subcommand("table", "ordered tables");
  table
      .add_option(
          "--workload", bench.workload,
          "fillseq, fillrandom, overwrite, readrandom, readmissing, seekrandom (11 entries from a random key, a fresh "
          "iterator), scan, readwhilewriting (--threads readers, one writer), fillsync, reopen (after a kill), append (as "
          "many again behind --n in order of key), hotkey (overwritten in a table of --n), heldscan (overwrite while "
          "a scan stands), queue, tombstones, growth (a fill, then reads and walks for --seconds each), ingest (of a file "
          "made outside; cairn, rocksdb), tables (--n of them; cairn)")
      ->check(CLI::IsMember({"fillseq", "fillrandom", "overwrite", "readrandom", "readmissing", "seekrandom", "scan",
                             "readwhilewriting", "fillsync", "reopen", "append", "hotkey", "heldscan", "queue", "tombstones",
                             "growth", "ingest", "tables"}));
  table.add_option("--engine", bench.engine)->check(CLI::IsMember(engines()));
  table.add_option("--keys", bench.keys, "random16, user12 or sequential")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Keys>{
          {"random16", Keys::kRandom16}, {"user12", Keys::kUser12}, {"sequential", Keys::kSequential}}));
  table.add_option("--durability", bench.disk, "kernel or disk; fillsync is always disk")
      ->transform(CLI::CheckedTransformer(std::map<std::string, bool>{{"kernel", false}, {"disk", true}}));
  table.add_option("--compression", bench.compression, "none or lz4")->check(CLI::IsMember({"none", "lz4"}));
  table.add_option("--n", bench.n, "records")->check(CLI::PositiveNumber);
  table.add_option("--value-bytes", bench.value_bytes)->check(CLI::Range(1, 1 << 30));
  table.add_option("--batch", bench.batch, "records a write")->check(CLI::PositiveNumber);
  table.add_option("--threads", bench.threads)->check(CLI::Range(1, 100));
  table.add_option("--large-value-bytes", bench.large_value_bytes, "of one value in a hundred")->check(CLI::Range(1, 1 << 30));
  table.add_option("--seconds", bench.seconds, "ends it after so long, whatever --n");
  table.add_option("--rate", bench.rate,
                   "operations that begin each second; a latency is counted from when its operation should have begun");
  table.add_option("--memory-bytes", bench.memory_bytes,
                   "what the process may take, if that is limited: an engine's own cache is set up for data of a third of it");
  table.add_flag("--settled", bench.settled, "compact before reads, and before the disk is measured");
  table.add_option("--dir", bench.dir, "emptied before and after");
  table.add_flag("--json", bench.json, "the last line is one JSON object; it always is");
  table.callback([&bench] {
    if (bench.workload == "fillsync") bench.disk = true;
    const bool ascending = bench.workload == "fillseq" || bench.workload == "append";
    if (ascending && bench.keys == Keys::kRandom16) bench.keys = Keys::kSequential;
    std::puts(run(bench).c_str());
  });
}

void add_timeline(CLI::App& app, TimelineBench& bench) {
  CLI::App& timeline =
      *app.add_subcommand("timeline", "a timeline beside its peers, in few blocks and many, and beside its jobs");
  timeline.add_option("--n", bench.n, "objects")->check(CLI::Range(10'000, 1'000'000'000));
  timeline.add_option("--rounds", bench.rounds)->check(CLI::Range(1, 100));
  timeline.add_option("--seconds", bench.seconds, "for which a reader is watched")->check(CLI::PositiveNumber);
  timeline.add_option("--dir", bench.dir, "emptied before and after");
  timeline.add_flag("--json", bench.json, "the last line is one JSON object; it always is");
  timeline.callback([&bench] { std::puts(run(bench).c_str()); });
}

void add_forks(CLI::App& app, ForksBench& bench) {
  CLI::App& forks = *app.add_subcommand("forks", "the index of accounts beside hash maps, and a fork store beside its peers");
  forks.add_option("--only", bench.only, "index or store (both if neither is given), or device: more accounts than memory")
      ->check(CLI::IsMember({"index", "store", "device"}));
  forks.add_option("--device-bytes", bench.device_bytes, "values in the run with memory for a quarter of them")
      ->check(CLI::Range(std::uint64_t{1} << 28, std::uint64_t{1} << 40));
  forks.add_option("--n", bench.n, "accounts in the index, one run for each")->check(CLI::Range(1000, 1'000'000'000));
  forks.add_option("--accounts", bench.accounts, "accounts in the stores")->check(CLI::Range(10'000, 1'000'000'000));
  forks.add_option("--append-bytes", bench.append_bytes, "values appended in one run")
      ->check(CLI::Range(std::uint64_t{1'000'000}, std::uint64_t{1} << 40));
  forks.add_option("--seconds", bench.seconds, "of each figure of that run")->check(CLI::PositiveNumber);
  forks.add_option("--rounds", bench.rounds)->check(CLI::Range(1, 100));
  forks.add_option("--dir", bench.dir, "emptied before and after");
  forks.add_flag("--json", bench.json, "the last line is one JSON object; it always is");
  forks.callback([&bench] { std::puts(run(bench).c_str()); });
}

void add_model(CLI::App& app, ModelBench& bench) {
  CLI::App& model = *app.add_subcommand("model", "objects in memory beside a bare hash set and boost::multi_index");
  model.add_option("--n", bench.n, "objects")->check(CLI::Range(10'000, 100'000'000));
  model.add_option("--rounds", bench.rounds)->check(CLI::Range(1, 100));
  model.add_flag("--json", bench.json, "the last line is one JSON object; it always is");
  model.callback([&bench] { std::puts(run(bench).c_str()); });
}

}  // namespace
}  // namespace cairn::bench

int main(int argc, char** argv) {
  CLI::App app("Cairn beside its peers");
  app.require_subcommand(1);
  cairn::bench::TableBench table;
  cairn::bench::add_table(app, table);
  cairn::bench::TimelineBench timeline;
  cairn::bench::add_timeline(app, timeline);
  cairn::bench::ForksBench forks;
  cairn::bench::add_forks(app, forks);
  cairn::bench::ModelBench model;
  cairn::bench::add_model(app, model);
  std::string before;
  std::string after;
  bool good = true;
  CLI::App& compare = *app.add_subcommand("compare", "two runs of ./dev bench table: fails if Cairn got worse");
  compare.add_option("before", before, "its --json")->required()->check(CLI::ExistingFile);
  compare.add_option("after", after)->required()->check(CLI::ExistingFile);
  compare.callback([&] { good = cairn::bench::compare(before, after); });
  CLI11_PARSE(app, argc, argv);
  return good ? 0 : 1;
}
