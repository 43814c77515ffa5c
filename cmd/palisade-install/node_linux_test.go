package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/palisade-netpol/palisade/agent/lock"
	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// mountEnv makes the test binary mount twice, in a mount namespace of its own.
const mountEnv = "PALISADE_TEST_MOUNT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(mountEnv); dir != "" {
		for range 2 {
			if err := run(context.Background(), []string{"mount-bpffs", "-path", dir}, os.Stdout); err != nil {
				panic(err)
			}
		}
		return
	}
	os.Exit(m.Run())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it changes interfaces and mounts")
	}
}

func TestMountsOnlyOnce(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), mountEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	want := "mounted a BPF file system on " + dir + "\n" + dir + " is a BPF file system already\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
	if here, err := isBPF(dir); err != nil || here {
		t.Errorf("mounted here too: %v %v", here, err)
	}
}

// TestRemoveLeavesNothing that has an effect: it attaches filters as an agent does, with both kinds of hook, and takes
// them off again.
func TestRemoveLeavesNothing(t *testing.T) {
	needRoot(t)
	for name, mode := range map[string]hook.Mode{"auto": hook.Auto, "clsact": hook.Clsact} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			pins := newPins(t)
			n := newNode(t, map[string]string{"10-aws.conflist": awsList})
			if err := n.install(); err != nil {
				t.Fatal(err)
			}
			index := attachToVeth(t, pins, mode)
			var out bytes.Buffer
			args := []string{
				"remove", "-pins", pins, "-conf-dir", n.conf, "-socket", filepath.Join(n.bin, "agent.sock"),
			}
			if err := run(t.Context(), args, &out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), "took filters off 1 interfaces") {
				t.Errorf("said %s", out.String())
			}
			for _, path := range []string{pins, filepath.Join(n.conf, configName)} {
				if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there", path)
				}
			}
			// Pods that the plugin started are still to be ended by it.
			for _, path := range []string{filepath.Join(n.conf, "10-aws.conflist"), filepath.Join(n.bin, pluginName)} {
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
			}
			if mode == hook.Clsact {
				expectNoFilter(t, index)
			}
			out.Reset()
			if err := run(t.Context(), args, &out); err != nil || out.Len() > 0 {
				t.Errorf("on a clean node: %v, said %s", err, out.String())
			}
		})
	}
}

// TestRemoveWaitsForTheAgent: an agent that still runs would put everything back.
func TestRemoveWaitsForTheAgent(t *testing.T) {
	needRoot(t)
	n := newNode(t, map[string]string{"10-aws.conflist": awsList})
	if err := n.install(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := socket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 100)
	server := &socket.Server{Timeout: time.Second, Log: slog.New(slog.DiscardHandler),
		Handle: func(context.Context, socket.Request) (bool, error) {
			asked <- struct{}{}
			return true, nil
		}}
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	args := []string{"remove", "-pins", "/none", "-conf-dir", n.conf, "-socket", path}
	err = run(t.Context(), append(args, "-wait", "100ms"), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "an agent still runs") {
		t.Errorf("beside an agent: %v", err)
	}
	if _, err := os.Stat(filepath.Join(n.conf, configName)); err != nil {
		t.Errorf("removed all the same: %v", err)
	}
	removed := make(chan error, 1)
	<-asked
	go func() { removed <- run(t.Context(), args, io.Discard) }()
	<-asked // it waits
	end()
	if err := errors.Join(<-served, <-removed); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(n.conf, configName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the configuration is still there: %v", err)
	}
}

// TestRemoveWaitsForWhoHoldsThePins: an agent that starts, hangs or is about to end answers nobody.
func TestRemoveWaitsForWhoHoldsThePins(t *testing.T) {
	n := newNode(t, map[string]string{"10-aws.conflist": awsList})
	if err := n.install(); err != nil {
		t.Fatal(err)
	}
	pins := t.TempDir()
	held, err := lock.Take(t.Context(), pins, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	err = run(t.Context(), []string{"remove", "-pins", pins, "-conf-dir", n.conf,
		"-socket", filepath.Join(n.bin, "agent.sock"), "-wait", "100ms"}, io.Discard)
	if !errors.Is(err, errRunning) {
		t.Errorf("%v, want %v", err, errRunning)
	}
	for _, path := range []string{pins, filepath.Join(n.conf, configName)} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("removed all the same: %v", err)
		}
	}
}

// inNamespace moves the test to a network namespace of its own, until it ends.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and the namespace with it
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
}

func newPins(t *testing.T) string {
	t.Helper()
	f, err := pinfs.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	dir, err := f.Mkdir("palisade")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// attachToVeth makes an interface, filters it and lets go of everything, as an agent that ends.
func attachToVeth(t *testing.T, pins string, mode hook.Mode) int {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "pod"}, PeerName: "peer"}); err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByName("pod")
	if err != nil {
		t.Fatal(err)
	}
	node, err := bpf.Open(bpf.Options{Dir: pins})
	if err != nil {
		t.Fatal(err)
	}
	hooks := hook.Hooks{Node: node, Mode: mode}
	if err := hooks.Attach(l.Attrs().Index); err != nil {
		t.Fatal(err)
	}
	has, err := hooks.Has(l.Attrs().Index)
	if err := errors.Join(err, node.Close()); err != nil || !has {
		t.Fatalf("attached: %v, %v", has, err)
	}
	return l.Attrs().Index
}

func expectNoFilter(t *testing.T, index int) {
	t.Helper()
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(link, parent)
		if err != nil || len(filters) > 0 {
			t.Errorf("filters %v, %v", filters, err)
		}
	}
}
