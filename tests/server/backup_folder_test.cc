// Which copies of a running server are removed, and over which the next one is taken.
#include "server/backup_folder.h"

#include <gtest/gtest.h>

namespace cairn::server {
namespace {

std::vector<BackupRecord> records(const std::string& kinds) {
  std::vector<BackupRecord> all;
  std::string full;
  for (const char kind : kinds) {  // 'f': full; 'i': incremental over the last full one.
    const std::string name = std::to_string(all.size());
    if (kind == 'f') full = name;
    all.push_back({.name = name, .base = kind == 'f' ? "" : full, .made_ms = static_cast<std::int64_t>(all.size())});
  }
  return all;
}

std::string removed(const std::string& kinds, std::uint64_t keep) {
  std::string names;
  for (const BackupRecord& record : backups_to_remove(records(kinds), keep)) names += record.name;
  return names;
}

TEST(BackupFolder, TheOldestGoButNoBaseThatIsNeeded) {
  EXPECT_EQ(removed("", 1), "");
  EXPECT_EQ(removed("fff", 3), "");
  EXPECT_EQ(removed("fff", 7), "");
  EXPECT_EQ(removed("fff", 1), "01");
  EXPECT_EQ(removed("fiii", 1), "12") << "0 is the base of 3";
  EXPECT_EQ(removed("fiif", 1), "012");
  EXPECT_EQ(removed("fiifi", 2), "012");
  EXPECT_EQ(removed("fiifi", 3), "1") << "0 is the base of 2";
}

TEST(BackupFolder, TheNextCopyIsTakenOverTheNewestFullOne) {
  EXPECT_EQ(backup_base(records(""), 6), "");
  EXPECT_EQ(backup_base(records("f"), 0), "");
  EXPECT_EQ(backup_base(records("f"), 1), "0");
  EXPECT_EQ(backup_base(records("fi"), 1), "");
  EXPECT_EQ(backup_base(records("fif"), 1), "2");
}

TEST(BackupFolder, ANameStaysInTheDirectory) {
  for (const char* const name : {"a", "A-1_b.c", "20261128T201448.123Z"}) EXPECT_TRUE(is_backup_name(name)) << name;
  for (const char* const name : {"", ".", "..", ".a", "a/b", "a b", "\xc3\xa4", "a\nb"})
    EXPECT_FALSE(is_backup_name(name)) << name;
  EXPECT_FALSE(is_backup_name(std::string(65, 'a')));
}

}  // namespace
}  // namespace cairn::server
