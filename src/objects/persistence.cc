// The front of a Saver.
#include "cairn/persistence.h"

#include "base/clock.h"
#include "objects/saver.h"

namespace cairn::objects {

/// In a child of fork() the thread is not there, and locks may be held by threads that are not: the Saver is left as it is.
void SaverEnd::operator()(Saver* saver) const {
  if (saver->home().is_here()) delete saver;
}

Saving::~Saving() = default;

Result<void> Saving::open(ModelCore& core, std::unique_ptr<Store> store, const std::string& schema,
                          const WriteBehindOptions& options) {
  saver_.reset(new Saver(core, std::move(store), options, system_clock()));
  const Result<void> opened = saver_->open(schema);
  if (!opened) saver_.reset();  // Not closed: a store that was not taken over, or not read whole, is left as it is.
  return opened;
}

void Saving::end() {
  if (saver_ == nullptr) return;
  // A program that wants to know calls close() itself.
  saver_->close().ignore_error();
  saver_.reset();
}

Result<void> Saving::save_dirty_objects_as_needed() { return saver_->save_as_needed(); }
Result<void> Saving::flush() { return saver_->flush(); }
Result<void> Saving::wait_until_saved(Change change) { return saver_->wait_until_saved(change); }
Result<void> Saving::wait_for_room() { return saver_->wait_for_room(); }
Result<void> Saving::close() { return saver_->close(); }
WriteBehindStats Saving::save_stats() const { return saver_->stats(); }
const std::vector<std::string>& Saving::load_reports() const { return saver_->reports(); }

}  // namespace cairn::objects
