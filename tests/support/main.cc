// Runs the tests and, if CAIRN_REACHED_FILE is set, appends the names of the probes this process came through: `./dev
// test` fails if one of the source was never hit (base/reached.h).
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/reached.h"

#ifdef __SANITIZE_THREAD__
/// A child of fork() that opens a database of its own starts threads: the sanitizer would end it.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  if (const char* const file = std::getenv("CAIRN_REACHED_FILE")) {
    std::ofstream out(file, std::ios::app);
    for (const std::string& name : cairn::ReachedProbe::hit_names()) out << name << '\n';
  }
  return result;
}
