// A manifest with something of everything.
#pragma once
#include "directory/manifest.h"

namespace cairn::test {

inline directory::ViewEntry example_timeline() {
  return {.name = "events",
          .kind = "timeline",
          .number = 2,
          .families = {},
          .log = {{.file = "20-3-0000abcf.segment", .durable_end = 256}},
          .timeline = directory::TimelineEntry{.timeout_ms = 86'400'000,
                                               .persist = true,
                                               .block_keys_max = 1000,
                                               .block_bytes_max = 65'536,
                                               .block_span_ms_max = 3'600'000,
                                               .undo_ms = 60'000,
                                               .given_until = 5,
                                               .main_after = 30,
                                               .cycle_until = 25,
                                               .cycled_bytes = 7,
                                               .blocks = {{.file = "11-3-0000abcf.segment",
                                                           .line = directory::Line::kNext,
                                                           .end = 4096,
                                                           .stamp_first = 10,
                                                           .stamp_last = 14,
                                                           .saves = 3},
                                                          {.file = "12-3-0000abcf.segment",
                                                           .line = directory::Line::kPersistent,
                                                           .end = 4096,
                                                           .stamp_first = 20,
                                                           .stamp_last = 25,
                                                           .saves = 4},
                                                          {.file = "13-3-0000abcf.segment",
                                                           .line = directory::Line::kMain,
                                                           .end = 8192,
                                                           .stamp_first = 31,
                                                           .stamp_last = 31,
                                                           .saves = 1},
                                                          {.file = "14-3-0000abcf.segment",
                                                           .line = directory::Line::kMain,
                                                           .end = 8192,
                                                           .stamp_first = 32,
                                                           .stamp_last = 40,
                                                           .saves = 9}},
                                               .indexes = {{.file = "15-3-0000abcf.sealed", .blocks = {11}},
                                                           {.file = "16-3-0000abcf.sealed", .blocks = {12, 13}},
                                                           {.file = "17-3-0000abcf.sealed", .blocks = {14}}},
                                               .rollbacks = {{.to = 33, .until = 36, .undo_until_ms = 0},
                                                             {.to = 38, .until = 41, .undo_until_ms = 1'700'000'000'000}}}};
}

inline directory::ViewEntry example_forks() {
  return {
      .name = "bank",
      .kind = "forks",
      .number = 3,
      .families = {},
      .log = {{.file = "18-3-0000abcf.segment", .state = directory::SegmentState::kEnded, .end = 4096, .root = 2, .as_of = 17},
              {.file = "19-3-0000abcf.segment", .durable_end = 512, .writer = 1},
              {.file = "22-3-0000abcf.segment", .state = directory::SegmentState::kEnded, .end = 4096},
              {.file = "23-3-0000abcf.segment", .durable_end = 256}},
      .forks = directory::ForksEntry{.forks = {{.number = 4, .parent = 4, .frozen = true, .since = 10},
                                               {.number = 6, .parent = 4, .frozen = true, .since = 14},
                                               {.number = 9, .parent = 6, .since = 30}},
                                     .purged = {{.fork = 3, .since = 4, .until = 8}, {.fork = 7, .since = 20, .until = 40}},
                                     .index = {"21-3-0000abcf.sealed"}}};
}

inline directory::Manifest example_manifest() {
  directory::Manifest manifest{.epoch = 3,
                               .version = 7,
                               .database = {1, ~std::uint64_t{0}},
                               .hash_seed = 5,
                               .next_file = 24,
                               .next_view = 4,
                               .version_ceiling = 100,
                               .stamp_ceiling = 200,
                               .clock_ms = 300,
                               .roots = {"/drives/a", "/drives/b"},
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
  manifest.views.push_back(example_timeline());
  manifest.views.push_back(example_forks());
  return manifest;
}

}  // namespace cairn::test
