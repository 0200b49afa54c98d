// Every command of commands.json through hiredis, whose replies go to standard output; then its own ways.
#include <hiredis/hiredis.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using Json = nlohmann::json;
struct Free {
  void operator()(redisContext* context) const { redisFree(context); }
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Context = std::unique_ptr<redisContext, Free>;
using Reply = std::unique_ptr<redisReply, Free>;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "hiredis: %s\n", what);
  std::exit(1);
}

Json json_of(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_INTEGER: return reply.integer;
    case REDIS_REPLY_NIL: return nullptr;
    case REDIS_REPLY_ERROR: return {{"error", std::string(reply.str, reply.len)}};
    case REDIS_REPLY_ARRAY: {
      Json array = Json::array();
      for (std::size_t i = 0; i < reply.elements; ++i) array.push_back(json_of(*reply.element[i]));
      return array;
    }
    default: return std::string(reply.str, reply.len);
  }
}

Reply call(redisContext& context, const std::vector<std::string>& words) {
  std::vector<const char*> data;
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    data.push_back(word.data());
    sizes.push_back(word.size());
  }
  return Reply(static_cast<redisReply*>(redisCommandArgv(&context, static_cast<int>(words.size()), data.data(), sizes.data())));
}

Reply next_reply(redisContext& context) {
  void* reply = nullptr;
  require(redisGetReply(&context, &reply) == REDIS_OK, "no reply");
  return Reply(static_cast<redisReply*>(reply));
}

}  // namespace

int main(int argc, char** argv) {
  require(argc == 3, "hiredis_client PORT FILE");
  const int port = std::atoi(argv[1]);  // NOLINT: of a test.
  Context context(redisConnect("127.0.0.1", port));
  require(context && context->err == 0, "no connection");
  Json replies = Json::array();
  for (const Json& step : Json::parse(std::ifstream(argv[2]))) {
    const Reply reply = call(*context, step[0]);
    require(reply != nullptr, "the connection was lost");
    replies.push_back(json_of(*reply));
  }
  for (int i = 0; i < 1000; ++i) redisAppendCommand(context.get(), "SET many:%d %d", i, i);
  for (int i = 0; i < 1000; ++i) redisAppendCommand(context.get(), "GET many:%d", i);
  for (int i = 0; i < 1000; ++i) require(next_reply(*context)->type == REDIS_REPLY_STATUS, "SET of many");
  for (int i = 0; i < 1000; ++i) require(next_reply(*context)->str == std::to_string(i), "GET of many");
  const char zeros[] = "a\0b";
  require(call(*context, {"SET", std::string(zeros, 3), std::string(zeros, 3)})->type == REDIS_REPLY_STATUS, "SET with a zero");
  require(call(*context, {"GET", std::string(zeros, 3)})->len == 3, "GET with a zero");
  for (const char* line : {"MULTI", "SET tx 1", "INCR tx", "EXEC"}) redisAppendCommand(context.get(), line);
  for (int i = 0; i < 3; ++i) next_reply(*context);
  const Reply done = next_reply(*context);
  require(done->elements == 2 && done->element[1]->integer == 2, "EXEC");
  const Context other(redisConnect("127.0.0.1", port));
  call(*context, {"WATCH", "tx"});
  call(*other, {"SET", "tx", "changed"});
  call(*context, {"MULTI"});
  call(*context, {"SET", "tx", "lost"});
  require(call(*context, {"EXEC"})->type == REDIS_REPLY_NIL, "EXEC of a watched key");
  const std::string id = std::to_string(call(*context, {"CLIENT", "ID"})->integer);
  require(call(*other, {"CLIENT", "KILL", "ID", id})->integer == 1, "CLIENT KILL");
  while (call(*context, {"PING"})) {
  }
  require(redisReconnect(context.get()) == REDIS_OK, "a new connection");
  require(std::string(call(*context, {"GET", "tx"})->str) == "changed", "GET by a new connection");
  std::printf("%s\n", replies.dump().c_str());
  return 0;
}
