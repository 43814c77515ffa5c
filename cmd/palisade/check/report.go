package check

import "fmt"

// Status is what came of a check.
type Status string

// The statuses. Only Failed means that policies are not, or would not be, enforced as they should.
const (
	OK      Status = "ok"
	Warning Status = "warning" // works, but somebody should know
	Failed  Status = "failed"
	Skipped Status = "skipped" // could not be looked at; Detail says why
)

// Check is one thing that was looked at.
type Check struct {
	ID     string `json:"id"` // for programs; does not change
	Status Status `json:"status"`
	Detail string `json:"detail"`       // what was found, for people
	Do     string `json:"do,omitempty"` // what should be done about it
}

func check(id string, s Status, format string, args ...any) Check {
	return Check{ID: id, Status: s, Detail: fmt.Sprintf(format, args...)}
}

func (c Check) do(format string, args ...any) Check {
	c.Do = fmt.Sprintf(format, args...)
	return c
}

// Phase is when the question is asked: before Palisade is installed, or after.
type Phase string

// The phases. Auto stands for After where Palisade is found, and for Before elsewhere.
const (
	Auto   Phase = "auto"
	Before Phase = "before"
	After  Phase = "after"
)

// Report is all that was looked at in one place.
type Report struct {
	Place  string  `json:"place"` // "cluster https://…" or "node NAME"
	Phase  Phase   `json:"phase"`
	Checks []Check `json:"checks"`
}

// Count returns how many checks have a status.
func (r Report) Count(s Status) int {
	n := 0
	for _, c := range r.Checks {
		if c.Status == s {
			n++
		}
	}
	return n
}
