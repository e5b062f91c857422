#pragma once
#include "limits.hpp"
#include <algorithm>
#include <memory>
#include <vector>

namespace shop {
template <typename Item> class Store {
public:
  void add(std::unique_ptr<Item> item) {
    if (items_.size() < max_shapes) {
      items_.push_back(std::move(item));
    }
  }

  const Item *largest() const {
    const Item *best = nullptr;
    for (const auto &item : items_) {
      best = best == nullptr || item->area() > best->area() ? item.get() : best;
    }
    return best;
  }

private:
  std::vector<std::unique_ptr<Item>> items_;
};
}  // namespace shop
