package docker

import (
	"os"
	"os/exec"
	"runtime"
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
	for _, r := range routes {
		if r.Dst != nil && r.Dst.Contains(daemonAddress().AsSlice()) {
			return
		}
	}
	t.Errorf("no route of the machine leads to %s: %v", daemonAddress(), routes)
}
