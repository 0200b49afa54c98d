// The way of a batch: make room, take versions, encode into the writer's segment, publish, wait until it is as durable as was
// asked, and only then into the index, where readers find it.
#include <algorithm>

#include "base/error.h"
#include "base/reached.h"
#include "forks/fork_store_impl.h"

namespace cairn::forks {
namespace {

constexpr std::uint64_t kBatchBytesMax = kGiB - 2 * kMiB;  // Of log: a place reaches so far.

Result<std::uint64_t> check_batch(std::span<const AccountUpdate> batch) {
  std::uint64_t bytes = batch.size() > 1 ? segment::kBatchFrameBytes : 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const AccountUpdate& update = batch[i];
    if (update.key.size() != kAccountKeyBytes) {
      return fail(ErrorCode::kInvalidArgument, "an account key has 32 bytes; that of update " + std::to_string(i) +
                                                   " of the batch has " + std::to_string(update.key.size()));
    }
    bytes += segment::record_bytes(kRecordKeyBytes, update.erase ? 0 : std::min<std::uint64_t>(update.value.size(), kGiB));
  }
  if (bytes <= kBatchBytesMax) return bytes;
  return fail(ErrorCode::kInvalidArgument, "a batch takes at most " + std::to_string(kBatchBytesMax) +
                                               " bytes of log; this one takes " + std::to_string(bytes));
}

}  // namespace

ForkStoreImpl::Storing::~Storing() {
  if (!fork_) return;
  const MutexLock lock(store_->state_mutex_);
  if (--fork_->storing == 0) store_->state_changed_.notify_all();
}

Result<ForkStoreImpl::Storing> ForkStoreImpl::begin_storing(ForkNumber fork) {
  const MutexLock lock(state_mutex_);
  while (true) {
    CAIRN_TRY_VOID(check_open());
    const auto found = forks_.find(fork);
    if (found == forks_.end()) return fail(ErrorCode::kNotFound, "there is no fork " + std::to_string(fork));
    ForkState& state = *found->second;
    if (state.frozen) {
      return fail(ErrorCode::kInvalidArgument, "fork " + std::to_string(fork) + " is frozen; store in a fork below it");
    }
    if (!state.stopped) {
      ++state.storing;
      return Storing(*this, found->second);
    }
    state_changed_.wait(state_mutex_);
  }
}

Result<WriteVersion> ForkStoreImpl::store(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch,
                                          Durability durability) {
  CAIRN_TRY(bytes, check_batch(batch));
  if (space_is_short_.load(std::memory_order_relaxed)) CAIRN_TRY_VOID(wait_for_collector(bytes));
  return with_room([&] { return try_store(writer, fork, batch, bytes, durability); });
}

Result<WriteVersion> ForkStoreImpl::try_store(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch,
                                              std::uint64_t bytes, Durability durability) {
  CAIRN_TRY(storing, begin_storing(fork));
  if (batch.empty()) return directory_->versions_used();
  CAIRN_TRY(appended, append(writer, fork, batch, bytes, durability));
  CAIRN_TRY_VOID(index(storing.fork(), appended));
  CAIRN_TRY_VOID(appended.acknowledged);
  counters_.writes.fetch_add(1, std::memory_order_relaxed);
  counters_.written_bytes.fetch_add(bytes, std::memory_order_relaxed);
  return appended.last;
}

Result<ForkStoreImpl::Appended> ForkStoreImpl::append(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch,
                                                      std::uint64_t bytes, Durability durability) {
  if (!directory_->versions_at_hand(batch.size())) CAIRN_TRY_VOID(directory_->prepare_versions(batch.size()));
  while (true) {
    {
      const MutexLock lock(writer.log.mutex);
      CAIRN_TRY_VOID(make_room(writer, bytes));
      if (const auto first = directory_->reserve_versions(batch.size())) {
        Appended appended;
        encode(writer, fork, batch, *first, appended);
        writer.log.publish(appended.last, first->stamp, durability);
        appended.acknowledged = writer.log.wait_until_visible(appended.last);
        // As long as the log goes on, the batch belongs to it, acknowledged or not: later versions stand behind it.
        if (!directory_->state()) CAIRN_TRY_VOID(appended.acknowledged);
        return appended;
      }
    }
    CAIRN_TRY_VOID(directory_->prepare_versions(batch.size()));
  }
}

/// Returns with a segment that takes `bytes`, and nobody else changing it. Lets go of the lock while it waits.
Result<void> ForkStoreImpl::make_room(Writer& writer, std::uint64_t bytes) {
  while (true) {
    CAIRN_TRY_VOID(directory_->state());
    if (writer.log.closed()) return fail(ErrorCode::kUnavailable, "the fork store is closed");
    CAIRN_TRY_VOID(writer.log.check_not_short());
    if (writer.log.changing()) {
      writer.log.wait();
    } else if (!writer.log.has_segment()) {
      CAIRN_TRY_VOID(writer.log.start(bytes));
      CAIRN_TRY_VOID(begin_segment(writer));
    } else if (writer.log.has_room(bytes)) {
      return {};
    } else {
      CAIRN_TRY(left, writer.log.leave(bytes));
      if (left != directory::Log::Left::kReady) continue;
      writer.log.go_on();
      CAIRN_TRY_VOID(begin_segment(writer));
    }
  }
}

Result<void> ForkStoreImpl::begin_segment(Writer& writer) {
  const directory::Log::Source source = writer.log.source();
  Result<std::uint32_t> number = segments_.add({.live = source.file, .recyclable_bytes = source.recyclable_bytes});
  if (!number) directory_->stop_writing(number.error());  // The log has a segment that nobody could refer to.
  CAIRN_TRY_VOID(number);
  writer.segment = *number;
  if (!tuning_.collect_by_itself) return {};
  look_at_space();
  schedule_collect();
  return {};
}

void ForkStoreImpl::encode(Writer& writer, ForkNumber fork, std::span<const AccountUpdate> batch,
                           const directory::Directory::Stamped& first, Appended& appended) {
  segment::SegmentWriter& log = writer.log.begin();
  const bool is_batch = batch.size() > 1;
  const std::uint64_t batch_begin = log.tail();
  Segments::Stored stored{.fork = fork, .first_version = first.write_version};
  segment::RecordInput input{.flags = static_cast<std::uint8_t>(is_batch ? kInBatch : 0),
                             .write_version = first.write_version,
                             .stamp = first.stamp,
                             .view = view_,
                             .family = kForksFamily};
  writer.checksums.clear();
  appended.first = first.write_version;
  appended.segment = writer.segment;
  appended.stored.reserve(batch.size());
  for (const AccountUpdate& update : batch) {
    const RecordKey key(fork, update.key);
    input.kind = update.erase ? RecordKind::kTombstone : RecordKind::kPut;
    input.key = key.view();
    input.value = update.erase ? ByteView() : update.value;
    const segment::RecordView record = log.append(input);
    const SizeClass size(record.bytes, update.erase);
    appended.stored.push_back({.key = update.key, .place = Place(writer.segment, record.offset, size)});
    if (is_batch) writer.checksums.push_back(record.header.checksum);
    stored.sizes.add(size, record.bytes);
    ++input.write_version;
  }
  appended.last = --input.write_version;
  if (is_batch) log.append_batch_frame(batch_begin, writer.checksums, input);
  stored.end = log.tail();
  segments_.stored(writer.segment, stored);
}

Result<void> ForkStoreImpl::index(ForkState& fork, const Appended& appended) {
  VersionIndex::Outcome outcome;
  Result<void> stored;
  std::size_t uncounted = 0;
  {
    const auto inside = stale_at_hand_.enter();
    stored = index_->store(fork.number, tree_.get()->root(), appended.stored, outcome);
    if (open_.any()) release(outcome.stale);
    uncounted = segments_.indexed(appended.segment, appended.first, outcome.stale);
  }
  if (!outcome.touched.empty()) {
    const MutexLock lock(state_mutex_);
    fork.touched.insert(fork.touched.end(), outcome.touched.begin(), outcome.touched.end());
  }
  if (!stored) directory_->stop_writing(stored.error());  // A part of the batch is there, on disk all of it.
  CAIRN_TRY_VOID(stored);
  if (uncounted > tuning_.uncounted_max && tuning_.collect_by_itself) schedule_collect();
  return {};
}

/// The hard bound: who stores waits rather than let what is stale grow without end. Until there is room again, half of what each
/// step of the collector gives back may be stored.
Result<void> ForkStoreImpl::wait_for_collector(std::uint64_t bytes) {
  constexpr std::int64_t kLookMs = 10;
  CAIRN_REACHED("store waited for the collector");
  const std::int64_t begin_ms = environment_.clock.boot_ms();
  while (space_is_short_.load()) {
    if (allowance_.load() > 0) {
      allowance_.fetch_sub(static_cast<std::int64_t>(bytes));
      return {};
    }
    const std::int64_t left_ms = begin_ms + tuning_.write_wait_ms_max - environment_.clock.boot_ms();
    if (left_ms <= 0) {
      return fail(ErrorCode::kTimeout, "what no fork sees any more could not be given back in time; nothing was stored");
    }
    CAIRN_TRY_VOID(directory_->state());
    schedule_collect();
    std::shared_ptr<directory::Job> job;
    {
      const MutexLock lock(state_mutex_);
      CAIRN_TRY_VOID(check_open());
      job = collect_job_;
    }
    std::optional<Result<void>> done;
    if (job) done = environment_.jobs.wait_for(job, std::min(left_ms, kLookMs));
    if (done && !*done) environment_.clock.sleep_ms(std::min<std::int64_t>(left_ms, 100));  // It will be tried again.
  }
  return {};
}

}  // namespace cairn::forks
