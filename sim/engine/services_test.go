package engine_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/random"
)

// TestClusterIPsFollowTheirBackends: at a pod's interface a ClusterIP passes only where every backend behind it may be
// reached, ready or not, and it does pass where a single policy allows them all. (Where two policies allow half of the
// backends each it may stay closed: see package resolve.)
func TestClusterIPsFollowTheirBackends(t *testing.T) {
	judges := engines(t)
	rapid.Check(t, func(t *rapid.T) {
		c := random.Cluster(t)
		oracle := model.New(c)
		for _, e := range judges {
			if err := e.Load(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			for _, f := range frontends(c) {
				for _, p := range c.Pods {
					f.check(t, oracle, e, p)
				}
			}
		}
	})
}

// frontend is a port of a ClusterIP that leads somewhere.
type frontend struct {
	addr     netip.Addr
	port     flow.PortProto
	backends []netip.AddrPort
}

func (f *frontend) check(t *rapid.T, oracle *model.Model, e engine.Engine, from *corev1.Pod) {
	client := model.Endpoint{Pod: from}
	got, err := e.Verdict(model.Query{From: client, To: model.Endpoint{Addr: f.addr}, PortProto: f.port})
	if err != nil {
		t.Fatal(err)
	}
	allAllowed, isolating, self := true, 0, false
	for _, b := range f.backends {
		d := oracle.Decide(model.Query{From: client, To: model.Endpoint{Addr: b.Addr()},
			PortProto: flow.PortProto{Protocol: f.port.Protocol, Port: b.Port()}})
		if d.Reason != "" && d.Reason != model.Self {
			return // the pod cannot connect at all
		}
		allAllowed = allAllowed && d.Egress.Verdict == flow.Allow
		isolating = max(isolating, len(d.Egress.Isolating))
		self = self || d.Reason == model.Self
	}
	mustOpen := allAllowed && isolating <= 1 && !self || from.Spec.HostNetwork
	if got == flow.Allow && !allAllowed && !from.Spec.HostNetwork || got != flow.Allow && mustOpen {
		t.Fatalf("engine %s says %s from %s/%s to %s %s, which leads to %v (all allowed: %v)",
			e.Name(), got, from.Namespace, from.Name, f.addr, f.port, f.backends, allAllowed)
	}
}

func frontends(c *model.Cluster) []frontend {
	var all []frontend
	for _, s := range c.Services {
		for _, port := range s.Spec.Ports {
			proto, err := flow.ParseProtocol(string(port.Protocol))
			if err != nil {
				panic(err)
			}
			for _, ip := range s.Spec.ClusterIPs {
				f := frontend{netip.MustParseAddr(ip), flow.PortProto{Protocol: proto, Port: uint16(port.Port)}, nil}
				for _, slice := range c.EndpointSlices {
					if slice.Namespace == s.Namespace && slice.Labels[discoveryv1.LabelServiceName] == s.Name {
						f.addBackends(slice, port.Name)
					}
				}
				if len(f.backends) > 0 {
					all = append(all, f)
				}
			}
		}
	}
	return all
}

func (f *frontend) addBackends(s *discoveryv1.EndpointSlice, port string) {
	i := slices.IndexFunc(s.Ports, func(p discoveryv1.EndpointPort) bool { return *p.Name == port })
	for _, e := range s.Endpoints {
		if a := netip.MustParseAddr(e.Addresses[0]); a.Is4() == f.addr.Is4() {
			f.backends = append(f.backends, netip.AddrPortFrom(a, uint16(*s.Ports[i].Port)))
		}
	}
}
