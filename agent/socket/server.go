package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// Server answers requests.
type Server struct {
	// Handle answers a request that is complete, until its context ends.
	Handle func(context.Context, Request) (programmed bool, err error)
	// Timeout bounds each request, as does what the caller has time for.
	Timeout time.Duration
	Log     *slog.Logger
}

// Listen makes the socket, of mode 0600 from its first moment under that path. One that an earlier agent left is
// replaced.
func Listen(path string) (*net.UnixListener, error) {
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	err := os.Remove(fresh) // of an agent that was killed in the middle: in a container all have the same number
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l, err := listen(fresh)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", path, err), l.Close(), os.Remove(fresh))
	}
	return l, nil
}

func listen(path string) (*net.UnixListener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the file may be a later agent's by then
	return l, nil
}

// Serve answers until ctx is done, and returns when the last answer is given.
func (s *Server) Serve(ctx context.Context, l *net.UnixListener) error {
	var open sync.WaitGroup
	defer open.Wait()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		open.Go(func() { s.converse(ctx, conn) })
	}
}

// converse answers one connection.
func (s *Server) converse(ctx context.Context, conn *net.UnixConn) {
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	start := time.Now()
	var resp Response
	req, err := receive(conn, start.Add(s.Timeout))
	if err == nil {
		resp.Programmed, err = s.handle(ctx, req)
	}
	resp.Took = time.Since(start)
	if err != nil {
		resp.Error = err.Error()
	}
	s.Log.Info("answered the CNI plugin", "command", req.Command, "namespace", req.Namespace, "name", req.Name,
		"took", resp.Took, "programmed", resp.Programmed, "error", resp.Error)
	if err := errors.Join(conn.SetDeadline(time.Now().Add(time.Second)), json.NewEncoder(conn).Encode(resp)); err != nil {
		s.Log.Warn("cannot answer the CNI plugin", "error", err)
	}
}

// handle ends before the caller gives up: who hears nothing takes the agent for dead, and may start the pod unfiltered.
func (s *Server) handle(ctx context.Context, req Request) (programmed bool, err error) {
	if req.Patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Patience)
		defer cancel()
	}
	return s.Handle(ctx, req)
}

// errStranger is what a process that is not root's gets.
var errStranger = errors.New("only root may ask")

func receive(conn *net.UnixConn, deadline time.Time) (req Request, err error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return req, err
	}
	uid, err := peerUID(conn)
	if err != nil {
		return req, err
	}
	if uid != 0 {
		return req, errStranger
	}
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&req); err != nil {
		return req, fmt.Errorf("read request: %w", err)
	}
	return req, req.validate()
}
