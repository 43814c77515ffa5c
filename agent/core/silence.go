package core

import (
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/enforce"
)

// silence is since when the API server does not answer. The zero value says that it does.
type silence struct {
	since time.Time
	err   error // of the first question without an answer
}

// asked notes how a question ended.
func (s *silence) asked(now time.Time, err error) {
	switch {
	case err == nil:
		*s = silence{}
	case s.err == nil:
		*s = silence{now, err}
	}
}

// conditions name a silence that has lasted for some time, since what changed meanwhile is not in force.
func (s *silence) conditions(now time.Time, patience time.Duration) []enforce.Condition {
	if s.err == nil || now.Before(s.since.Add(patience)) {
		return nil
	}
	message := fmt.Sprintf("policies may be out of date, as the API server does not tell them: %v", s.err)
	return []enforce.Condition{{Object: "node", Message: message}}
}
