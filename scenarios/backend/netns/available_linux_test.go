package netns_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
)

func TestRootCanRunTheBackend(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	check(t, netns.New(netns.Options{}).Available())
}

func TestWithoutCapabilitiesTheBackendSaysWhatItNeeds(t *testing.T) {
	var err error
	done := make(chan error)
	go func() { // on a thread that ends with its goroutine
		runtime.LockOSThread()
		dropped := dropCapabilities()
		err = netns.New(netns.Options{}).Available()
		done <- dropped
	}()
	check(t, <-done)
	if err == nil || !strings.Contains(err.Error(), "needs root") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Available = %q, want one line that says what is needed", err)
	}
}

// dropCapabilities takes all capabilities from the calling thread.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}
