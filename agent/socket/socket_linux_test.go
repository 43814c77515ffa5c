package socket_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/agent/socket"
)

// serve starts a server with a handler and returns the path of its socket.
func serve(t *testing.T, timeout time.Duration, handle func(context.Context, socket.Request) (bool, error)) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: nobody else is answered")
	}
	dir, err := os.MkdirTemp("/tmp", "palisade-socket-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "agent.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	server := &socket.Server{Handle: handle, Timeout: timeout, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return path
}

func yes(context.Context, socket.Request) (bool, error) { return true, nil }

var add = socket.Request{Command: socket.Add, Namespace: "shop", Name: "web", HostInterfaces: []string{"eni1"}}

func TestCallGetsTheAnswer(t *testing.T) {
	path := serve(t, time.Second, yes)
	resp, err := socket.Call(t.Context(), path, add)
	if err != nil || !resp.Programmed || resp.Took <= 0 {
		t.Errorf("%+v, %v; want programmed, and how long it took", resp, err)
	}
}

func TestSocketBelongsToRootAlone(t *testing.T) {
	path := serve(t, time.Second, yes)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
	// Even where the modes would let others in, they get no answer.
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	called := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread belongs to nobody from here on
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			called <- errno
			return
		}
		_, err := socket.Call(context.Background(), path, add)
		called <- err
	}()
	var refused *socket.Refused
	if err := <-called; !errors.As(err, &refused) || !strings.Contains(refused.Reason, "root") {
		t.Errorf("another user got %v, want a refusal", err)
	}
}

func TestListenReplacesWhatAnEarlierAgentLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	for range 2 {
		l, err := socket.Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := socket.Call(t.Context(), path, add); !errors.Is(err, socket.ErrDown) {
		t.Errorf("error %v for a socket nobody listens at, want ErrDown", err)
	}
}

// TestListenReplacesWhatAKilledAgentLeft: between making the socket and giving it its name, with the same process id.
func TestListenReplacesWhatAKilledAgentLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("%s.%d", path, os.Getpid()), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	if err := killed.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) != 0 {
		t.Errorf("%v, %v is left", left, err)
	}
}

func TestWrongRequestsAreRefused(t *testing.T) {
	path := serve(t, 200*time.Millisecond, yes)
	for name, text := range map[string]string{
		"no JSON":         "hello\n",
		"unknown command": `{"command": "EXEC"}`,
		"no pod":          `{"command": "ADD", "hostInterfaces": ["eni1"]}`,
		"no interface":    `{"command": "ADD", "namespace": "shop", "name": "web"}`,
		"bad address":     `{"command": "ADD", "namespace": "shop", "name": "web", "addresses": ["10.0.0"]}`,
		"too long":        `{"command": "` + strings.Repeat("x", 1<<17),
		"nothing":         "",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			go func() { _, _ = conn.Write([]byte(text)) }() // the server may stop reading before the end
			answer := make([]byte, 4096)
			n, err := conn.Read(answer)
			if err != nil || !strings.Contains(string(answer[:n]), `"error"`) {
				t.Errorf("answer %q, %v; want an error", answer[:n], err)
			}
		})
	}
}

func TestHandlerMayNotOutliveTheTimeout(t *testing.T) {
	path := serve(t, 50*time.Millisecond, func(ctx context.Context, _ socket.Request) (bool, error) {
		<-ctx.Done()
		return false, ctx.Err()
	})
	var refused *socket.Refused
	if _, err := socket.Call(t.Context(), path, add); !errors.As(err, &refused) {
		t.Errorf("error %v, want a refusal", err)
	}
}

// TestHandlerEndsBeforeTheCallerGivesUp: an answer that comes later is silence, which may let a pod start unfiltered.
func TestHandlerEndsBeforeTheCallerGivesUp(t *testing.T) {
	ends := make(chan time.Time, 1)
	path := serve(t, time.Hour, func(ctx context.Context, _ socket.Request) (bool, error) {
		end, _ := ctx.Deadline()
		ends <- end
		return true, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := socket.Call(ctx, path, add); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(<-ends); left > time.Minute {
		t.Errorf("the handler may work for another %s, where the caller waits a minute", left)
	}
}
