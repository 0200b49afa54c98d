// Any bytes as a segment: recovery and replay end with an answer or an error. An odd first byte asks for the checksums to
// be made right first, so that what lies behind them is reached too.
#include <cstring>

#include "segment/segment_reader.h"
#include "segment/segment_salvage.h"
#include "support/memory_file.h"

using namespace cairn;           // NOLINT(google-build-using-namespace)
using namespace cairn::segment;  // NOLINT(google-build-using-namespace)

namespace {

constexpr DatabaseId kDatabase{1, 2};

void repair(Bytes& bytes) {
  SegmentHeader header{.magic = kMagic,
                       .format = kFormat,
                       .view = 1,
                       .database = kDatabase,
                       .number = 1,
                       .salt = 3,
                       .epoch = 1,
                       .capacity = bytes.size(),
                       .reserved = {},
                       .checksum = 0};
  header.checksum = xxh3(bytes_of(header).substr(0, offsetof(SegmentHeader, checksum)));
  if (bytes.size() < kHeaderBytes) bytes.resize(kHeaderBytes);
  store(bytes.data(), header);
  const std::uint64_t seed = segment_seed(kDatabase, 1, 3);
  for (std::uint64_t at = kHeaderBytes; at + kRecordHeaderBytes <= bytes.size();) {
    char* const record = bytes.data() + at;
    store(record + offsetof(RecordHeader, header_check),
          static_cast<std::uint32_t>(xxh3({record + 8, 28}, record_seed(seed, at))));
    const auto fields = load<RecordHeader>(record);
    const std::uint64_t size = record_bytes(fields.key_size, fields.value_size, fields.flags);
    if (size > bytes.size() - at) break;
    store(record, xxh3({record + 8, size - 8}, record_seed(seed, at)));
    at += size;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  auto bytes = std::make_shared<Bytes>(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1) != 0) repair(*bytes);
  const auto file = std::make_shared<test::MemoryFile>(bytes, "1-1-00000001.segment");
  if (const auto salvage = SegmentSalvage::open(file, 1, kDatabase)) {
    std::vector<Error> lost;
    salvage->read(data[0] / 2 * 8, [](const RecordView&) {}, lost);
  }
  const auto reader = SegmentReader::open(std::make_shared<test::MemoryFile>(bytes), kDatabase, 1, 1);
  if (!reader) return 0;
  const auto visit = [](const RecordView&) { return Result<void>{}; };
  (void)reader->replay(bytes->size(), visit);
  const auto found = reader->recover(data[0] / 2 * 8);
  if (found && !reader->replay(found->end, visit)) __builtin_trap();  // What recovery calls sound must replay.
  return 0;
}
