// Calls that a process answers beside itself (DatabaseOptions::answer_commands), and the messages that carry them.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "database/owner_socket.h"
#include "support/temporary_directory.h"
#include "support/world.h"

namespace cairn::test {
namespace {

using database::OwnerClient;
using database::Request;

Result<std::vector<Bytes>> ask(OwnerClient& client, const Request& request) {
  std::vector<Bytes> parts;
  CAIRN_TRY_VOID(client.call(request,
                             [&](std::span<const ByteView> row) -> Result<void> {
                               for (const ByteView part : row) parts.emplace_back(part);
                               return {};
                             },
                             {}));
  return parts;
}

struct Owner : testing::Test {
  TemporaryDirectory directory;
  std::string path = directory.file("db");
  DatabaseOptions options{.create_if_missing = true, .answer_commands = true};
};

TEST_F(Owner, AnswersAboutTheViewsThatItHasOpened) {
  {
    auto database = Database::open(path, {.create_if_missing = true});
    ASSERT_OK(database);
    EXPECT_FALSE(std::filesystem::exists(path + "/owner.socket")) << "it was not asked to";
    ASSERT_OK(database->timeline("later"));
    ASSERT_OK(database->close());
  }
  auto database = Database::open(path, options);
  ASSERT_OK(database);
  EXPECT_TRUE(database->open_reports().empty());
  auto table = database->table("t");
  ASSERT_OK(table);
  ASSERT_OK(table->put("k", Bytes(5 * kMiB, 'v')));
  const auto client = OwnerClient::connect(path);
  ASSERT_OK(client);
  ASSERT_NE(*client, nullptr);
  for (int i = 0; i < 2; ++i) {  // One connection takes many requests.
    const auto got = ask(**client, {.call = Request::Call::kTableGet, .view = "t", .key = "k"});
    ASSERT_OK(got);
    EXPECT_EQ(*got, std::vector{Bytes(5 * kMiB, 'v')});
    const auto none = ask(**client, {.call = Request::Call::kTableGet, .view = "t", .key = "none"});
    ASSERT_OK(none);
    EXPECT_TRUE(none->empty());
    const auto missing = ask(**client, {.call = Request::Call::kTableGet, .view = "u", .key = "k"});
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
    EXPECT_NE(missing.error().message.find("tables in " + path + ": t"), std::string::npos) << missing.error().message;
    const auto unused = ask(**client, {.call = Request::Call::kTimelineStats, .view = "later"});
    ASSERT_FALSE(unused);
    EXPECT_EQ(unused.error().code, ErrorCode::kUnavailable);
  }
  // What a caller asked has not decided the options of a view.
  ASSERT_OK(database->timeline("later", {.timeout = std::chrono::hours(1)}));
  const auto stats = ask(**client, {.call = Request::Call::kTimelineStats, .view = "later"});
  ASSERT_OK(stats);
  const auto decoded = database::decode_message<TimelineStats>(stats->at(0));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->timeout, std::chrono::hours(1));
  ASSERT_OK(database->close());
  EXPECT_FALSE(std::filesystem::exists(path + "/owner.socket"));
  EXPECT_EQ(ask(**client, {.call = Request::Call::kList}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(*OwnerClient::connect(path), nullptr);
}

TEST_F(Owner, ClosesWhileCallsGoOn) {
  for (int round = 0; round < 5; ++round) {
    auto database = Database::open(path, options);
    ASSERT_OK(database);
    auto timeline = database->timeline("main");
    ASSERT_OK(timeline);
    ASSERT_OK(timeline->put("k", "v"));
    std::vector<std::thread> callers;
    std::atomic<int> begun{0};
    for (int i = 0; i < 8; ++i) {
      callers.emplace_back([&, i] {
        const auto client = OwnerClient::connect(path);
        ++begun;
        if (!client || *client == nullptr) return;
        while (ask(**client, {.call = i % 2 == 0 ? Request::Call::kTimelineWatch : Request::Call::kVerify, .from = kEndOfTime})) {
        }
      });
    }
    while (begun < 8) std::this_thread::yield();
    ASSERT_OK(database->close());
    for (std::thread& caller : callers) caller.join();
  }
}

TEST(OwnerMessage, IsReadAsItWasWritten) {
  Request request{.call = Request::Call::kTimelineKeys, .view = "v", .key = Bytes("\0k", 2), .limit = 7};
  request.at = Moment(Time(std::chrono::milliseconds(5)));
  const auto read = database::decode_message<Request>(database::encode_message(request));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->key, request.key);
  EXPECT_EQ(read->limit, 7U);
  EXPECT_EQ(read->at->last(), request.at->last());
  EXPECT_EQ(read->to.last(), kEndOfTime.last());
  TableStats stats;
  stats.debt = 0.25;
  stats.families.push_back({.name = "f", .compression = Compression::kZstd, .indexes = {{.name = "i"}}});
  stats.oldest_pin = PinStats{.id = 3, .label = "p"};
  const auto same = database::decode_message<TableStats>(database::encode_message(stats));
  ASSERT_TRUE(same);
  EXPECT_EQ(same->debt, 0.25);
  EXPECT_EQ(same->families[0].indexes[0].name, "i");
  EXPECT_EQ(same->oldest_pin->label, "p");
}

/// Neither beyond the end of the bytes nor much memory, whatever they are.
TEST(OwnerMessage, HostileBytesAreRefused) {
  Random random(1);
  const Bytes sound = database::encode_message(Request{.target = "/somewhere"});
  for (std::size_t size = 0; size < sound.size(); ++size) {
    EXPECT_FALSE(database::decode_message<Request>(sound.substr(0, size)));
  }
  EXPECT_FALSE(database::decode_message<Request>(sound + "x"));
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = sound;
    for (std::uint64_t changes = 1 + random.below(4); changes != 0; --changes) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    }
    const auto read = database::decode_message<Request>(bytes);
    EXPECT_EQ(read ? database::encode_message(*read).size() : bytes.size(), bytes.size());
    EXPECT_FALSE(database::decode_message<ForkStoreStats>(bytes)) << "of another struct";
  }
}

}  // namespace
}  // namespace cairn::test
