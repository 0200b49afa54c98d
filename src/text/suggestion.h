// Guesses what was meant by a misspelt name.
#pragma once
#include <string>
#include <vector>

#include "cairn/bytes.h"

namespace cairn {

/// "; did you mean 'NAME'?" with the name that differs least from `word`; empty if every name differs in more than a third of its
/// letters.
std::string suggestion(ByteView word, const std::vector<std::string>& names);

}  // namespace cairn
