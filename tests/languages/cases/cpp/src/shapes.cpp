#include "shapes.hpp"
#include "format.hpp"

namespace shop {
std::string Shape::describe() const { return render(area()); }

int Circle::area() const { return 3 * radius_ * radius_; }

int Square::area() const { return side_ * side_; }

std::string Square::describe() const { return Shape::describe() + ", and straight"; }
}  // namespace shop
