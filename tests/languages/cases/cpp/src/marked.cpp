int three() { return 3; }
#include "shop.hpp"
/* é */ std::string marked() { return shop::render(three()); }
std::string last() { return marked() + shop::render(4); }