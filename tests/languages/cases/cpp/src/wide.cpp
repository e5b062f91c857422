#include "shop.hpp"

std::string mixed() {
  std::string mixed = std::string("👋🏽") + "漢字" + "é" + shop::render(1) + shop::render("漢", 2);
	int tabbed = 1; std::string after = "👋" + shop::render(tabbed);
  return mixed + after + QUOTED(tabbed);
}
