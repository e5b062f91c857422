package shapes

import "example.com/shop/format"

// Shape is a thing with an area.
type Shape interface {
	Area() float64
	Describe() string
}

type Base struct {
	Name string
}

func (base Base) Describe() string {
	return base.Name
}

type Circle struct {
	Base
	Radius float64
}

func (circle *Circle) Area() float64 {
	return 3 * circle.Radius * circle.Radius
}

type Square struct {
	Base
	Side float64
}

func (square *Square) Area() float64 {
	return square.Side * square.Side
}

func (square *Square) Describe() string {
	return square.Base.Describe() + ", and straight " + format.Render(square.Area(), 0)
}
