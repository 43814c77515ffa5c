package agent

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// TestServingEndsWithTheLastAnswer, or when that takes too long.
func TestServingEndsWithTheLastAnswer(t *testing.T) {
	for name, takes := range map[string]time.Duration{"a moment": 100 * time.Millisecond, "for ever": time.Hour} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "http")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var answered atomic.Bool
			answers := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				cancel()
				select {
				case <-time.After(takes):
					answered.Store(true)
				case <-r.Context().Done():
				}
			})
			go func() {
				dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", path)
				}
				client := http.Client{Transport: &http.Transport{DialContext: dial}}
				if resp, err := client.Get("http://agent/metrics"); err == nil {
					_ = resp.Body.Close()
				}
			}()
			if err := serveHTTP(ctx, l, answers); err != nil {
				t.Fatal(err)
			}
			if want := takes < lastAnswers; answered.Load() != want {
				t.Errorf("serving ended with an answer: %v, want %v", answered.Load(), want)
			}
		})
	}
}
