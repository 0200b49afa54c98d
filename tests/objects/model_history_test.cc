// The property of objects/history.h, for a Model in memory.
// A failure prints its seed; CAIRN_SEED=<seed> replays it step for step.
#include "objects/history.h"

namespace cairn::test {
namespace {

class InMemory final : public History {
 public:
  using History::History;

 private:
  [[nodiscard]] cairn::Model& model() override { return model_; }
  cairn::Model model_ = cairn::Model::of<Item, Link>();
};

TEST(ModelHistory, AnswersAsAScanDoes) {
  for (const std::uint64_t seed : seeds_to_run(sample(10, 200))) {
    SCOPED_TRACE("replay with CAIRN_SEED=" + std::to_string(seed));
    InMemory history(seed);
    history.run(2000);
    if (testing::Test::HasFatalFailure()) return;
    EXPECT_GT(history.refused(), 100);
  }
}

}  // namespace
}  // namespace cairn::test
