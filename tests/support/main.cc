// Runs the tests and, if CAIRN_REACHED_FILE is set, appends the names of the probes this process came through: `./dev
// test` fails if one of the source was never hit (base/reached.h).
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/reached.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int result = RUN_ALL_TESTS();
  if (const char* const file = std::getenv("CAIRN_REACHED_FILE")) {
    std::ofstream out(file, std::ios::app);
    for (const std::string& name : cairn::ReachedProbe::hit_names()) out << name << '\n';
  }
  return result;
}
