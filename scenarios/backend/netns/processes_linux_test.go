package netns_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
)

// programsDir is where the programs of this test process are built.
func programsDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("palisade-programs-%d", os.Getpid()))
}

// removeBuilt removes the programs, if there are any.
func removeBuilt() error { return os.RemoveAll(programsDir()) }

// built is where the programs of this project are built, once.
var built = sync.OnceValues(func() (string, error) {
	dir := programsDir()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir, "../../../cmd/palisade-controller", "../../../cmd/palisade-agent").
		CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return dir, err
})

// processOptions are for clusters with the control plane of production. The test is skipped where Kubernetes is not built.
func processOptions(t *testing.T) netns.Options {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	programs, err := built()
	check(t, err)
	return netns.Options{
		ControlPlane: netns.Processes, Programs: programs, Kubernetes: clustertest.Binaries(t, "").Dir,
	}
}

func TestPoliciesAreEnforcedByProcesses(t *testing.T) {
	s, err := netns.New(processOptions(t)).Open(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	b := &bench{Session: s}
	c := withService(cluster(), "b")
	c.Services[0].Spec.ClusterIPs = []string{"10.96.0.20", "fd00:10:96::20"}
	c.EndpointSlices[0].Name, c.EndpointSlices[1].Name = "web-4", "web-6"
	for _, p := range c.Pods {
		p.Labels = map[string]string{"pod": p.Name}
	}
	c.Policies = []*networkingv1.NetworkPolicy{isolate("b", networkingv1.PolicyTypeIngress)}
	check(t, b.Apply(context.Background(), c))
	b.answers(t, "default/b", "10.0.1.1:80", "default/a")
	b.lost(t, "default/a", "10.0.1.2:80")
	b.lost(t, "default/c", "10.96.0.20:80")
	c.Policies = nil
	check(t, b.Apply(context.Background(), c))
	b.answers(t, "default/a", "10.0.1.2:80", "default/b")
}
