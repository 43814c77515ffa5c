package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOneAgentAtATimeHoldsThePins: the next one says that it waits, goes on when the one before is gone, and ends when
// it is told to.
func TestOneAgentAtATimeHoldsThePins(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pins")
	first, err := lock(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
	defer cancel()
	if _, err := lock(ctx, dir, log); !errors.Is(err, context.DeadlineExceeded) || strings.Count(said.String(), dir) != 1 {
		t.Fatalf("error %v beside another agent, want that of the context; log:\n%s", err, &said)
	}
	time.AfterFunc(lockEvery, func() { _ = first.Close() })
	second, err := lock(t.Context(), dir, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
