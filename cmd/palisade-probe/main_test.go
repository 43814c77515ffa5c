package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// call runs a command line and returns its exit code, what it printed and its error.
func call(ctx context.Context, in string, args ...string) (int, string, error) {
	var out, log bytes.Buffer
	code, err := run(ctx, args, strings.NewReader(in), &out, &log)
	return code, out.String(), err
}

func TestWrongUsageExitsWith2(t *testing.T) {
	for name, args := range map[string][]string{
		"nothing":             {},
		"an unknown command":  {"listen"},
		"a port that is none": {"serve", "--listen", "TCP/0x"},
		"an address":          {"serve", "--addresses", "here"},
		"an exit code":        {"exit", "soon"},
	} {
		if code, _, err := call(t.Context(), "", args...); code != 2 || err == nil {
			t.Errorf("%s: exit code %d, error %v", name, code, err)
		}
	}
	if code, _, err := call(t.Context(), "", "exit", "7"); code != 7 || err != nil {
		t.Errorf("exit 7: exit code %d, error %v", code, err)
	}
}

func TestRequestsAreReadStrictlyEnough(t *testing.T) {
	r, err := parseRequest([]byte(` [{"protocol": "TCP", "to": "10.0.0.7:80"}]`))
	if err != nil || len(r.Probes) != 1 || r.Probes[0].To.Port() != 80 {
		t.Errorf("a list of targets: %+v, %v", r, err)
	}
	r, err = parseRequest([]byte(`{"ask": ["talk"], "timeout": 1000}`))
	if err != nil || len(r.Ask) != 1 || r.Timeout != time.Microsecond {
		t.Errorf("a request: %+v, %v", r, err)
	}
	if _, err := parseRequest([]byte(`[{"to": "nowhere"}]`)); err == nil {
		t.Error("a target that is no address was taken")
	}
}

// inNamespace runs a test on a thread in a network namespace of its own, where loopback has an address of a pod.
func inNamespace(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create a network namespace")
	}
	space, err := ns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := space.Close(); err != nil {
			t.Error(err)
		}
	}()
	err = space.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("10.7.7.7/32")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(lo, addr); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		f()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestServeAndProbe lets a probe call itself, over both ways to bring requests, and ends it by one.
func TestServeAndProbe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	var server *exec.Cmd
	inNamespace(t, func() { // which a process inherits, and not the goroutines of this one
		server = serveProcess(t, "--name", "n/self", "--listen", "TCP/80,UDP/80", "--socket", path)
	})
	targets := `[{"protocol": "TCP", "to": "10.7.7.7:80"}, {"protocol": "UDP", "to": "10.7.7.7:80"},
		{"protocol": "TCP", "to": "10.7.7.7:81"}]`
	code, out, err := call(t.Context(), "", "probe", "--socket", path, targets)
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, error %v", code, err)
	}
	var reply wire.Reply
	if err := json.Unmarshal([]byte(out), &reply); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{wire.Connected, wire.Connected, wire.Refused} {
		if reply.Results[i].Outcome != want {
			t.Errorf("target %d: %+v, want %s", i, reply.Results[i], want)
		}
	}
	requests := `{"listen": [{"protocol": "TCP", "at": "10.7.7.7:81"}]} {"ask": ["nobody"]} {"exit": 3}`
	code, out, err = call(t.Context(), requests, "probe", "--socket", path, "--stream")
	understood := strings.Count(out, "\n") == 3 && strings.Contains(out, "no connection nobody")
	if err != nil || code != 0 || !understood {
		t.Errorf("exit code %d, error %v, replies %q", code, err, out)
	}
	waitExit(t, server, 3)
}
