// Command go-cli prints a line about measurements written as name=value.
package main

import (
	"fmt"
	"os"

	measurements "example.org/go-cli"
)

func main() {
	line, err := report(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(line)
}

// report gives one line of text about measurements written as name=value.
func report(arguments []string) (string, error) {
	given := make([]measurements.Measurement, 0, len(arguments))
	for _, text := range arguments {
		one, err := measurements.ParseMeasurement(text)
		if err != nil {
			return "", err
		}
		given = append(given, one)
	}
	summary, err := measurements.ProcessData(given)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d measurements, mean %.2f, largest %s", summary.Count, summary.Mean, summary.Largest), nil
}
