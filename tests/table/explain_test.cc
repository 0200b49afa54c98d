#include <gtest/gtest.h>

#include "support/world.h"

namespace cairn::test {
namespace {

struct Explain : OneProcess {};

TEST_F(Explain, NamesEveryVersionItsFileAndItsFate) {
  Table table = process.table();
  ASSERT_OK(table.put("k", "first"));
  const Snapshot early = table.snapshot();
  ASSERT_OK(table.flush());
  ASSERT_OK(table.put("k", std::string(2000, 'x')));
  ASSERT_OK(table.flush());
  ASSERT_OK(table.erase_range({"a", "z"}));
  const auto last = table.put("k", "now");
  ASSERT_OK(last);

  const auto now = table.explain("k");
  ASSERT_OK(now);
  ASSERT_EQ(now->size(), 4U);
  EXPECT_EQ((*now)[0].verdict, "the answer");
  EXPECT_EQ((*now)[0].write_version, *last);
  EXPECT_EQ((*now)[0].layer, "memory, writable");
  EXPECT_TRUE((*now)[0].file.ends_with(".segment"));
  EXPECT_EQ((*now)[1].kind, "range tombstone");
  EXPECT_EQ((*now)[2].kind, "put, large");
  EXPECT_EQ((*now)[2].value_bytes, 2000U);
  EXPECT_EQ((*now)[3].verdict, "hidden by version " + std::to_string(*last));
  EXPECT_TRUE((*now)[3].file.ends_with(".sealed"));
  EXPECT_EQ((*now)[3].written_ms, clock.wall_ms());

  const auto then = table.explain("k", early);
  ASSERT_OK(then);
  EXPECT_TRUE((*then)[0].verdict.starts_with("not visible yet")) << (*then)[0].verdict;
  EXPECT_EQ((*then)[3].verdict, "the answer");

  ASSERT_OK(table.erase("k"));
  EXPECT_EQ((*table.explain("k"))[0].verdict, "the answer: erased");
  EXPECT_TRUE(table.explain("other")->size() == 1) << "the range tombstone";
  const auto brief = table.family("brief", {.ttl = std::chrono::milliseconds(10)});
  ASSERT_OK(brief);
  Table family = *brief;
  ASSERT_OK(family.put("k", "v"));
  clock.advance_ms(20);
  EXPECT_EQ((*family.explain("k"))[0].verdict, "the answer: expired");
}

}  // namespace
}  // namespace cairn::test
