// When room is given back: by a merge on its way, and by who needs it. table_model_test.cc has what comes out of merges.
#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {
namespace {

struct Merge : OneProcess {
  static table::Tuning tuning() {
    table::Tuning tuning = small_tuning();
    tuning.sealed_bytes_max = 128 * kKiB;
    tuning.compact_by_itself = false;
    return tuning;
  }
  void SetUp() override { ASSERT_OK(process.open(database::DatabaseImpl::Mode::kOpenOrCreate, tuning(), {})); }

  /// Writes a value for every `step`th key.
  void fill(int step) {
    for (int i = 0; i < 4000; i += step) {
      ASSERT_OK(process.table().put("key" + std::to_string(10'000 + i), Bytes(200, static_cast<char>('a' + step))));
    }
  }
  [[nodiscard]] std::uint64_t bytes_of(ByteView kind) const {
    std::uint64_t bytes = 0;
    for (const auto& [name, size] : disk.file_sizes()) bytes += name.ends_with(kind) ? size : 0;
    return bytes;
  }
};

TEST_F(Merge, FreesItsInputsAsItGoes) {
  fill(1);
  ASSERT_OK(process.table().flush());
  fill(2);
  ASSERT_OK(process.table().flush());
  const std::size_t files = process.impl().line_up()->families[0].layers[0].files().size();
  ASSERT_GE(files, 8U);
  const std::uint64_t before = bytes_of(".sealed");
  std::uint64_t most = 0;
  disk.set_hook([&](storage::Io, const std::string&, std::uint64_t) -> Result<void> {
    most = std::max(most, bytes_of(".sealed"));
    return {};
  });
  ASSERT_OK(process.table().compact());
  disk.set_hook(nullptr);
  EXPECT_LT(bytes_of(".sealed"), before);
  EXPECT_LE(most, before + 3 * tuning().sealed_bytes_max) << "what it writes, and a file of each run that is not passed yet";
}

TEST_F(Merge, WhatIsToBeFreedIsRoomForTheNextFile) {
  fill(1);
  {
    const Scan reader = process.table().scan(everything());
    ASSERT_OK(process.table().flush());
  }
  disk.set_space_max(bytes_of(""));
  const Bytes large(64 * kKiB, 'l');
  ASSERT_OK(process.table().put("large", large));  // None of the segments that the reader held is large enough.
  const auto found = process.table().get("large");
  ASSERT_OK(found);
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->view(), large);
}

}  // namespace
}  // namespace cairn::test
