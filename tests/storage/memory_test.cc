#include "storage/memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cairn/bytes.h"
#include "support/temporary_directory.h"

namespace cairn::test {
namespace {

class MemoryBytes : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = here.file(name);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << "\n";
  }
  [[nodiscard]] std::uint64_t bytes() const { return storage::memory_bytes(here.file("groups"), here.file("mounted")); }

  TemporaryDirectory here;
  const std::uint64_t machine = storage::memory_bytes("/absent", "/absent");
};

TEST_F(MemoryBytes, AreTheMachinesWhereNoGroupSaysOtherwise) {
  EXPECT_GT(machine, 64 * kMiB);
  EXPECT_LE(storage::memory_bytes(), machine);
  write("groups", "0::/a/b\n\nnonsense\n4:memory");
  EXPECT_EQ(bytes(), machine);
  write("mounted/a/b/memory.max", "max");
  write("mounted/a/memory.max", "9223372036854771712");
  EXPECT_EQ(bytes(), machine);
}

TEST_F(MemoryBytes, AreTheLeastOfAnyGroupThisOneIsIn) {
  write("groups", "0::/a/b");
  write("mounted/a/b/memory.max", "300000000");
  EXPECT_EQ(bytes(), 300'000'000U);
  write("mounted/a/memory.max", "200000000");
  EXPECT_EQ(bytes(), 200'000'000U);
  write("mounted/a/memory.high", "150000000");
  EXPECT_EQ(bytes(), 150'000'000U);
  write("mounted/memory.max", "100000000");  // A container's own, where its name is that of the host.
  EXPECT_EQ(bytes(), 100'000'000U);
}

TEST_F(MemoryBytes, AreWhatTheFirstVersionOfGroupsSays) {
  write("groups", "7:cpu,cpuacct:/x\n5:hugetlb,memory:/a/b\n0::/");
  write("mounted/memory/a/b/memory.limit_in_bytes", "300000000");
  write("mounted/memory/x/memory.limit_in_bytes", "1000");
  EXPECT_EQ(bytes(), 300'000'000U);
}

}  // namespace
}  // namespace cairn::test
