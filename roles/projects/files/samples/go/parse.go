package measurements

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseMeasurement reads a measurement written as name=value.
func ParseMeasurement(text string) (Measurement, error) {
	name, number, found := strings.Cut(text, "=")
	if !found {
		return Measurement{}, fmt.Errorf("%q is not of the form name=value", text)
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return Measurement{}, fmt.Errorf("%q in %q is not a number", number, text)
	}
	return Measurement{Name: name, Value: value}, nil
}
