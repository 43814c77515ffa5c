package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// stuckAfter is how long an agent may need for one event before it is taken to hang. A Tick comes every heartbeat, so that
// an agent that hangs can be told from one that has nothing to do.
const (
	heartbeat  = 5 * time.Second
	stuckAfter = 30 * time.Second
)

// lastAnswers is how long the answers that are under way when an agent ends may take.
const lastAnswers = time.Second

// handler serves /healthz, /readyz, /in-force, /metrics and, if asked for, /debug/pprof/.
func (l *loop) handler(withPprof bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", answer("the agent hangs", func() bool {
		return time.Since(time.Unix(0, l.beat.Load())) < stuckAfter
	}))
	mux.HandleFunc("GET /readyz", answer("policies are not in force yet", l.ready.Load))
	mux.HandleFunc("GET /in-force", l.tellInForce)
	mux.Handle("GET /metrics", promhttp.HandlerFor(l.metrics.Registry, promhttp.HandlerOpts{}))
	if withPprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// tellInForce answers with the resourceVersion up to which PolicyEndpoints are in force, for those who wait for a change.
func (l *loop) tellInForce(w http.ResponseWriter, _ *http.Request) {
	version, _ := l.inForce.Load().(string)
	fmt.Fprintln(w, version)
}

func answer(problem string, ok func() bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if !ok() {
			http.Error(w, problem, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
}

// serveHTTP serves until ctx is done. It returns when the last answer is given, since counters are read from memory that
// is unmapped afterwards; one that takes longer than lastAnswers is cut off.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { ended <- end(server) })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return <-ended
}

func end(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), lastAnswers)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		return server.Close()
	}
	return nil
}
