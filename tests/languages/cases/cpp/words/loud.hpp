#pragma once
#include <string>

namespace words {
/// Says it loudly.
std::string shout(const std::string &text);
}  // namespace words
