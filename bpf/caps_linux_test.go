package bpf_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf"
)

// TestLoadsWithTwoCapabilities: CAP_BPF and CAP_NET_ADMIN are enough. Without CAP_PERFMON the verifier also searches the paths
// that a processor may take speculatively, and allows less pointer arithmetic.
func TestLoadsWithTwoCapabilities(t *testing.T) {
	needRoot(t)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its capabilities
		done <- openWithTwoCapabilities()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func openWithTwoCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // capabilities 0–31 and 32–63
	data[0].Permitted = 1 << unix.CAP_NET_ADMIN
	data[1].Permitted = 1 << (unix.CAP_BPF - 32)
	for i := range data {
		data[i].Effective = data[i].Permitted
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	n, err := bpf.Open(bpf.Options{Capacity: small})
	if err != nil {
		return err
	}
	return n.Close()
}
