// What Cairn returns, or the end of the process.
#pragma once
#include <utility>

#include "bench/engine.h"
#include "cairn/result.h"

namespace cairn::bench {

template <typename T>
T value_of(Result<T> result) {
  if (!result) give_up(result.error().to_string());
  return *std::move(result);
}
inline void check(const Result<void>& result) {
  if (!result) give_up(result.error().to_string());
}

}  // namespace cairn::bench
