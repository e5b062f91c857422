#pragma once
#include "format.hpp"
#include "loud.hpp"
#include "shapes.hpp"
#include "store.hpp"

namespace app {
using shop::render;
using words::shout;
using Shapes = shop::Store<shop::Shape>;

Shapes build(const std::vector<int> &sides);
std::string report(const Shapes &store);
}  // namespace app
