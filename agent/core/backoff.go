package core

import "time"

// backoff spaces the attempts at something that fails: twice as long after each failure. The zero value never waits.
type backoff struct {
	first, max time.Duration
	failures   int
	at         time.Time // of the next attempt
	err        error     // of the last attempt
}

func (b *backoff) ready(now time.Time) bool { return !now.Before(b.at) }

func (b *backoff) fail(now time.Time, err error) {
	wait := b.max
	if b.failures < 20 { // beyond that any first wait has reached its maximum, and the shift would overflow
		wait = min(b.first<<b.failures, b.max)
	}
	b.failures++
	b.at, b.err = now.Add(wait), err
}

func (b *backoff) succeed() { b.failures, b.at, b.err = 0, time.Time{}, nil }
