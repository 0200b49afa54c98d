// A manifest with something of everything.
#pragma once
#include "directory/manifest.h"

namespace cairn::test {

inline directory::Manifest example_manifest() {
  directory::Manifest manifest{.epoch = 3,
                               .version = 7,
                               .database = {1, ~std::uint64_t{0}},
                               .hash_seed = 5,
                               .next_file = 9,
                               .next_view = 2,
                               .version_ceiling = 100,
                               .stamp_ceiling = 200,
                               .clock_ms = 300,
                               .views = {}};
  directory::FamilyEntry main{.name = "main",
                              .number = 0,
                              .compression = sealed::Compression::kLz4,
                              .ttl_ms = 5000,
                              .indexes = {{.name = "section", .key_bytes = 16, .extractor = "json:/Section"}},
                              .runs = {}};
  main.runs.push_back(
      {.files = {"4-2-0000abcd.sealed", "7-3-0000abcd.sealed"}, .version_first = 1, .version_last = 9, .from = {}, .starts = {}});
  main.runs.push_back(
      {.files = {"3-2-0000abcd.sealed"}, .version_first = 2, .version_last = 8, .from = Bytes("k\xff", 2), .starts = {}});
  main.runs.push_back({.files = {"1-1-0000abcd.sealed", "2-1-0000abcd.sealed"},
                       .version_first = 10,
                       .version_last = 12,
                       .from = {},
                       .starts = {Bytes("m\0", 2)}});
  manifest.views.push_back({.name = "users",
                            .kind = "table",
                            .number = 1,
                            .families = {main, {.name = "side", .number = 1, .indexes = {}, .runs = {}}},
                            .log = {{.file = "5-3-0000abce.segment", .state = directory::SegmentState::kEnded, .end = 4096},
                                    {.file = "6-3-0000abcf.segment", .durable_end = 256}},
                            .large = {{.file = "8-3-0000abd0.segment", .end = 4096, .pending = true}}});
  return manifest;
}

}  // namespace cairn::test
