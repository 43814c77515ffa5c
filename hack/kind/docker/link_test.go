package docker

import (
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestConnectGivesADaemonItsNetwork runs in network namespaces of its own, one for the machine and one for the daemon.
func TestConnectGivesADaemonItsNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes network namespaces")
	}
	runtime.LockOSThread() // and ends with the test: its namespace is the machine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	daemon := exec.CommandContext(t.Context(), "cat")
	daemon.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if _, err := daemon.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	if err := connect(daemon.Process.Pid); err != nil {
		t.Fatal(err)
	}
	link, err := netlink.LinkByName(hostLink)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{LinkIndex: link.Attrs().Index},
		netlink.RT_FILTER_OIF)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(routes, func(r netlink.Route) bool {
		return r.Dst != nil && r.Dst.Contains(daemonAddress().AsSlice())
	}) {
		t.Errorf("no route of the machine leads to %s: %v", daemonAddress(), routes)
	}
	for _, what := range []string{"which is there", "which is gone"} {
		if err := disconnect(); err != nil {
			t.Errorf("remove the link, %s: %v", what, err)
		}
		if _, err := net.InterfaceByName(hostLink); err == nil {
			t.Errorf("the link, %s, is left behind", what)
		}
	}
}
