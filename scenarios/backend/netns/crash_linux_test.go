package netns_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// childVar makes the test binary a process that runs a cluster until it is killed.
const childVar = "PALISADE_TEST_RUN_CLUSTER"

func TestMain(m *testing.M) {
	if os.Getenv(childVar) == "" {
		code := m.Run()
		if err := removeBuilt(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
		os.Exit(code)
	}
	fmt.Println(runCluster(context.Background()))
	select {}
}

// runCluster starts a cluster with a busy listener and says how that went.
func runCluster(ctx context.Context) string {
	s, err := netns.New(netns.Options{}).Open(ctx)
	if err != nil {
		return err.Error()
	}
	if err := s.Apply(ctx, withService(cluster(), "a")); err != nil {
		return err.Error()
	}
	got, err := s.Probe(ctx, []backend.Probe{to("default/c", "10.96.0.1:80", flow.TCP, long)})
	if err != nil {
		return err.Error()
	}
	return got[0].Outcome.String()
}

func TestNothingIsLeftOfAKilledProcess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	before := traces(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVar+"=1")
	out, err := child.StdoutPipe()
	check(t, err)
	check(t, child.Start())
	defer func() { _ = child.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "connected\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	if during := traces(t); during != before {
		t.Errorf("names, links or mounts while it runs:\n%s\nbefore:\n%s", during, before)
	}

	objects := heldObjects(t, child.Process.Pid)
	graves := watch(t, child.Process.Pid)
	check(t, child.Process.Kill())
	_ = child.Wait()
	graves.await(t)
	awaitGone(t, objects)
	if after := traces(t); after != before {
		t.Errorf("names, links or mounts after it:\n%s\nbefore:\n%s", after, before)
	}
}

// traces is what anybody else can see of network namespaces and BPF file systems: names, mounts, links.
func traces(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("/run/netns/*")
	check(t, err)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	links, err := filepath.Glob("/sys/class/net/*")
	check(t, err)
	return fmt.Sprintf("%s\n%s\n%s", names, mounts, links)
}

// cemetery is told by the kernel when namespaces die: it gave each a number in a namespace of its own.
type cemetery struct {
	events *nl.NetlinkSocket
	alive  map[int]bool // by number
}

// watch numbers every namespace that a process holds, but for its own.
func watch(t *testing.T, pid int) *cemetery {
	t.Helper()
	home, err := ns.New()
	check(t, err)
	t.Cleanup(func() { check(t, home.Close()) })
	c := &cemetery{alive: map[int]bool{}}
	check(t, home.Do(func() (err error) {
		if c.events, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_NSID); err != nil {
			return err
		}
		return c.number(pid)
	}))
	t.Cleanup(c.events.Close)
	if len(c.alive) < 6 {
		t.Fatalf("the child holds %d namespaces, want at least 6: fabric, 2 nodes, 3 pods", len(c.alive))
	}
	return c
}

func (c *cemetery) number(pid int) error {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	seen := map[string]bool{own: true}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return err
	}
	for _, path := range fds {
		name, _ := os.Readlink(path)
		if !strings.HasPrefix(name, "net:[") || seen[name] {
			continue
		}
		seen[name] = true
		if err := c.bury(path, len(seen)); err != nil {
			return err
		}
	}
	return nil
}

// bury gives the namespace at a path a number.
func (c *cemetery) bury(path string, number int) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // closed since it was listed
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	c.alive[number] = true
	return netlink.SetNetNsIdByFd(int(f.Fd()), number)
}

// await reads what the kernel tells until all namespaces are dead.
func (c *cemetery) await(t *testing.T) {
	t.Helper()
	check(t, c.events.SetReceiveTimeout(&unix.Timeval{Sec: 20}))
	for len(c.alive) > 0 {
		messages, _, err := c.events.Receive()
		if err != nil {
			t.Fatalf("%d namespaces outlive their process: %v", len(c.alive), err)
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_DELNSID {
				continue
			}
			attrs, err := nl.ParseRouteAttr(m.Data[unix.SizeofRtGenmsg+3:])
			check(t, err)
			for _, a := range attrs {
				if a.Attr.Type == netlink.NETNSA_NSID {
					delete(c.alive, int(nl.NativeEndian().Uint32(a.Value)))
				}
			}
		}
	}
}

// object is a BPF object by kind ("map_id", "prog_id", "link_id") and number.
type object struct {
	kind string
	id   uint32
}

// heldObjects are the BPF objects that a process holds. It may close other files at the same time.
func heldObjects(t *testing.T, pid int) []object {
	t.Helper()
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	check(t, err)
	var out []object
	for _, path := range infos {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		check(t, err)
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if key == "map_id" || key == "prog_id" || key == "link_id" {
				id, err := strconv.ParseUint(strings.TrimSpace(value), 10, 32)
				check(t, err)
				out = append(out, object{key, uint32(id)})
			}
		}
	}
	if len(out) == 0 {
		t.Fatal("the child holds no BPF object")
	}
	return out
}

func (o object) gone() bool {
	var closer interface{ Close() error }
	var err error
	switch o.kind {
	case "map_id":
		closer, err = ebpf.NewMapFromID(ebpf.MapID(o.id))
	case "prog_id":
		closer, err = ebpf.NewProgramFromID(ebpf.ProgramID(o.id))
	case "link_id":
		closer, err = link.NewFromID(link.ID(o.id))
	}
	if err == nil {
		_ = closer.Close()
	}
	return errors.Is(err, os.ErrNotExist)
}

// awaitGone waits for the kernel, which frees objects after a grace period and tells nobody.
func awaitGone(t *testing.T, objects []object) {
	t.Helper()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(20 * time.Second)
	for _, o := range objects {
		for !o.gone() {
			select {
			case <-ticks.C:
			case <-deadline:
				t.Fatalf("%s %d outlives its process", o.kind, o.id)
			}
		}
	}
}
