package agent

import (
	"context"
	"sync"
)

// queue hands values from any goroutine to one, in order. It has no limit, so that nobody who puts a value in ever
// waits for somebody who waits for him.
type queue[T any] struct {
	mu     sync.Mutex
	values []T
	filled chan struct{} // holds one value while there is something to take
}

func newQueue[T any]() *queue[T] { return &queue[T]{filled: make(chan struct{}, 1)} }

func (q *queue[T]) put(v T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.values = append(q.values, v)
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

// take returns all values there are, at least one, or false when ctx is done.
func (q *queue[T]) take(ctx context.Context) ([]T, bool) {
	select {
	case <-ctx.Done():
		return nil, false
	case <-q.filled:
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	values := q.values
	q.values = nil
	return values, true
}
