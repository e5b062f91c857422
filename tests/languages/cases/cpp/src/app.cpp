#include "shop.hpp"

namespace app {
Shapes build(const std::vector<int> &sides) {
  Shapes store;
  for (int side : sides) {
    store.add(std::make_unique<shop::Square>(side));
  }
  store.add(std::make_unique<shop::Circle>(1));
  return store;
}

std::string report(const Shapes &store) {
  const shop::Shape *largest = store.largest();
  return shout(largest == nullptr ? render("none", 6) : render(largest->area()));
}
}  // namespace app
