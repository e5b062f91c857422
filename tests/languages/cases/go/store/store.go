package store

import (
	"example.com/shop/generated"
	"example.com/shop/shapes"
)

type Store[Item shapes.Shape] struct {
	items []Item
}

func (store *Store[Item]) Add(item Item) {
	if len(store.items) < generated.MaxShapes {
		store.items = append(store.items, item)
	}
}

func (store *Store[Item]) Largest() (best Item) {
	for index, item := range store.items {
		if index == 0 || item.Area() > best.Area() {
			best = item
		}
	}
	return best
}
