#include "text/moment.h"

#include "cli/cli.h"

namespace cairn::cli {

Moment moment_option(const std::string& text) {
  const Result<Moment> moment = parse_moment(text);
  if (!moment) throw BadArgument(moment.error().message);
  return *moment;
}

}  // namespace cairn::cli
