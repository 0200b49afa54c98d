// Runs the tests and, if CAIRN_REACHED_FILE is set, appends the names of the probes this process came through: `./dev
// test` fails if one of the source was never hit (base/reached.h).
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>

#include "base/reached.h"
#include "support/world.h"

#ifdef __SANITIZE_THREAD__
/// A child of fork() that opens a database of its own starts threads: the sanitizer would end it.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

namespace {

/// Ends the process, naming the test, when one test takes longer than kSecondsMax: a test that waits for ever must fail, not
/// hold up the run.
class Deadline : public testing::EmptyTestEventListener {
  static constexpr unsigned kSecondsMax = 1200;
  static inline char text_[256];
  static inline std::size_t size_ = 0;

  void OnTestStart(const testing::TestInfo& test) override {
    const std::string text = std::string("[ TIMEOUT  ] ") + test.test_suite_name() + "." + test.name() + "\n";
    size_ = text.copy(text_, sizeof text_);
    std::signal(SIGALRM, [](int) {
      if (write(STDOUT_FILENO, text_, size_) < 0) _exit(124);
      std::abort();
    });
    alarm(kSecondsMax);
  }
  void OnTestEnd(const testing::TestInfo& /*test*/) override { alarm(0); }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (!cairn::test::soaking()) testing::UnitTest::GetInstance()->listeners().Append(new Deadline);  // Owned by the listeners.
  const int result = RUN_ALL_TESTS();
  if (const char* const file = std::getenv("CAIRN_REACHED_FILE")) {
    std::ofstream out(file, std::ios::app);
    for (const std::string& name : cairn::ReachedProbe::hit_names()) out << name << '\n';
  }
  return result;
}
