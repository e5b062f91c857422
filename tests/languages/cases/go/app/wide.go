package app

import "example.com/shop/format"

func Mixed() string {
	mixed := "👋🏽" + "漢字" + "é" + format.Render(1, 0) + format.Render("漢", 2)
	tabbed := 1; after := "👋" + format.Render(tabbed, 0)
	return mixed + after
}
