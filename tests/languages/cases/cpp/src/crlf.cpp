#include "shop.hpp"

/* 👋 */ std::string first() { return shop::render(1); }
