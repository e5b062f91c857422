package app; import "example.com/shop/format"; func Marked() string { return format.Render(3, 0) }

func Last() string { return format.Render(4, 0) }