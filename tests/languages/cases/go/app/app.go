package app

import (
	"example.com/shop"
	"example.com/shop/format"
	"example.com/shop/shapes"
	"example.com/shop/store"
	"example.com/words"
)

func Build(sides []float64) *store.Store[shop.Shape] {
	built := &store.Store[shop.Shape]{}
	for _, side := range sides {
		built.Add(&shapes.Square{Side: side})
	}
	built.Add(&shapes.Circle{Radius: 1})
	return built
}

func Report(built *store.Store[shop.Shape]) string {
	return words.Shout(format.Render(built.Largest().Area(), 0) + shop.Rendered(1, 2))
}
