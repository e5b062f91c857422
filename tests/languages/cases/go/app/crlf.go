package app

import "example.com/shop/format"

/* 👋 */ func First() string { return format.Render(1, 0) }
