#include "storage/storage.h"

#include "base/error.h"

namespace cairn::storage {

Result<void> MappedFile::status() const {
  if (bad()) return fail(ErrorCode::kIo, "the device failed under mapped bytes", name_);
  return {};
}

Result<void> Storage::sync_published_name() {
  Result<void> synced = sync_names();
  if (!synced) synced.error().code = ErrorCode::kIo;
  return synced;
}

}  // namespace cairn::storage
