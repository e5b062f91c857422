package shop

import (
	"example.com/shop/format"
	"example.com/shop/shapes"
)

// Shape is the name that others use.
type Shape = shapes.Shape

// Rendered is the name that others use.
var Rendered = format.Render[int]
