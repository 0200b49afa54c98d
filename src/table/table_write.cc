// The way of a write: make room, take versions, encode into the log, index, publish, wait until it is durable and so
// visible.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "directory/write_rules.h"
#include "table/table_impl.h"

namespace cairn::table {

namespace {

RoomNeeded room_for(std::span<const WriteRef> writes) {
  RoomNeeded needed{.bytes = writes.size() > 1 ? segment::kBatchFrameBytes : 0, .range_tombstones = 0};
  for (const WriteRef& write : writes) {
    needed.bytes += segment::record_bytes(write.key.size(), write.value.size(), kHasAccount | kHasExpiry);
    if (write.kind == RecordKind::kRangeTombstone) ++needed.range_tombstones;
  }
  return needed;
}

Result<void> check_writes(std::span<const WriteRef> writes) {
  for (const WriteRef& write : writes) {
    if (write.kind != RecordKind::kRangeTombstone) {
      CAIRN_TRY_VOID(directory::check_record(write.key, write.value));
      continue;
    }
    for (const ByteView bound : {write.key, write.value}) {
      if (!bound.empty()) CAIRN_TRY_VOID(directory::check_record(bound, {}));
    }
    if (!below(write.key, write.value)) {
      return fail(ErrorCode::kInvalidArgument, "the range to erase is empty: its end does not lie behind its begin");
    }
  }
  return {};
}

}  // namespace

/// Puts into `terms` those of each write; none at all if no family of theirs has an index. Before anything is logged: an
/// extractor may throw.
Result<void> TableImpl::extract_terms(std::span<const WriteRef> writes, std::vector<Terms>& terms) const {
  const std::shared_ptr<const LineUp> now = line_up_.get();
  for (std::size_t i = 0; i < writes.size(); ++i) {
    const WriteRef& write = writes[i];
    const Family& family = *now->families[write.family].family;
    if (family.indexes.empty() || !is_value(write.kind)) continue;
    terms.resize(writes.size());
    CAIRN_TRY(of_write, family.terms_of(write.kind == RecordKind::kReference ? write.large : write.value));
    terms[i] = std::move(of_write);
  }
  return {};
}

Result<WriteVersion> TableImpl::write(std::span<const WriteRef> writes, const WriteOptions& options, Writer writer) {
  if (writes.empty()) return log_.visible_version();
  CAIRN_TRY_VOID(check_writes(writes));
  bool applied = false;
  if (std::any_of(writes.begin(), writes.end(), [&](const WriteRef& write) { return is_large(write); })) {
    return write_with_large(writes, options, writer);
  }
  return write_in_log(writes, options, writer, applied);
}

/// `applied`: whatever comes back, the writes are in the log.
Result<WriteVersion> TableImpl::write_in_log(std::span<const WriteRef> writes, const WriteOptions& options, Writer writer,
                                             bool& applied) {
  const RoomNeeded needed = room_for(writes);
  if (needed.bytes > kWriteBytesMax) {
    return fail(ErrorCode::kInvalidArgument, "a write takes at most " + std::to_string(kWriteBytesMax) +
                                                 " bytes of log; this one takes " + std::to_string(needed.bytes));
  }
  std::vector<Terms> terms;
  if (has_indexes_.load(std::memory_order_relaxed)) CAIRN_TRY_VOID(extract_terms(writes, terms));
  if (!directory_->versions_at_hand(writes.size())) CAIRN_TRY_VOID(directory_->prepare_versions(writes.size()));
  std::optional<directory::Directory::Stamped> stamped;
  std::int64_t begin_ms = 0;  // Of its waiting, if it has to.
  if (debt() > 0) {
    begin_ms = environment_.clock.boot_ms();
    put_off(needed.bytes, begin_ms);
  }
  while (true) {
    {
      const MutexLock lock(log_.mutex);
      CAIRN_TRY_VOID(make_room(needed, begin_ms));
      CAIRN_TRY_VOID(check_writer(writer));
      stamped = directory_->reserve_versions(writes.size());
      if (stamped) {
        applied = true;
        const WriteVersion version = append(writes, terms, options, *stamped);
        CAIRN_TRY_VOID(log_.wait_until_visible(version));
        return version;
      }
    }
    CAIRN_TRY_VOID(directory_->prepare_versions(writes.size()));
  }
}

Result<void> TableImpl::check_writer(Writer writer) const {
  if (!of_model_ || writer == Writer::kModel) return {};
  return fail(ErrorCode::kBusy, "table '" + entry_.name + "' belongs to a Model, which alone writes to it");
}

/// When it returns, the log has a segment with room for `needed`, and no other thread is changing the log's segments. It unlocks
/// the log's mutex while it waits.
Result<void> TableImpl::make_room(const RoomNeeded& needed, std::int64_t& begin_ms) {
  while (true) {
    CAIRN_TRY_VOID(check_open());
    if (log_.changing()) {
      log_.wait();
    } else if (unsealed_bytes_.load() > unsealed_bytes_max()) {
      CAIRN_TRY_VOID(wait_for_flush(begin_ms));
    } else if (!log_.has_segment()) {
      CAIRN_TRY_VOID(log_.start(needed.bytes));
      active_->add_source(log_.source());
    } else if (log_.has_room(needed.bytes) && active_->takes_range_tombstones(needed.range_tombstones)) {
      return {};
    } else {
      CAIRN_TRY_VOID(leave_segment(needed));
    }
  }
}

/// Goes on in another segment, with another memtable if that is full. Or only in part, or somebody else does.
Result<void> TableImpl::leave_segment(const RoomNeeded& needed) {
  const bool full = !active_->takes_range_tombstones(needed.range_tombstones) ||
                    active_->log_bytes() >= options_.memtable_bytes_max / 2 ||
                    active_->memory_bytes() >= options_.memtable_bytes_max || environment_.memory.over();
  CAIRN_TRY(left, log_.leave(needed.bytes));
  if (left == directory::Log::Left::kNot) return {};
  if (full) {
    freeze_memtable();
    schedule_flush();
  }
  if (left == directory::Log::Left::kEnded) return {};
  log_.go_on();
  active_->add_source(log_.source());
  return {};
}

/// Delays a write in proportion to what background work is behind.
void TableImpl::put_off(std::uint64_t bytes, std::int64_t begin_ms) {
  std::int64_t ms = 0;
  {
    const MutexLock lock(log_.mutex);
    ms = pacing_.delay_ms(bytes, debt(), begin_ms);
  }
  if (ms == 0) return;
  CAIRN_REACHED("write delayed by debt");
  environment_.clock.sleep_ms(ms);
  counters_.delays.fetch_add(1, std::memory_order_relaxed);
  counters_.delayed_ms.fetch_add(ms, std::memory_order_relaxed);
  count_wait(begin_ms);
}

void TableImpl::count_wait(std::int64_t begin_ms) {
  const std::int64_t ms = environment_.clock.boot_ms() - begin_ms;
  std::int64_t longest = counters_.longest_wait_ms.load();
  while (ms > longest && !counters_.longest_wait_ms.compare_exchange_weak(longest, ms)) {
  }
}

/// The hard bound: writes wait for a flush rather than let the logs grow without end.
Result<void> TableImpl::wait_for_flush(std::int64_t& begin_ms) {
  if (begin_ms == 0) begin_ms = environment_.clock.boot_ms();
  CAIRN_REACHED("write waited at the bound on unsealed bytes");
  counters_.stalls.fetch_add(1, std::memory_order_relaxed);
  if (line_up_.get()->frozen().empty()) CAIRN_TRY_VOID(freeze_and_wait_until_idle());
  schedule_flush();
  std::shared_ptr<directory::Job> job;
  {
    const MutexLock lock(state_mutex_);
    job = flush_job_;
  }
  const std::int64_t left_ms = begin_ms + tuning_.write_wait_ms_max - environment_.clock.boot_ms();
  if (left_ms <= 0) {
    CAIRN_REACHED("write refused after the longest wait");
    return fail(ErrorCode::kTimeout, "no room in the log after " + std::to_string(tuning_.write_wait_ms_max) +
                                         " ms: flushes do not keep up; nothing was applied, try again later");
  }
  if (!job) return {};
  log_.mutex.unlock();
  const std::optional<Result<void>> flushed = environment_.jobs.wait_for(job, left_ms);
  log_.mutex.lock();
  count_wait(begin_ms);
  return flushed.value_or(Result<void>{});
}

std::shared_ptr<Memtable> TableImpl::new_memtable(const LineUp& line_up) const {
  return std::make_shared<Memtable>(environment_.memory, line_up.family_list(), directory_->hash_seed());
}

/// Makes the active memtable a read-only layer. Its segments have ended or been left.
void TableImpl::freeze_memtable() {
  CAIRN_ASSERT(!log_.has_segment());
  if (active_->empty()) return;
  const MutexLock lock(state_mutex_);
  auto next = std::make_shared<LineUp>(*line_up_.get());
  for (LineUp::OfFamily& family : next->families) family.layers.push_back(next->active);
  active_ = new_memtable(*next);
  next->active = Layer(active_);
  set_line_up(next);
}

Result<void> TableImpl::freeze_and_wait_until_idle() {
  CAIRN_TRY_VOID(log_.end());
  freeze_memtable();
  return {};
}

Result<void> TableImpl::end_log() {
  const MutexLock lock(log_.mutex);
  CAIRN_TRY_VOID(check_open());
  return log_.end();
}

WriteVersion TableImpl::append(std::span<const WriteRef> writes, std::span<const Terms> terms, const WriteOptions& options,
                               const directory::Directory::Stamped& stamped) {
  segment::SegmentWriter& log = log_.begin();
  const std::uint64_t batch_begin = log.tail();
  const bool batch = writes.size() > 1;
  checksums_.clear();
  records_.clear();
  segment::RecordInput input{.flags = static_cast<std::uint8_t>(batch ? kInBatch : 0),
                             .write_version = stamped.write_version,
                             .stamp = stamped.stamp,
                             .view = entry_.number,
                             .key = {},
                             .value = {}};
  std::uint64_t user_bytes = 0;
  for (const WriteRef& write : writes) {
    input.kind = write.kind;
    input.family = write.family;
    input.expiry_ms = expiry_of(write, active_->family(write.family).ttl_ms);
    input.account = options.account.value_or(directory::account_of(write.key));
    input.key = write.key;
    input.value = write.value;
    const char* const at = log.file().data() + log.tail();
    const segment::RecordView record = log.append(input);
    records_.emplace_back(at, record);
    if (batch) checksums_.push_back(record.header.checksum);
    user_bytes += write.key.size() + (write.kind == RecordKind::kReference ? write.large : write.value).size();
    ++input.write_version;
  }
  --input.write_version;
  if (batch) log.append_batch_frame(batch_begin, checksums_, input);
  // Log before memory: what is indexed is in the log.
  std::uint64_t record_bytes = 0;
  for (std::size_t i = 0; i < writes.size(); ++i) {
    const auto& [at, record] = records_[i];
    active_->insert(at, record, terms.empty() ? std::span<const Term>() : terms[i]);
    record_bytes += record.bytes;
  }
  active_->end_write();  // Before readers may see it.
  unsealed_bytes_.fetch_add(record_bytes, std::memory_order_relaxed);
  for (const WriteRef& write : writes) {
    if (is_value(write.kind)) dead_[write.family]->cut(write.key);
  }
  log_.publish(input.write_version, input.stamp, options.durability);
  add_alone(counters_.writes, 1);
  add_alone(counters_.written_bytes, user_bytes);
  return input.write_version;
}

}  // namespace cairn::table
