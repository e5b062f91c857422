#include "loud.hpp"

namespace words {
std::string shout(const std::string &text) { return text + "!"; }
}  // namespace words
