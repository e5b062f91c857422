package app

import (
	"testing"

	"example.com/shop/shapes"
)

func TestReport(t *testing.T) {
	if got := Report(Build([]float64{2, 3})); got != "9 1!" {
		t.Fatal(got)
	}
}

func TestSquare(t *testing.T) {
	var shape shapes.Shape = &shapes.Square{Side: 2}
	if shape.Area() != 4 || shape.Describe() != ", and straight 4" {
		t.Fatal(shape.Describe())
	}
}
