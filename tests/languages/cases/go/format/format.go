package format

import "fmt"

// Render writes a value with a width.
func Render[T any](value T, width int) string {
	return fmt.Sprintf("%*v", width, value)
}
