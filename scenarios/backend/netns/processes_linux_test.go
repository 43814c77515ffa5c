package netns_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns"
	"github.com/palisade-netpol/palisade/sim/endpointslice"
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
	return dir, clustertest.BuildPrograms(context.Background(), dir)
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

// leadTo adds a Service with a selector for one pod, and says what its EndpointSlices are to be.
func leadTo(c *model.Cluster, name string) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	s.Spec.Type = corev1.ServiceTypeNodePort
	s.Spec.ClusterIPs = []string{"10.96.0.20", "fd00:10:96::20"}
	s.Spec.Selector = map[string]string{"pod": name}
	for i, proto := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{
			Name: strings.ToLower(string(proto)), Protocol: proto, Port: 80, TargetPort: intstr.FromInt32(8080),
			NodePort: int32(30080 + i),
		})
	}
	c.Services = []*corev1.Service{s}
	c.EndpointSlices = endpointslice.Build(c.Services, c.Pods, nil)
}

// ready gives pods a label with their name, and has them be ready.
func ready(pods []*corev1.Pod) {
	for _, p := range pods {
		p.Labels = map[string]string{"pod": p.Name}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
}

func TestKubeProxyHasProgrammedWhatWasApplied(t *testing.T) {
	s, err := netns.New(processOptions(t)).Open(t.Context())
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	b := &bench{Session: s}
	for i, name := range []string{"a", "b", "c", "b", "b", "b", "a", "a"} {
		c := cluster()
		for _, p := range c.Pods { // other pods each time, at the same addresses
			p.UID += types.UID(fmt.Sprint(i))
		}
		ready(c.Pods)
		leadTo(c, name)
		check(t, b.Apply(t.Context(), c))
		for _, from := range []string{"default/a", "default/c", "node/n2"} {
			b.answers(t, from, "10.96.0.20:80", "default/"+name)
			b.answers(t, from, "[fd00:10:96::20]:80", "default/"+name)
		}
	}
	c := cluster()
	leadTo(c, "nobody")
	check(t, b.Apply(t.Context(), c))
	for _, at := range []string{"10.96.0.20:80", "[fd00:10:96::20]:80"} {
		if got := b.outcomes(t, to("default/a", at, flow.TCP, long))[0]; got.Outcome != backend.Refused {
			t.Errorf("%s without endpoints: %+v, want refused", at, got)
		}
	}
	c = cluster()
	check(t, b.Apply(t.Context(), c))
	if out := rules(t, b.Session, "n1"); strings.Contains(out, "10.96.0.20") {
		t.Errorf("the Service is gone, and the rules of n1 still say\n%s", out)
	}
}

// rules are the nftables of a node.
func rules(t *testing.T, s backend.Session, node string) (out string) {
	t.Helper()
	check(t, netns.NodeSpace(s, node).Do(func() error {
		text, err := exec.CommandContext(t.Context(), "nft", "list", "ruleset").CombinedOutput()
		out = string(text)
		return err
	}))
	return out
}
