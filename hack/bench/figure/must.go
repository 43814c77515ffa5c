package figure

import "fmt"

// Must is what a figure may be at most; one of its fields is not zero.
type Must struct {
	Ratio float64
	Time  float64 // nanoseconds
	Bytes float64
}

// of returns what the limit is about, and the limit.
func (m Must) of(r Result) (have, limit float64) {
	switch {
	case m.Ratio > 0:
		return r.Ratio, m.Ratio
	case m.Time > 0:
		return r.Time, m.Time
	}
	return r.Bytes, m.Bytes
}

// Met says whether r keeps within the limit.
func (m Must) Met(r Result) bool {
	have, limit := m.of(r)
	return have <= limit
}

// String is the limit as the table prints it.
func (m Must) String() string {
	switch {
	case m.Ratio > 0:
		return fmt.Sprintf("≤ %s", ratio(m.Ratio))
	case m.Time > 0:
		return "≤ " + duration(m.Time)
	}
	return "≤ " + size(m.Bytes)
}
