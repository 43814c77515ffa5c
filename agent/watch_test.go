package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/bpf"
)

func TestAnAPIServerThatBreaksOffIsAskedAgainSoon(t *testing.T) {
	next := backoff().DelayWithReset(clock.RealClock{}, time.Hour)
	if first := next(); first > 150*time.Millisecond {
		t.Errorf("after one cut the agent waits %s, want at most 150 ms", first)
	}
	for i := range 100 {
		if wait := next(); wait > 1500*time.Millisecond {
			t.Errorf("after %d cuts the agent waits %s, want at most 1.5 s", i+2, wait)
		}
	}
}

// emptyAPI lists nothing, and watches until the connection ends. It knows no lists as streams, as old API servers do not.
func emptyAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch q := r.URL.Query(); {
	case q.Get("sendInitialEvents") != "":
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}`)
	case q.Get("watch") == "":
		_, _ = io.WriteString(w, `{"kind": "PolicyEndpointList", "apiVersion": "networking.k8s.aws/v1alpha1",
			"metadata": {"resourceVersion": "5"}}`)
	default:
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// TestALostAPIServerIsTold: a Reflector that is refused the connection says nothing to anybody.
func TestALostAPIServerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api")
	told := make(chan error, 1000)
	m := metrics.New(none[bpf.Counter], none[bpf.Memory])
	watchAPI(t, path, m, func(in core.Input) {
		if a, ok := in.(core.Asked); ok {
			told <- a.Err
		}
	})
	next := func() error {
		select {
		case err := <-told:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is told")
			return nil
		}
	}
	if err := next(); !utilnet.IsConnectionRefused(err) {
		t.Fatalf("told %v, want that the connection was refused", err)
	}
	end := serveEmptyAPI(t, path)
	for next() != nil { // until it says that it knows no lists as streams, which is an answer
	}
	failed := failures(t, m)
	if list, watch := next(), next(); list != nil || watch != nil || failed == 0 || failures(t, m) != failed {
		t.Fatalf("told %v and %v, and counted %v failures, had %v", list, watch, failures(t, m), failed)
	}
	end()
	if err := next(); !utilnet.IsConnectionRefused(err) || failures(t, m) <= failed {
		t.Errorf("told %v when the API server had gone, and counted %v failures, had %v", err, failures(t, m), failed)
	}
	end = serveEmptyAPI(t, path)
	for next() != nil {
	}
	end()
}

// watchAPI runs a Reflector that asks the API server at a unix socket, where nobody listens yet.
func watchAPI(t *testing.T, path string, m *metrics.Metrics, tell func(core.Input)) {
	serveEmptyAPI(t, path)()
	cfg := &rest.Config{Host: "http://api", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	r, err := newReflector(cfg, &sink{nil, tell}, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		r.RunWithContext(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// serveEmptyAPI serves until the end, after which connections are refused.
func serveEmptyAPI(t *testing.T, path string) (end func()) {
	t.Helper()
	_ = os.Remove(path) // of the one before
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	server := &http.Server{Handler: http.HandlerFunc(emptyAPI)}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	return func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
}

func none[T any]() ([]T, error) { return nil, nil }

// failures are how many questions were counted as failed.
func failures(t *testing.T, m *metrics.Metrics) (n float64) {
	t.Helper()
	w := httptest.NewRecorder()
	handler := promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{})
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	_, rest, _ := strings.Cut(w.Body.String(), `errors_total{step="watch-api"} `)
	_, _ = fmt.Sscan(rest, &n)
	return n
}
