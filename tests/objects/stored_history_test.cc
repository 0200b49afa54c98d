// The property of objects/history.h, for a Model with a store: in memory, where replies get lost, and in a table on the simulated
// disk, which is cut off at any I/O. Property: a reload gives the Model as it was at one change, not before the last that was
// confirmed; and saves, well or not, change no answer of a lookup.
// A failure prints its seed; CAIRN_SEED=<seed> replays it step for step.
#include "objects/history.h"
#include "objects/stored_model.h"
#include "support/workload.h"

namespace cairn::test {
namespace {

Plain plain_of(const cairn::Model& model) {
  Plain found;
  const Reading now = model.read();
  now.for_each<Item>([&](const Item& each) { found.items[each.db_id()] = plain(each); });
  now.for_each<Link>([&](const Link& each) { found.children[each.db_id()] = plain(each); });
  return found;
}

class StoredHistory : public History {
 public:
  explicit StoredHistory(std::uint64_t seed) : History(seed) {}

  void reopen() {
    model_.reset();
    restart();
    auto opened = StoredModel::open(make_store(), clock_, {.dirty_bytes_max = 20'000});
    ASSERT_OK(opened);
    model_ = *std::move(opened);
    const std::uint64_t change = model_->last_change().number;
    expect_state(*model_, confirmed_);
    if (testing::Test::HasFatalFailure()) return;
    plain_ = states_[change];
    states_.erase(states_.upper_bound(change), states_.end());
    confirmed_ = change;
  }
  void end() { model_.reset(); }

 protected:
  virtual std::unique_ptr<Store> make_store() = 0;
  /// The process or the machine starts anew.
  virtual void restart() = 0;
  /// Makes the next save fail, perhaps after it was stored.
  virtual void break_store() = 0;
  virtual void mend_store() = 0;

  /// `model` was loaded: it is the state after a change that is not before `least`.
  void expect_state(const cairn::Model& model, std::uint64_t least) {
    const std::uint64_t change = model.last_change().number;
    ASSERT_GE(change, least);
    ASSERT_TRUE(states_.contains(change)) << change;
    const Plain found = plain_of(model);
    ASSERT_TRUE(found == states_[change]) << "change " << change;
    ASSERT_TRUE(model.check().empty());
  }
  void saved() {
    confirmed_ = model_->saver().stats().saved_change.number;
    states_.erase(states_.begin(), states_.lower_bound(confirmed_));
  }

  Random dice_{random_.next()};
  SimulatedClock clock_;
  std::unique_ptr<StoredModel> model_;
  std::map<std::uint64_t, Plain> states_{{0, {}}};
  std::uint64_t confirmed_ = 0;

 private:
  [[nodiscard]] cairn::Model& model() override { return *model_; }
  void committed(Change change) override { states_[change.number] = plain_; }
  void store() override {
    switch (dice_.below(8)) {
      case 0:
        break_store();
        // It may fail.
        model_->saver().flush().ignore_error();
        mend_store();
        saved();
        break;
      case 1: reopen(); break;
      case 2:
        ASSERT_OK(model_->saver().close());
        saved();
        reopen();
        break;
      case 3:
        ASSERT_OK(model_->saver().flush());
        saved();
        break;
      default:
        clock_.advance_ms(static_cast<std::int64_t>(dice_.below(40)));
        ASSERT_OK(model_->saver().save_as_needed());
        saved();
    }
  }
};

class InFakeStore final : public StoredHistory {
 public:
  using StoredHistory::StoredHistory;

 private:
  std::unique_ptr<Store> make_store() override { return std::make_unique<FakeStore>(disk_); }
  void restart() override {}
  void break_store() override {
    disk_.loses_replies = dice_.below(2) == 0;
    disk_.down = dice_.below(2) == 0;
    if (dice_.below(3) == 0) disk_.during_commit = [this] { disk_.down = true; };
  }
  void mend_store() override {
    disk_.loses_replies = false;
    disk_.down = false;
    disk_.during_commit = nullptr;
  }

  FakeDisk disk_;
};

class InTable final : public StoredHistory {
 public:
  using StoredHistory::StoredHistory;
  ~InTable() override { end(); }
  std::uint64_t cuts = 0;

 private:
  std::unique_ptr<Store> make_store() override { return objects::make_table_store(process_->table()); }
  void restart() override {
    if (process_ && dice_.below(2) == 0) process_->run_jobs();
    auto next = !process_             ? std::make_unique<storage::SimulatedDisk>(dice_.next())
                : dice_.below(2) == 0 ? disk_->crashed(dice_.next())
                                      : disk_->killed();
    process_.reset();
    disk_ = std::move(next);
    process_ = std::make_unique<Process>(*disk_, clock_);
    ASSERT_OK(process_->open());
  }
  /// At some I/O of the save the power is cut, in another world; or the I/O fails, in this one, and a restart follows.
  void break_store() override {
    const std::uint64_t at = dice_.below(8);
    const bool fails = dice_.below(4) == 0;
    broken_ = fails;
    disk_->set_hook([this, at, fails, from = disk_->io_count()](storage::Io, const std::string&, std::uint64_t number) {
      if (number - from >= at && fails) return Result<void>(std::unexpected(Error{ErrorCode::kIo, "injected"}));
      const std::uint64_t seed = dice_.next();
      ++cuts;
      aside([&, crashed = std::shared_ptr<storage::SimulatedDisk>(disk_->crashed(seed))] {
        SimulatedClock clock;
        Process process(*crashed, clock);
        ASSERT_OK(process.open());
        auto opened = StoredModel::open(objects::make_table_store(process.table()), clock);
        ASSERT_OK(opened);
        expect_state(**opened, confirmed_);
      });
      return Result<void>{};
    });
  }
  void mend_store() override {
    disk_->set_hook(nullptr);
    if (!broken_) return;
    // A log that could not be synced takes no more writes until it is opened anew.
    saved();
    reopen();
  }

  std::unique_ptr<storage::SimulatedDisk> disk_;
  std::unique_ptr<Process> process_;
  bool broken_ = false;
};

TEST(StoredHistory, AFailingStoreLosesNothing) {
  for (const std::uint64_t seed : seeds_to_run(sample(10, 200))) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    InFakeStore history(seed);
    history.reopen();
    history.run(2000);
    if (testing::Test::HasFatalFailure()) return;
    EXPECT_GT(history.refused(), 100);
  }
}

TEST(StoredHistory, ATableIsTheModelAtOneChange) {
  std::uint64_t cuts = 0;
  for (const std::uint64_t seed : seeds_to_run(sample(10, 200))) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    InTable history(seed);
    history.reopen();
    history.run(2000);
    if (testing::Test::HasFatalFailure()) return;
    cuts += history.cuts;
  }
  EXPECT_GT(cuts, 10U);
}

}  // namespace
}  // namespace cairn::test
