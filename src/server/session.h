// One connection of the Redis protocol: takes requests as they come, runs what reads here, hands what saves to the writer, and
// sends the answers in the order of the requests. Lives on one read thread.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "server/client.h"
#include "server/executor.h"
#include "server/output.h"
#include "server/resp_parser.h"
#include "server/transport.h"
#include "server/writer.h"

namespace cairn::server {

class ReadThread;

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(ReadThread& thread, boost::asio::ip::tcp::socket socket, std::shared_ptr<ClientInfo> info);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // All on the session's thread.
  void start();
  /// The writer has done a batch of this session.
  void answer(Batch& batch);
  /// Once a second.
  void look_after(std::int64_t now_boot_ms);
  /// Takes no more requests, and closes when those it has are answered.
  void drain();
  /// Something may have been saved that this connection follows.
  void deliver();
  /// Sends what there is.
  void send();
  void close(const char* why);
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  /// Requests are not taken from a client that has so much to take itself, or so much on its way to the writer.
  static constexpr std::uint64_t kOutputBytesMax = 1 * kMiB;
  static constexpr std::uint64_t kInFlightBytesMax = 4 * kMiB;
  static constexpr std::uint64_t kInFlightItemsMax = 1024;
  /// Nobody is cut off for what others have in memory.
  static constexpr std::uint64_t kMemoryBytesAlways = 64 * kKiB;
  static constexpr std::size_t kReceivedBytes = 4 * kKiB;

  void wait_readable();
  void on_readable(std::size_t received);
  bool read_some(std::size_t received);
  Transport::Moved read_into(char* into, std::size_t size, std::size_t received);
  void take_input();
  std::size_t process(ByteView input);
  void submit();
  void flush_soon();
  void flush();
  void wait_writable();
  void go_on();
  void end_turn();
  [[nodiscard]] bool paused() const {
    return output_.size() > kOutputBytesMax || in_flight_bytes_ > kInFlightBytesMax || too_many_with_writer() ||
           client_.closing || awaits_exec_ || awaits_password_ || awaits_walk_ || walk_held_back_;
  }
  [[nodiscard]] bool too_many_with_writer() const {
    return in_flight_items_ + (batch_ ? batch_->requests.items().size() : 0) > kInFlightItemsMax;
  }
  bool account();

  /// False: the request was not taken. It is offered again once the writer has answered everything before it.
  bool dispatch(Arguments arguments);
  [[nodiscard]] bool is_of_a_browser(Arguments arguments) const;
  // session_access.cc
  [[nodiscard]] RequestLimits limits() const;
  /// Answers why the request is not run, if it is not.
  bool refuse(const CommandInfo& info, Arguments arguments);
  void authenticate(const CommandInfo& info, Arguments arguments, ByteView name, ByteView password);
  void authenticated(Authenticator::Outcome outcome, const std::shared_ptr<const User>& user, std::uint64_t generation,
                     const Requests& request);
  void look_up_user();
  void set_user(std::shared_ptr<const User> user);
  bool may_run(const Requests& transaction);
  void follow_what_may_be_seen();
  bool asks_to_authenticate(const CommandInfo& info, Arguments arguments);
  void queue(const CommandInfo& info, Arguments arguments);
  void run_gets();
  void run(const CommandInfo& info, Arguments arguments);
  void note_slow_gets(const SlowLog::Timer& timer);
  void run_here(const CommandInfo& info, Arguments arguments);
  void walk(const CommandInfo& info, Arguments arguments);
  void walked(Output&& output);
  void exec();
  void watch(const CommandInfo& info, Arguments arguments);
  void run_connection_command(const CommandInfo& info, Arguments arguments);
  [[nodiscard]] bool refuse_while_following(const CommandInfo& info);
  void follow_swapped(Following& following);
  void send_event(const Following& following, const WatchEvent& event);
  void send_event(const Following& following, const char* kind, std::optional<ByteView> key, Stamp stamp,
                  std::optional<ByteView> data);
  void answer_with(Output&& output);
  void answer_error(ByteView text);
  [[nodiscard]] bool behind_writer() const { return in_flight_ != 0 || batch_ != nullptr; }
  Requests& batch();

  ReadThread& thread_;
  Service& service_;
  Transport transport_;
  Client client_;
  RequestParser parser_;
  std::array<char, kReceivedBytes> received_;  // By a read that is under way.
  std::string input_;                          // Of a request that has not come whole, or that waits.
  Output output_;
  std::unique_ptr<Batch> batch_;  // To be submitted.
  std::size_t input_bytes_ = 0;   // Being taken.
  std::uint64_t in_flight_ = 0;   // Batches with the writer.
  std::uint64_t in_flight_bytes_ = 0;
  std::uint64_t in_flight_items_ = 0;
  std::uint64_t accounted_ = 0;
  std::int64_t active_boot_ms_ = 0;  // When it last asked for something,
  std::int64_t taking_boot_ms_ = 0;  // or took something of what it is sent.
  std::uint64_t commands_run_ = 0;   // And not counted yet.
  bool follows_ = false;             // The thread knows that there is something to deliver.
  bool held_back_ = false;           // Requests that have come were not taken, as it is paused.
  bool awaits_password_ = false;     // Is being checked.
  bool awaits_walk_ = false;         // A request is with the thread for walks.
  bool walk_held_back_ = false;      // A request for that thread waits until the writer has answered what came before it.
  bool awaits_exec_ = false;         // Which database is selected depends on a transaction with the writer.
  bool flush_set_ = false;           // The thread will.
  bool reading_ = false;             // Waits for input.
  bool writing_ = false;             // Waits for the client to take output.
  bool closed_ = false;
  bool draining_ = false;
};

}  // namespace cairn::server
