package live_test

import (
	"net/netip"
	"os"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// TestLive plays one story on the hook that the kernel has to offer, and on the one that all kernels have.
func TestLive(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	for _, family := range []string{"IPv4", "IPv6"} {
		t.Run("best/"+family, func(t *testing.T) { story(t, hook.Auto, family) })
		t.Run("clsact/"+family, func(t *testing.T) { story(t, hook.Clsact, family) })
	}
}

// story: nothing is known and everything passes; one port is allowed; that is revoked under an open connection; the
// agent goes away and comes back.
func story(t *testing.T, mode hook.Mode, family string) {
	w := newWorld(t, mode, family)
	a := w.agent(t)
	w.apply(t, a)
	w.expect(t, backend.Connected, flow.TCP, 80)
	w.expect(t, backend.Connected, flow.TCP, 81)
	w.expect(t, backend.Connected, flow.UDP, 53)
	w.expectPing(t, true)
	if mode == hook.Auto {
		t.Attr("hook", w.hook(t))
	}

	w.apply(t, a, w.allow(corev1.ProtocolTCP, 80))
	w.expect(t, backend.Connected, flow.TCP, 80)
	w.expect(t, backend.Blocked, flow.TCP, 81)
	w.expect(t, backend.Blocked, flow.UDP, 53)
	w.expectPing(t, false)
	w.keep(t)
	w.expectKept(t, true)

	w.apply(t, a, w.allow(corev1.ProtocolUDP, 53))
	w.expectKept(t, false)
	w.expect(t, backend.Blocked, flow.TCP, 80)
	w.expect(t, backend.Connected, flow.UDP, 53)

	before := w.programs(t)
	check(t, a.Close())
	w.expect(t, backend.Blocked, flow.TCP, 80)
	w.expect(t, backend.Connected, flow.UDP, 53)
	again := w.agent(t)
	if after := w.programs(t); !slices.Equal(after, before) {
		t.Errorf("programs %v were replaced by %v although nothing is new", before, after)
	}
	w.expect(t, backend.Blocked, flow.TCP, 80)
	w.apply(t, again, w.allow(corev1.ProtocolTCP, 80))
	w.expect(t, backend.Connected, flow.TCP, 80)
	w.expect(t, backend.Blocked, flow.UDP, 53)
	w.detach(t)
	w.expect(t, backend.Connected, flow.UDP, 53)
	check(t, again.Close())
}

// allow isolates the server, and lets the client reach one port.
func (w *world) allow(protocol corev1.Protocol, port int32) *v1alpha1.PolicyEndpoint {
	return &v1alpha1.PolicyEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "server"},
		Spec: v1alpha1.PolicyEndpointSpec{
			PolicyRef:            v1alpha1.PolicyReference{Namespace: "default", Name: "server"},
			PodIsolation:         []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			PodSelectorEndpoints: []v1alpha1.PodEndpoint{{PodIP: address(w.server), Namespace: "default", Name: "server"}},
			Ingress: []v1alpha1.EndpointInfo{{
				CIDR: address(w.client), Ports: []v1alpha1.Port{{Protocol: &protocol, Port: &port}},
			}},
		},
	}
}

func address(a netip.Addr) v1alpha1.NetworkAddress { return v1alpha1.NetworkAddress(a.String()) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
