#include "format.hpp"

namespace shop {
std::string render(int value) { return std::to_string(value); }

std::string render(const std::string &value, unsigned width) {
  return value.size() < width ? std::string(width - value.size(), ' ') + value : value;
}
}  // namespace shop
