#include "server/keyspace.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::server {
namespace {

/// A command of the writer reads a value, the device fails under it, and what the command has made of it is to be saved.
TEST(Keyspace, SavesNothingThatWasComputedFromBytesTheDeviceDidNotGive) {
  const test::TemporaryDirectory directory;
  auto database = Database::open(directory.path(), {.create_if_missing = true});
  ASSERT_OK(database);
  auto databases = Databases::open(*database, {});
  ASSERT_OK(databases);
  Keyspace keys(**databases, 0, Sees::kApplied);
  const Bytes before(100'000, 'v');
  ASSERT_OK(keys.put("key", before, {}));
  const auto saved = keys.commit(Durability::kKernel);
  ASSERT_OK(saved);
  Timeline& timeline = *keys.timeline();
  ASSERT_OK(timeline.settle(**saved));
  ASSERT_OK(timeline.close_block());
  const auto value = keys.get("key");
  ASSERT_OK(value);
  ASSERT_TRUE(value->has_value());
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    if (entry.path().extension() == ".segment" && entry.file_size() > 4096) std::filesystem::resize_file(entry.path(), 4096);
  }
  const Bytes computed((*value)->view());
  ASSERT_NE(computed, before) << "the test did not cut the file that the value is in";
  ASSERT_OK(keys.put_computed("copy", computed, {}));
  const auto lost = keys.commit(Durability::kKernel);
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().code, ErrorCode::kIo) << lost.error().to_string();
  keys.discard();
  keys.leave();
  // What has nothing to do with it is saved.
  ASSERT_OK(keys.put("other", "x", {}));
  ASSERT_OK(keys.commit(Durability::kKernel));
}

}  // namespace
}  // namespace cairn::server
