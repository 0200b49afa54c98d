#include "storage/storage.h"

#include "base/error.h"

namespace cairn::storage {

Result<void> MappedFile::status() const {
  if (bad()) return fail(ErrorCode::kIo, "the device failed under mapped bytes", name_);
  return {};
}

}  // namespace cairn::storage
