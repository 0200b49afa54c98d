#include "server/client.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

namespace cairn::server {

std::string ClientInfo::describe(std::int64_t now_boot_ms) const {
  const CommandInfo* const last = last_command.load(std::memory_order_relaxed);
  const int in_transaction = queued.load(std::memory_order_relaxed);
  return fmt::format(
      "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub=0 psub=0 ssub=0 multi={} qbuf={} qbuf-free=0 "
      "argv-mem=0 "
      "multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={} tot-mem={} events=r cmd={} user={} redir=-1 resp={}",
      id, address, local_address, name(), (now_boot_ms - since_boot_ms) / 1000, (now_boot_ms - active_boot_ms) / 1000,
      in_transaction >= 0 ? "x" : "N", database.load(), in_transaction, input_bytes.load(), output_bytes.load(),
      input_bytes.load() + output_bytes.load(), last == nullptr ? "NULL" : full_name(*last), user(), resp3.load() ? 3 : 2);
}

void ClientInfo::kill() const {
  const MutexLock lock(mutex);
  if (handle_ >= 0) shutdown(handle_, SHUT_RDWR);
}

void Requests::reserve(std::size_t input_bytes) {
  constexpr std::size_t kMost = 16 * kKiB;
  constexpr std::size_t kArgument = 40;
  constexpr std::size_t kRequest = 120;
  const std::size_t bytes = std::min(input_bytes, kMost);
  bytes_.reserve(bytes);
  places_.reserve(bytes / kArgument + 4);
  items_.reserve(bytes / kRequest + 1);
}

Requests::Item& Requests::add(const CommandInfo* info, Arguments arguments, int database, bool resp3) {
  Item& item = items_.emplace_back();
  item.info = info;
  item.first = static_cast<std::uint32_t>(places_.size());
  item.count = static_cast<std::uint32_t>(arguments.size());
  item.database = static_cast<std::int16_t>(database);
  item.resp3 = resp3;
  for (const ByteView argument : arguments) {
    places_.push_back({bytes_.size(), argument.size()});
    bytes_.append(argument);
  }
  return item;
}

void Requests::arguments_of(const Item& item, std::vector<ByteView>& arguments) const {
  arguments.clear();
  for (std::uint32_t i = 0; i < item.count; ++i) arguments.push_back(argument_of(item, i));
}

}  // namespace cairn::server
