#pragma once
#include "format.hpp"  // IWYU pragma: export
#include "loud.hpp"  // IWYU pragma: export
#include "shapes.hpp"  // IWYU pragma: export
#include "store.hpp"  // IWYU pragma: export

namespace app {
using shop::render;
using words::shout;
using Shapes = shop::Store<shop::Shape>;

Shapes build(const std::vector<int> &sides);
std::string report(const Shapes &store);
}  // namespace app
