#include "shop.hpp"

int main() {
  shop::Square square(2);
  bool right = app::report(app::build({2, 3})) == "9!" && square.area() == 4;
  return right && square.describe() == "4, and straight" && app::render(4) == "4" ? 0 : 1;
}
