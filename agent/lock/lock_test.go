package lock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// TestOneAgentAtATimeHoldsThePins: the next one says that it waits, goes on when the one before is gone, and ends when
// it is told to.
func TestOneAgentAtATimeHoldsThePins(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pins")
	first, err := Take(t.Context(), dir, func() {})
	if err != nil {
		t.Fatal(err)
	}
	waits := 0
	count := func() { waits++ }
	ctx, cancel := context.WithTimeout(t.Context(), 3*every)
	defer cancel()
	if _, err := Take(ctx, dir, count); !errors.Is(err, context.DeadlineExceeded) || waits != 1 {
		t.Fatalf("error %v beside another agent, want that of the context; said %d times that it waits", err, waits)
	}
	time.AfterFunc(every, func() { _ = first.Close() })
	second, err := Take(t.Context(), dir, count)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
