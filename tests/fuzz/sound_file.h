// Makes any bytes a sealed file whose checksums are right, so that what lies behind them is reached too.
#pragma once
#include "sealed/sealed_format.h"

namespace cairn::test {

inline void make_sound(Bytes& bytes, const sealed::DatabaseId& database, std::uint64_t number, std::uint16_t view,
                       std::uint16_t family = 0) {
  using namespace sealed;  // NOLINT(google-build-using-namespace)
  if (bytes.size() < 3 * kPageBytes) bytes.resize(3 * kPageBytes);
  auto preamble = load<Preamble>(bytes.data());
  preamble.magic = kMagic;
  preamble.format = kFormat;
  preamble.database = database;
  preamble.number = number;
  preamble.view = view;
  preamble.family = family;
  preamble.flags &= kOneVersion;
  preamble.reserved = {};
  bytes.resize(round_up(bytes.size(), kPageBytes));
  preamble.file_bytes = bytes.size();
  preamble.sum_pages = sum_pages_for(bytes.size());
  const std::uint64_t sums = page_sums_offset(preamble.sum_pages);
  const std::uint64_t objects = objects_offset(preamble.sum_pages);
  if (objects + kPageBytes > bytes.size()) return;
  const auto sum = [&](std::uint64_t page) {
    return static_cast<std::uint32_t>(xxh3({bytes.data() + page * kPageBytes, kPageBytes}));
  };
  for (std::uint64_t page = objects / kPageBytes; page + 1 < bytes.size() / kPageBytes; ++page) {
    store(bytes.data() + sums + page * 4, sum(page));
  }
  for (std::uint64_t i = 0; i < preamble.sum_pages; ++i) store(bytes.data() + kPageBytes + i * 4, sum(sums / kPageBytes + i));
  preamble.sums_checksum = xxh3({bytes.data() + kPageBytes, sums_of_sums_bytes(preamble.sum_pages)});
  preamble.checksum = xxh3(bytes_of(preamble).substr(0, offsetof(Preamble, checksum)));
  store(bytes.data(), preamble);
  store(bytes.data() + bytes.size() - kPageBytes, preamble);
}

}  // namespace cairn::test
