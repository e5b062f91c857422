package measurements_test

import (
	"errors"
	"strings"
	"testing"

	measurements "example.org/go-cli"
)

func TestCountsAveragesAndFindsTheLargest(t *testing.T) {
	given := []measurements.Measurement{{Name: "a", Value: 1}, {Name: "b", Value: 5}}
	expected := measurements.Summary{Count: 2, Mean: 3, Largest: "b"}
	if got, err := measurements.ProcessData(given); err != nil || got != expected {
		t.Errorf("ProcessData(%v) = %v, %v; want %v", given, got, err, expected)
	}
}

func TestRefusesAnEmptyList(t *testing.T) {
	if _, err := measurements.ProcessData(nil); !errors.Is(err, measurements.ErrNone) {
		t.Errorf("ProcessData(nil) gives the error %v; want %v", err, measurements.ErrNone)
	}
}

func TestSaysWhatIsWrong(t *testing.T) {
	for text, sentence := range map[string]string{"depth": "name=value", "depth=deep": "not a number"} {
		if _, err := measurements.ParseMeasurement(text); err == nil || !strings.Contains(err.Error(), sentence) {
			t.Errorf("ParseMeasurement(%q) gives the error %v; want one with %q", text, err, sentence)
		}
	}
}
