#pragma once
#include <string>

#define QUOTED(value) ("'" + shop::render(value) + "'")

namespace shop {
/// Writes a number.
std::string render(int value);
/// Writes a text with a width.
std::string render(const std::string &value, unsigned width);
}  // namespace shop
