package figure

import (
	"encoding/json"
	"fmt"
	"os"
)

// Result is one line of the table. What was not measured is zero.
type Result struct {
	Name  string  `json:"name"`
	Base  float64 `json:"okNanoseconds,omitempty"` // of what the figure is compared with, in nanoseconds
	Time  float64 `json:"nanoseconds,omitempty"`   // per Unit
	Ratio float64 `json:"ratio,omitempty"`         // median of the rounds' ratios
	Bytes float64 `json:"bytes,omitempty"`         // of kernel memory
	Unit  string  `json:"unit,omitempty"`          // what the table counts per second; empty: nothing
}

// Left is a line that the table does not have, and why.
type Left struct{ Name, Reason string }

// Read reads the results that an earlier run wrote, by name; none from an empty path.
func Read(path string) (map[string]Result, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Result
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	byName := map[string]Result{}
	for _, r := range list {
		byName[r.Name] = r
	}
	return byName, nil
}

// Write writes results for a later Read.
func Write(path string, results []Result) error {
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
