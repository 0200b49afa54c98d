// Model: the list of all saves, and the intervals that were rolled back. Property: after any mix of saves, erases, batches, clock
// jumps both ways, timeouts by the millisecond, closed blocks, both housekeeping jobs (interleaved, and stopped half-way by an
// error), rollbacks, undos, confirmations, crashes and reopens, every way of reading says what the model says, and a watch that
// was there all the time has told the same. After a crash the timeline is the model after the first n writes, for an n not below
// the last one acknowledged as kDisk. A failure prints its seed; CAIRN_SEED=<seed> replays it step for step.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>

#include "support/timeline_model.h"

namespace cairn::test {
namespace {

constexpr int kSteps = 2000;
constexpr std::int64_t kTimeoutMs = 900;
constexpr std::int64_t kUndoMs = 400;

struct TimelineHistory {
  explicit TimelineHistory(std::uint64_t the_seed)
      : seed(the_seed), random(seed), disk(std::make_unique<storage::SimulatedDisk>(random.next())) {
    model.timeout_ms = kTimeoutMs;
    model.persist = seed % 2 == 0;
  }

  [[nodiscard]] std::int64_t now_ms() const { return clock.wall_ms(); }

  // The world.
  void open() {
    process = std::make_unique<Process>(*disk, clock);
    process->timeline_tuning.cycle_blocks_max = 1 + random.below(3);
    process->timeline_tuning.indexes_max = 2 + random.below(3);
    process->timeline_tuning.indexes_in_burst = random.below(10);
    process->timeline_tuning.open_blocks_in_burst = random.below(2);
    process->timeline_tuning.collect_step_saves = 1 + random.below(20);
    process->timeline_tuning.collected_keys_max = 2 + random.below(30);
    process->timeline_tuning.index_bytes_max = random.one_in(3) ? 64 * kKiB : 512 * kMiB;
    ASSERT_OK(process->open());
    TimelineOptions options{.timeout = std::chrono::milliseconds(kTimeoutMs),
                            .expired = model.persist ? Expired::kPersist : Expired::kDrop,
                            .block_keys_max = 4 + random.below(30),
                            .block_bytes_max = (4 * kKiB) << random.below(3),
                            .block_span_max = std::chrono::milliseconds(20 + random.below(300)),
                            .undo_time = std::chrono::milliseconds(kUndoMs)};
    auto opened = process->database().timeline("main", options);
    ASSERT_OK(opened);
    impl = *opened;
    timeline.emplace(impl);
    open_wall_ms = clock.wall_ms();
    open_boot_ms = clock.boot_ms();
    watch.emplace(timeline->watch("", kBeginning));
    watched.clear();
  }
  void end_process() {
    watch.reset();
    timeline.reset();
    impl.reset();
    process.reset();
  }
  /// What jobs may have done by now: never more than elapsed time confirms.
  void look_at_jobs() {
    confirmed_ms = std::max(confirmed_ms, std::min(now_ms(), open_wall_ms + clock.boot_ms() - open_boot_ms));
    const auto line_up = impl->line_up();
    model.main_after = line_up->main_after;
    ASSERT_LE(ms_of(model.main_after), confirmed_ms - kTimeoutMs);
    for (TimelineModel::Rollback& each : model.rollbacks) {
      if (each.undone || each.undo_until_ms == 0) continue;
      // Where it leads may lie in what was rolled back before and is forgotten: `to` need not be the same.
      const bool undoable = std::ranges::any_of(line_up->rollbacks, [&](const auto& note) {
        return note.until == each.until && note.undo_until_ms == each.undo_until_ms;
      });
      if (undoable) continue;
      ASSERT_LE(each.undo_until_ms, confirmed_ms);
      each.undo_until_ms = 0;
    }
  }

  std::string key() {
    const std::uint64_t n = random.below(40);
    if (n % 3 == 0) return "mail:" + std::to_string(n % 2) + ":" + std::to_string(n);
    return n % 3 == 1 ? "note:" + std::to_string(n) : "k" + std::to_string(n);
  }
  std::string prefix() {
    constexpr std::array<const char*, 6> kPrefixes = {"", "mail:", "mail:1:", "note:", "k1", "none"};
    return random.one_in(4) ? key() : kPrefixes[random.below(kPrefixes.size())];
  }
  std::uint64_t moment() {
    if (random.one_in(4) || model.saves.empty())
      return first_of_ms(now_ms() + 20 - static_cast<std::int64_t>(random.below(kTimeoutMs + 60)));
    const std::uint64_t stamp =
        model.saves[model.saves.size() - 1 - random.below(std::min<std::size_t>(model.saves.size(), 200))].stamp;
    return stamp + random.below(3) - 1;
  }
  std::optional<Time> random_time() {
    if (random.one_in(3)) return std::nullopt;
    return Time(std::chrono::milliseconds(now_ms() + static_cast<std::int64_t>(random.below(2000)) - 300));
  }
  void write() {
    std::map<std::string, TimelineModel::Save> made;
    std::map<std::string, std::int64_t> expiries;  // Of their own.
    Saves batch;
    SaveOptions options;
    options.durability = random.one_in(3) ? Durability::kDisk : Durability::kKernel;
    options.keep_empty = random.one_in(2);
    if (random.one_in(6)) options.expires_after = std::chrono::milliseconds(1 + random.below(1200));
    if (random.one_in(150)) {
      batch.put("k1", "lost");
      batch.erase_all();
      made[""] = {.key = "", .data = {}};
    }
    const std::uint64_t count = random.one_in(6) ? 1 + random.below(6) : 1;
    for (std::uint64_t i = 0; i < count; ++i) {
      TimelineModel::Save save{.key = key(), .data = {}};
      if (random.one_in(4)) {
        batch.erase(save.key);
        expiries.erase(save.key);
      } else if (random.one_in(4)) {
        const auto when = random_time();
        if (may_be_gone(model.last_save(save.key))) continue;
        batch.set_expiry(save.key, when);
        expiries[save.key] = when ? when->time_since_epoch().count() : 0;
        if (made.contains(save.key) || made.contains("")) continue;
        const auto last = model.last_save(save.key);
        if (!model.is_there(last, clock.wall_ms())) continue;
        save.changed = last->stamp;
        save.data = "";
      } else {
        save.data =
            std::string(random.one_in(8) ? random.below(1500) : random.below(60), static_cast<char>('a' + random.below(26)));
        const auto expires = random.one_in(6) ? random_time() : std::nullopt;
        batch.put(save.key, *save.data, expires);
        expiries.erase(save.key);
        if (expires) expiries[save.key] = expires->time_since_epoch().count();
        if (save.data->empty() && !options.keep_empty) save.data.reset();
      }
      made[save.key] = save;
    }
    if (batch.empty()) return;
    const std::string one = made.empty() || made.contains("") ? "" : made.begin()->first;
    const auto changed_before = timeline->changed(one.empty() ? "none" : one);
    ASSERT_OK(changed_before);
    const std::int64_t made_ms = now_ms();
    const auto stamp = random.one_in(3) ? apply_and_settle(batch, options) : timeline->write(batch, options);
    if (made.empty()) {
      ASSERT_EQ(stamp.has_value() ? ErrorCode::kIo : stamp.error().code, ErrorCode::kNotFound);
      return;
    }
    ASSERT_OK(stamp);
    ASSERT_GT(stamp->value, model.last_stamp);
    model.last_stamp = stamp->value;
    const auto changed = timeline->changed(one.empty() ? "none" : one);
    ASSERT_OK(changed);
    ASSERT_EQ(*changed != *changed_before, !one.empty());
    for (auto& [k, save] : made) {
      save.stamp = stamp->value;
      if (save.data && options.expires_after.count() != 0) save.expiry_ms = made_ms + options.expires_after.count();
      if (save.data && expiries.contains(k)) save.expiry_ms = expiries[k];
      model.saves.push_back(save);
    }
    if (options.durability == Durability::kDisk) acknowledged = model.last_stamp;
  }
  /// Many puts, each a write of its own.
  void write_each() {
    SaveOptions options;
    options.durability = random.one_in(3) ? Durability::kDisk : Durability::kKernel;
    options.keep_empty = random.one_in(2);
    if (random.one_in(6)) options.expires_after = std::chrono::milliseconds(1 + random.below(1200));
    std::vector<std::pair<std::string, std::string>> given(1 + random.below(70));
    for (auto& [k, data] : given) {
      k = key();
      data = std::string(random.below(60), static_cast<char>('a' + random.below(26)));
    }
    const std::vector<Timeline::Put> puts = [&] {
      std::vector<Timeline::Put> all;
      for (const auto& [k, data] : given) all.push_back({k, data});
      return all;
    }();
    const std::int64_t made_ms = now_ms();
    const auto applied = timeline->apply_each(puts, options);
    ASSERT_OK(applied);
    ASSERT_OK(timeline->settle(*applied));
    ASSERT_GE(applied->stamp.value, model.last_stamp + given.size());
    std::uint64_t stamp = applied->stamp.value - given.size();
    for (const auto& [k, data] : given) {
      TimelineModel::Save save{.key = k, .data = data};
      save.stamp = ++stamp;
      if (data.empty() && !options.keep_empty) save.data.reset();
      if (save.data && options.expires_after.count() != 0) save.expiry_ms = made_ms + options.expires_after.count();
      model.saves.push_back(save);
    }
    model.last_stamp = applied->stamp.value;
    if (options.durability == Durability::kDisk) acknowledged = model.last_stamp;
  }
  /// As the server does: what is applied is there for its writer at once, for all others when it is settled.
  Result<Stamp> apply_and_settle(const Saves& batch, const SaveOptions& options) {
    const std::string k = key();
    const auto before = timeline->info(k);
    CAIRN_TRY_VOID(before);
    CAIRN_TRY(applied, timeline->apply(batch, options));
    const auto meanwhile = timeline->info(k);
    CAIRN_TRY_VOID(meanwhile);
    if (options.durability == Durability::kDisk) {
      EXPECT_EQ(meanwhile->has_value() ? (*meanwhile)->stamp : Stamp{}, before->has_value() ? (*before)->stamp : Stamp{});
    }
    const auto at_once = timeline->info(k, Sees::kApplied);
    CAIRN_TRY_VOID(at_once);
    CAIRN_TRY_VOID(timeline->settle(applied));
    const auto settled = timeline->info(k);
    CAIRN_TRY_VOID(settled);
    EXPECT_EQ(at_once->has_value(), settled->has_value());
    if (*at_once && *settled) {
      EXPECT_EQ((*at_once)->stamp, (*settled)->stamp);
    }
    return applied.stamp;
  }
  void roll_back() {
    const std::uint64_t wanted = moment();
    const bool as_time = random.one_in(2);
    const std::uint64_t to = as_time ? wanted | 0xffffU : wanted;
    const bool refused = ms_of(to) < now_ms() - kTimeoutMs || to < model.main_after;
    const std::size_t notes_before = impl->line_up()->rollbacks.size();
    const auto done = as_time ? timeline->rollback(Time(std::chrono::milliseconds(ms_of(wanted))), {.force = true})
                              : timeline->rollback(Stamp{wanted}, {.force = true});
    ASSERT_EQ(done.has_value(), !refused) << describe(done);
    if (refused) {
      ASSERT_EQ(done.error().code, ErrorCode::kInvalidArgument);
      return;
    }
    acknowledged = model.last_stamp;
    const std::uint64_t stays = model.not_rolled_back(std::min(to, model.last_stamp));
    // Where the note of an earlier one is forgotten, as all it concerned is gone, it may not be seen that nothing came after.
    const bool noted = impl->line_up()->rollbacks.size() != notes_before;
    ASSERT_TRUE(noted || stays >= model.not_rolled_back(model.last_stamp));
    if (!noted) return;
    model.rollbacks.push_back({.to = stays, .until = model.last_stamp, .undo_until_ms = now_ms() + kUndoMs});
  }
  void undo() {
    look_at_jobs();
    const auto last = std::find_if(model.rollbacks.rbegin(), model.rollbacks.rend(), [&](const TimelineModel::Rollback& each) {
      return !each.undone && each.undo_until_ms > now_ms();
    });
    const bool discard = random.one_in(2);
    const auto done = timeline->undo(discard);
    if (last == model.rollbacks.rend()) {
      ASSERT_EQ(done.has_value() ? ErrorCode::kIo : done.error().code, ErrorCode::kNotFound);
      return;
    }
    const bool since = model.not_rolled_back(model.last_stamp) > last->until;
    if (since && !discard) {
      ASSERT_EQ(done.has_value() ? ErrorCode::kIo : done.error().code, ErrorCode::kConflict);
      return;
    }
    ASSERT_OK(done);
    acknowledged = model.last_stamp;
    const std::uint64_t until = last->until;
    last->undone = true;
    if (since) model.rollbacks.push_back({.to = until, .until = model.last_stamp, .undo_until_ms = 0});
  }
  void crash() {
    const bool power_cut = random.one_in(2);
    auto next = power_cut ? disk->crashed(random.next()) : disk->killed();
    end_process();
    disk = std::move(next);
    open();
    if (testing::Test::HasFatalFailure()) return;
    const std::uint64_t survived = impl->read_view().visible;
    ASSERT_GE(survived, power_cut ? acknowledged : model.last_stamp);
    while (!model.saves.empty() && model.saves.back().stamp > survived) model.saves.pop_back();
    ASSERT_TRUE(survived == acknowledged || (!model.saves.empty() && model.saves.back().stamp == survived)) << survived;
    model.last_stamp = survived;
    acknowledged = survived;  // Read after an open: durable from now on.
  }
  /// A job that finds no room for one of its files: what it has done so far stays.
  void keep_house_half() {
    std::uint64_t creates = random.below(3);
    disk->set_hook([&creates](storage::Io io, const std::string&, std::uint64_t) -> Result<void> {
      if (io != storage::Io::kCreate || creates-- != 0) return {};
      return std::unexpected(Error{ErrorCode::kNoSpace, "injected", "", 0});
    });
    const auto done = timeline->housekeep(true);
    disk->set_hook(nullptr);
    if (!done) {
      ASSERT_EQ(done.error().code, ErrorCode::kNoSpace) << describe(done);
    }
  }

  /// A clock that stepped back makes what had expired by itself look alive; what a cycle has dropped by then stays away.
  [[nodiscard]] bool may_be_gone(const std::optional<TimelineModel::Save>& last) const {
    return last && last->expiry_ms != 0 && last->expiry_ms <= confirmed_ms && last->stamp <= model.main_after;
  }

  // Checks.
  void check_get() {
    const std::string k = key();
    const auto hit = timeline->get(k);
    ASSERT_OK(hit);
    const auto wanted = model.get(k, clock.wall_ms());
    const auto last = model.last_save(k);
    const auto info = timeline->info(k);
    ASSERT_OK(info);
    ASSERT_EQ(info->has_value(), hit->has_value());
    if (!hit->has_value() && may_be_gone(last)) return;
    ASSERT_EQ(hit->has_value(), wanted.has_value()) << k;
    if (wanted) {
      ASSERT_EQ((*hit)->view(), *wanted) << k;
      ASSERT_EQ((*info)->stamp.value, last->stamp) << k;
      ASSERT_EQ((*info)->expires ? (*info)->expires->time_since_epoch().count() : 0, last->expiry_ms) << k;
    }
  }
  /// Many at once are as each by itself.
  void check_multi_get() {
    std::vector<std::string> names;
    for (std::uint64_t i = random.below(8); i != 0; --i) names.push_back(key());
    const std::vector<ByteView> views(names.begin(), names.end());
    const auto hits = timeline->multi_get(views);
    ASSERT_OK(hits);
    ASSERT_EQ(hits->size(), names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto one = timeline->get(names[i]);
      ASSERT_OK(one);
      ASSERT_EQ((*hits)[i].has_value(), one->has_value()) << names[i];
      if (*one) {
        ASSERT_EQ((*hits)[i]->view(), (*one)->view()) << names[i];
      }
    }
  }
  void check_get_at() {
    const std::string k = key();
    const std::uint64_t at = moment();
    const auto hit = timeline->get_at(k, Stamp{at});
    ASSERT_OK(hit);
    const auto wanted = model.get_at(k, at, clock.wall_ms());
    ASSERT_EQ(hit->has_value(), wanted.has_value()) << k << " at " << at;
    if (wanted) {
      ASSERT_EQ((*hit)->view(), *wanted) << k << " at " << at;
    }
  }
  void check_lists() {
    const std::uint64_t from = random.one_in(3) ? 0 : moment();
    const std::uint64_t to = random.one_in(3) ? ~std::uint64_t{0} : moment();
    const std::uint64_t limit = random.one_in(3) ? 1 + random.below(4) : 0;
    const std::string p = prefix();
    auto wanted = model.keys(p, from, to, clock.wall_ms());
    if (limit != 0 && wanted.size() > limit) wanted.resize(limit);
    const auto keys = lines_of(timeline->keys(p, Stamp{from}, Stamp{to}, limit));
    ASSERT_OK(keys);
    ASSERT_EQ(*keys, wanted) << "keys " << p << " from " << from << " to " << to;
    check_present(p);
    if (testing::Test::HasFatalFailure()) return;
    const std::string k = key();
    wanted = model.list(k, true, from, to, clock.wall_ms());
    if (limit != 0 && wanted.size() > limit) wanted.resize(limit);
    const auto history = lines_of(timeline->history(k, Stamp{from}, Stamp{to}, limit));
    ASSERT_OK(history);
    ASSERT_EQ(*history, wanted) << "history of " << k;
  }
  /// The walk by key finds what get() finds, which is held against the model by itself.
  void check_present(const std::string& p) {
    std::set<std::string> named;
    for (const TimelineModel::Save& save : model.saves) named.insert(save.key);
    named.erase("");
    const std::string from = random.one_in(2) ? key() : "";
    std::vector<std::string> wanted;
    std::size_t all = 0;
    for (const std::string& k : named) {
      const auto hit = timeline->get(k);
      ASSERT_OK(hit);
      all += *hit ? 1 : 0;
      if (*hit && k.starts_with(p) && k >= from) wanted.push_back(k);
    }
    std::vector<std::string> found;
    SaveList list = timeline->present(p, from);
    for (const auto entry : list) {
      found.emplace_back(entry.key);
      const auto data = list.data();
      ASSERT_OK(data);
      const auto hit = timeline->get(entry.key);
      ASSERT_TRUE(hit && *hit && (*hit)->view() == data->view()) << entry.key;
    }
    ASSERT_OK(list.status());
    ASSERT_EQ(found, wanted) << "present " << p << " from " << from;
    // A save that has expired may be counted for 128 ms longer, even if its key was saved again.
    std::size_t most = all;
    for (const TimelineModel::Save& save : model.saves) {
      std::int64_t ends_ms = model.persist ? std::numeric_limits<std::int64_t>::max() : ms_of(save.stamp) + kTimeoutMs;
      if (save.expiry_ms != 0) ends_ms = std::min(ends_ms, save.expiry_ms);
      most += save.data && ends_ms > now_ms() - 128 && ends_ms <= now_ms() ? 1 : 0;
    }
    const auto count = timeline->key_counts();
    ASSERT_OK(count);
    ASSERT_GE(count->keys, all);
    ASSERT_LE(count->keys, most);
    const auto chosen = timeline->random_key(random.next());
    ASSERT_OK(chosen);
    ASSERT_EQ(chosen->has_value(), all != 0);
    if (*chosen) {
      const auto hit = timeline->get(**chosen);
      ASSERT_TRUE(hit && *hit) << **chosen;
    }
  }
  /// What a watch has told amounts to what there is.
  void check_watch(Watch& of, std::vector<SaveLine>& told, const std::string& p, std::uint64_t from) {
    while (true) {
      auto event = of.next(std::chrono::milliseconds(0));
      ASSERT_OK(event);
      if (!*event) break;
      WatchEvent& e = **event;
      switch (e.kind) {
        case WatchEvent::Kind::kSaved: told.emplace_back(e.stamp.value, e.key, Bytes(e.data.view())); break;
        case WatchEvent::Kind::kErased:
        case WatchEvent::Kind::kErasedAll: told.emplace_back(e.stamp.value, e.key, std::nullopt); break;
        case WatchEvent::Kind::kRolledBack:
          std::erase_if(told, [&](const SaveLine& line) { return std::get<0>(line) > e.stamp.value; });
          break;
        case WatchEvent::Kind::kMissed: break;
      }
    }
    const std::uint64_t first = std::max(from, model.main_first(clock.wall_ms()));
    // The model's main line may have grown again by a clock that stepped back; what was missed meanwhile stays so.
    std::vector<SaveLine> recent;
    std::ranges::copy_if(told, std::back_inserter(recent), [&](const SaveLine& line) { return std::get<0>(line) >= first; });
    const auto wanted = model.list(p, false, from, ~std::uint64_t{0}, clock.wall_ms());
    if (stepped_back) {
      for (const SaveLine& line : recent) ASSERT_TRUE(std::ranges::binary_search(wanted, line));
    } else {
      ASSERT_EQ(recent, wanted);
    }
  }
  void check_reads() {
    look_at_jobs();
    check_get();
    check_multi_get();
    check_get_at();
    if (!random.one_in(8)) return;
    check_lists();
    check_watch(*watch, watched, "", 0);
    const std::string p = prefix();
    const std::uint64_t from = moment();
    Watch fresh = timeline->watch(p, Stamp{from});
    std::vector<SaveLine> told;
    check_watch(fresh, told, p, from);
  }
  void step() {
    const std::uint64_t dice = random.below(100);
    clock.advance_ms(static_cast<std::int64_t>(random.below(12)));
    if (dice < 70) {
      write();
    } else if (dice < 72) {
      write_each();
    } else if (dice < 74) {
      clock.advance_ms(static_cast<std::int64_t>(random.below(400)));
    } else if (dice == 74) {
      const auto ms = static_cast<std::int64_t>(random.below(1500)) - 700;
      clock.step_wall_ms(ms);
      stepped_back = stepped_back || ms < 0;
    } else if (dice < 82) {
      process->run_jobs();
    } else if (dice < 85) {
      ASSERT_OK(timeline->close_block());
      acknowledged = model.last_stamp;
    } else if (dice < 88) {
      ASSERT_OK(timeline->housekeep(random.one_in(2)));
    } else if (dice == 88) {
      keep_house_half();
    } else if (dice < 92) {
      roll_back();
    } else if (dice < 94) {
      undo();
    } else if (dice == 94) {
      ASSERT_OK(timeline->confirm());
      for (TimelineModel::Rollback& each : model.rollbacks) each.undo_until_ms = 0;
    } else if (dice == 95) {
      ASSERT_OK(process->close());
      end_process();
      open();
      acknowledged = model.last_stamp;
    } else if (dice == 96) {
      crash();
    }
    if (testing::Test::HasFatalFailure()) return;
    check_reads();
  }

  const std::uint64_t seed;
  Random random;
  SimulatedClock clock;
  std::unique_ptr<storage::SimulatedDisk> disk;
  std::unique_ptr<Process> process;
  std::shared_ptr<timeline::TimelineImpl> impl;
  std::optional<Timeline> timeline;
  std::optional<Watch> watch;
  std::vector<SaveLine> watched;
  TimelineModel model;
  std::uint64_t acknowledged = 0;  // Saves up to it must survive.
  std::int64_t confirmed_ms = 0;
  std::int64_t open_wall_ms = 0;
  std::int64_t open_boot_ms = 0;
  bool stepped_back = false;
};

void run_history(std::uint64_t seed) {
  SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
  TimelineHistory history(seed);
  history.open();
  for (int step = 0; step < kSteps; ++step) {
    if (testing::Test::HasFatalFailure()) return;
    SCOPED_TRACE("step " + std::to_string(step));
    history.step();
  }
  const Result<VerifyReport> report = history.process->database().verify({});
  ASSERT_OK(report);
  EXPECT_TRUE(report->damages.empty()) << report->damages[0].to_string();
  history.end_process();
}

TEST(TimelineModel, ReadsLikeAListOfSavesAcrossCrashes) {
  for (const std::uint64_t seed : seeds_to_run(sample(100, 1000))) {
    run_history(seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace cairn::test
