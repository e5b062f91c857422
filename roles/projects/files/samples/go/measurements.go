// Package measurements sums up measurements.
package measurements

import "errors"

// ErrNone says that there is nothing to sum up.
var ErrNone = errors.New("there are no measurements to sum up")

// Measurement is one number that was measured, and what it was measured of.
type Measurement struct {
	Name  string
	Value float64
}

// Summary is what a list of measurements comes to.
type Summary struct {
	Count   int
	Mean    float64
	Largest string
}

// ProcessData sums up measurements; without any it gives ErrNone.
func ProcessData(measurements []Measurement) (Summary, error) {
	if len(measurements) == 0 {
		return Summary{}, ErrNone
	}
	largest, total := measurements[0], 0.0
	for _, one := range measurements {
		total += one.Value
		if one.Value > largest.Value {
			largest = one
		}
	}
	return Summary{
		Count:   len(measurements),
		Mean:    total / float64(len(measurements)),
		Largest: largest.Name,
	}, nil
}
