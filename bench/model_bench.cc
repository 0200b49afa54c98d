// A Model beside a bare hash set of pointers (lookups by id) and boost::multi_index (lookups by other keys, creating). Peers hold
// the same objects under the same keys, without locks: they are read and filled by one thread, or by two that only read.
#include "bench/model_bench.h"

#include <absl/container/flat_hash_set.h>
#include <time.h>

#include <atomic>
#include <boost/multi_index/hashed_index.hpp>
#include <boost/multi_index/member.hpp>
#include <boost/multi_index/ordered_index.hpp>
#include <boost/multi_index_container.hpp>
#include <cstdio>
#include <thread>

#include "base/random.h"
#include "bench/measure.h"
#include "cairn/model.h"

namespace cairn::bench {
namespace {

using Json = nlohmann::ordered_json;

struct Package : PersistentObject {
  using PersistentObject::PersistentObject;
  std::string name;
  std::int64_t size = 0;
  std::int64_t section = 0;

  static constexpr ModelClass kClass{"Package", 0};
  static constexpr UniqueHash<&Package::name> by_name{"by_name"};
  static constexpr Sorted<&Package::size> by_size{"by_size"};
  static constexpr Hash<&Package::section> by_section{"by_section"};
  static constexpr auto kIndexes = std::tuple(by_name, by_size, by_section);
};

struct Plain {
  std::int64_t id;
  std::string name;
  std::int64_t size;
  std::int64_t section;
};
namespace mi = boost::multi_index;
using Indexed =
    mi::multi_index_container<Plain, mi::indexed_by<mi::hashed_unique<mi::member<Plain, std::int64_t, &Plain::id>>,
                                                    mi::hashed_unique<mi::member<Plain, std::string, &Plain::name>>,
                                                    mi::ordered_non_unique<mi::member<Plain, std::int64_t, &Plain::size>>,
                                                    mi::hashed_non_unique<mi::member<Plain, std::int64_t, &Plain::section>>>>;

/// Ten objects are in each section.
struct Data {
  explicit Data(std::uint64_t n) {
    Random random(1);
    for (std::uint64_t i = 0; i < n; ++i) {
      names.push_back("package-" + std::to_string(i * 2'654'435'761 % 1'000'000'007));
      sizes.push_back(static_cast<std::int64_t>(random.below(1'000'000'000)));
      sections.push_back(static_cast<std::int64_t>(random.below(n / 10 + 1)));
    }
  }
  std::vector<std::string> names;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> sections;
};

double seconds_of(const std::function<void()>& work) {
  const auto begin = Clock::now();
  work();
  return static_cast<double>(ns_between(begin, Clock::now())) / 1e9;
}
double cpu_seconds_of_thread() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::atomic<std::int64_t> sink{0};  // What lookups find is used.

/// Nanoseconds a lookup, with `threads` of them at work. `look_up(random)` returns something of what it found.
template <typename LookUp>
double ns_per_lookup(unsigned threads, std::uint64_t lookups, const LookUp& look_up) {
  const double seconds = seconds_of([&] {
    std::vector<std::thread> all;
    for (unsigned i = 0; i < threads; ++i) {
      all.emplace_back([&, i] {
        Random random(i + 1);
        std::int64_t sum = 0;
        for (std::uint64_t done = 0; done < lookups; ++done) sum += look_up(random);
        sink += sum;
      });
    }
    for (std::thread& thread : all) thread.join();
  });
  return seconds * 1e9 / static_cast<double>(lookups);
}

struct HashById {
  using is_transparent = void;
  std::size_t operator()(DbId id) const { return absl::HashOf(id); }
  std::size_t operator()(const Package* package) const { return absl::HashOf(package->db_id()); }
};
struct EqualById {
  using is_transparent = void;
  bool operator()(const Package* a, const Package* b) const { return a->db_id() == b->db_id(); }
  bool operator()(const Package* package, DbId id) const { return package->db_id() == id; }
};

Json by_id(const Model& model, std::uint64_t n) {
  absl::flat_hash_set<const Package*, HashById, EqualById> bare;
  model.read().for_each<Package>([&](const Package& package) { bare.insert(&package); });
  const auto any = [n](Random& random) { return static_cast<DbId>(random.below(n) + 1); };
  Json json;
  for (const unsigned threads : {1U, 2U}) {
    const std::string suffix = threads == 1 ? "" : "_two_threads";
    json["bare" + suffix] = ns_per_lookup(threads, 2 * n, [&](Random& random) { return (*bare.find(any(random)))->size; });
    json["by_id" + suffix] = ns_per_lookup(threads, 2 * n, [&](Random& random) {
      const Reading now = model.read();
      return now.find(Id<Package>{any(random)})->size;
    });
  }
  json["held"] = ns_per_lookup(1, 2 * n, [&](Random& random) {
    const auto held = model.hold(Id<Package>{any(random)});
    return (*held)->size;
  });
  return json;
}

template <typename Found>
std::int64_t first_of(Found range) {
  for (const Package& package : range) return package.size;
  return 0;
}

Json by_indexes(const Model& model, const Indexed& peer, const Data& data) {
  const std::uint64_t n = data.names.size();
  Json json;
  json["name_peer"] = ns_per_lookup(1, n, [&](Random& random) { return peer.get<1>().find(data.names[random.below(n)])->size; });
  json["name"] = ns_per_lookup(1, n, [&](Random& random) {
    const Reading now = model.read();
    return now.find(Package::by_name, data.names[random.below(n)])->size;
  });
  json["size_peer"] =
      ns_per_lookup(1, n, [&](Random& random) { return peer.get<2>().lower_bound(data.sizes[random.below(n)])->section; });
  json["size"] = ns_per_lookup(1, n, [&](Random& random) {
    const Reading now = model.read();
    return first_of(now.equal(Package::by_size, data.sizes[random.below(n)]));
  });
  json["section_peer"] =
      ns_per_lookup(1, n, [&](Random& random) { return peer.get<3>().find(data.sections[random.below(n)])->size; });
  json["section"] = ns_per_lookup(1, n, [&](Random& random) {
    const Reading now = model.read();
    return first_of(now.equal(Package::by_section, data.sections[random.below(n)]));
  });
  return json;
}

/// Edits a second of the editor's own time, beside two readers.
double edits(Model& model, std::uint64_t n) {
  std::atomic<bool> ended{false};
  std::vector<std::thread> readers;
  for (std::uint64_t i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      Random random(i + 7);
      while (!ended) {
        const Reading now = model.read();
        sink += now.find(Id<Package>{static_cast<DbId>(random.below(n) + 1)})->section;
      }
    });
  }
  Random random(3);
  const double begin = cpu_seconds_of_thread();
  const std::uint64_t count = n / 4;
  for (std::uint64_t i = 0; i < count; ++i) {
    // Drops the answer: the id is there, and nothing that a rule looks at changes.
    model.edit(Id<Package>{static_cast<DbId>(random.below(n) + 1)}, [](Package& package) { package.size += 0; }).ignore_error();
  }
  const double rate = static_cast<double>(count) / (cpu_seconds_of_thread() - begin);
  ended = true;
  for (std::thread& reader : readers) reader.join();
  return rate;
}

std::string one_round(std::uint64_t n) {
  const Data data(n);
  Model model = Model::of<Package>();
  Json json;
  json["create_s"] = seconds_of([&] {
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto made = model.create<Package>([&](Package& package) {
        package.name = data.names[i];
        package.size = data.sizes[i];
        package.section = data.sections[i];
      });
      if (!made) std::abort();
    }
  });
  Indexed peer;
  json["create_peer_s"] = seconds_of([&] {
    for (std::uint64_t i = 0; i < n; ++i) {
      peer.insert({static_cast<std::int64_t>(i + 1), data.names[i], data.sizes[i], data.sections[i]});
    }
  });
  json["index_bytes"] = static_cast<double>(model.stats().classes[0].index_bytes) / static_cast<double>(n);
  json.update(by_id(model, n));
  json.update(by_indexes(model, peer, data));
  json["edits_per_s"] = edits(model, n);
  json["copy_s"] = seconds_of([&] { static_cast<void>(model.copy()); });
  return json.dump();
}

}  // namespace

std::string run(const ModelBench& bench) {
  std::map<std::string, Figures> figures;
  for (unsigned round = 0; round < bench.rounds; ++round) {
    const Json json = in_child([&] { return one_round(bench.n); });
    for (const auto& [name, value] : json.items()) figures[name].all.push_back(value.get<double>());
  }
  Json json;
  for (const auto& [name, values] : figures) json[name] = {{"median", values.median()}, {"spread", values.spread()}};
  const auto of = [&](const char* name) { return figures[name].median(); };
  std::printf("%lu objects, median of %u\n\n| | Model | peer | ratio | spread |\n|---|---|---|---|---|\n", bench.n, bench.rounds);
  const auto line = [&](const char* what, const char* ours, const char* peer, double unit) {
    std::printf("| %s | %.1f | %.1f | %.2f | %.0f %% |\n", what, of(ours) * unit, of(peer) * unit, of(ours) / of(peer),
                100 * figures[ours].spread());
  };
  line("lookup by id and pin, ns, beside a bare absl set of pointers", "by_id", "bare", 1);
  line("the same, two threads", "by_id_two_threads", "bare_two_threads", 1);
  line("Held, ns, beside the same", "held", "bare", 1);
  line("by a unique string, ns, beside boost::multi_index", "name", "name_peer", 1);
  line("first of a sorted range, ns", "size", "size_peer", 1);
  line("first of ten with one integer, ns", "section", "section_peer", 1);
  line("create, three indexes, s", "create_s", "create_peer_s", 1);
  std::printf("| edits a second of the editor's CPU, beside two readers | %.0f | | | %.0f %% |\n", of("edits_per_s"),
              100 * figures["edits_per_s"].spread());
  std::printf("| copy, s, beside creating | %.3f | %.3f | %.3f | %.0f %% |\n", of("copy_s"), of("create_s"),
              of("copy_s") / of("create_s"), 100 * figures["copy_s"].spread());
  std::printf("| bytes an object of main set and three indexes | %.1f | | | |\n", of("index_bytes"));
  return json.dump();
}

}  // namespace cairn::bench
