// What all directories open in one process share: clock, job runner, timers, memory budget. Tests bring their own.
#pragma once
#include <cstdint>

#include "base/clock.h"
#include "base/home_process.h"
#include "base/memory_budget.h"
#include "base/on_demand.h"
#include "cairn/bytes.h"
#include "directory/jobs.h"
#include "storage/bus_error.h"

namespace cairn::directory {

struct Environment {
  static constexpr std::uint64_t kMemoryDefault = 512 * kMiB;

  /// The rest of the maps that a process may have is for what has to be mapped.
  static constexpr std::size_t kOnDemandDefault = storage::kMapsMax / 4;

  /// `threaded` false: jobs and timers run only when asked to, for simulations.
  Environment(Clock& the_clock, bool threaded, std::uint64_t memory_bytes_max = kMemoryDefault,
              std::size_t on_demand_max = kOnDemandDefault)
      : clock(the_clock),
        memory(memory_bytes_max),
        on_demand(on_demand_max),
        jobs(the_clock, threaded ? 2 : 0),
        leases(the_clock, threaded),
        syncs(the_clock, threaded) {}

  /// The one of this process. A child made by fork() gets one of its own: the parent's threads are not there.
  static Environment& process();
  /// Starts the threads that are not running yet. To be called before a directory is opened. kUnavailable: the system gives
  /// this process no more threads at the moment; what was started stays, and a later call tries the others again.
  Result<void> start_threads();

  Clock& clock;
  MemoryBudget memory;
  OnDemandLimit on_demand;  // Files that are mapped when they are read.
  JobRunner jobs;
  Ticker leases;  // Renewals only: nothing slow may keep them waiting.
  Ticker syncs;   // The sync scheduler: background syncs and idle sync frames of all logs.
};

}  // namespace cairn::directory
