package enforce_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// FuzzBuild compiles an arbitrary PolicyEndpoint beside one that isolates pod default/p and allows nothing. Nothing panics,
// and what passes the pod's ingress is what a reader who takes one entry after the other would let pass: all of it, where
// nothing was wrong with the object, and none where something was.
func FuzzBuild(f *testing.F) {
	for _, pe := range []*v1alpha1.PolicyEndpoint{
		endpoint("a", "10.0.0.0/8!10.2.0.0/16 TCP/80-90 UDP", "fd00::/16 SCTP/9"),
		endpoint("a", "10.2.3.4/16 TCP/80", "0.0.0.0/0!0.0.0.0/1!128.0.0.0/1", "::ffff:192.0.2.1"),
		endpoint("a", "::/0 TCP/80", "10.2.3.4 TCP/81 UDP/7-9"),
		endpoint("a", "10.0.0.0/33"), endpoint("a", "10.0.0.0/8 GRE/1"), endpoint("a", "10.0.0.0/8 TCP/90-80"), endpoint("a"),
	} {
		text, err := json.Marshal(pe)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pe := &v1alpha1.PolicyEndpoint{}
		if json.Unmarshal(text, pe) != nil {
			return
		}
		isolate := endpoint("isolate")
		for _, pages := range []int{64, 0} {
			r, err := enforce.Build(enforce.Input{Pods: []enforce.Pod{pod()}, Endpoints: []*v1alpha1.PolicyEndpoint{isolate, pe}}, bpf.Capacity{
				Sets: 16, Rows: 64, PortPages: int(bpf.PortsFirst) + pages, PortLeaves: 64, PortEdges: 128, Peers4: bpf.Fanout + pages,
				Hosts: 64, Nets: 64,
			})
			if err != nil {
				t.Fatal(err)
			}
			compareWithEntries(t, pe, r)
		}
	})
}

func compareWithEntries(t *testing.T, pe *v1alpha1.PolicyEndpoint, r *enforce.Result) {
	t.Helper()
	for _, probe := range probes(&pe.Spec) {
		got := reason(t, r.Image, 1, probe.String()).Reason.Verdict()
		switch want := probe.allowedBy(pe); {
		case got == flow.Allow && (!want || broken(r)):
			t.Errorf("%s passes (the object allows it: %v; %+v)", probe, want, r.Conditions)
		case got == flow.Deny && want && len(r.Conditions) == 0:
			t.Errorf("%s is dropped, but the object allows it", probe)
		}
	}
}

// broken says that something closed the pod's ingress.
func broken(r *enforce.Result) bool { return r.Image.Pods[0].Sets[flow.Ingress] == bpf.SetClosed }

// probe is a new connection to the pod.
type probe struct {
	src netip.Addr
	flow.PortProto
}

func (p probe) String() string { return p.src.String() + " " + p.PortProto.String() }

// probes come from the entries' own addresses, and from some that are always asked about.
func probes(spec *v1alpha1.PolicyEndpointSpec) []probe {
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("fd00::1")}
	ports := []uint16{1, 80, 65535}
	for _, e := range spec.Ingress {
		for _, text := range append([]v1alpha1.NetworkAddress{e.CIDR}, e.Except...) {
			if p, ok := prefix(text); ok {
				addrs = append(addrs, p.Addr(), p.Masked().Addr(), p.Masked().Addr().Prev())
			}
		}
		for _, p := range e.Ports {
			for _, n := range []*int32{p.Port, p.EndPort} {
				if n != nil {
					ports = append(ports, uint16(*n), uint16(*n+1))
				}
			}
		}
	}
	var all []probe
	for _, a := range addrs[:min(len(addrs), 12)] {
		for _, port := range ports[:min(len(ports), 8)] {
			for _, proto := range []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP} {
				if a.IsValid() && port > 0 {
					all = append(all, probe{a.Unmap().WithZone(""), flow.PortProto{Protocol: proto, Port: port}})
				}
			}
		}
	}
	return all
}

// prefix reads an address or a prefix.
func prefix(text v1alpha1.NetworkAddress) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
	}
	p, err := netip.ParsePrefix(string(text))
	return p, err == nil && !p.Addr().Is4In6()
}

// allowedBy reads the object entry by entry. It is slow, and knows nothing of classes and pages.
func (p probe) allowedBy(pe *v1alpha1.PolicyEndpoint) bool {
	self := func(e v1alpha1.PodEndpoint) bool {
		a, err := netip.ParseAddr(string(e.PodIP))
		return err == nil && e.Namespace == "default" && e.Name == "p" && slices.Contains(pod().Addrs, a.Unmap()) &&
			e.PodIP != e.HostIP
	}
	return pe.Namespace == "default" && pe.Spec.PolicyRef.Namespace == "default" &&
		slices.ContainsFunc(pe.Spec.PodSelectorEndpoints, self) &&
		slices.Contains(pe.Spec.PodIsolation, networkingv1.PolicyTypeIngress) &&
		slices.ContainsFunc(pe.Spec.Ingress, p.in)
}

func (p probe) in(e v1alpha1.EndpointInfo) bool {
	block, ok := prefix(e.CIDR)
	excepted := func(text v1alpha1.NetworkAddress) bool { x, _ := prefix(text); return x.Contains(p.src) }
	return ok && block.Contains(p.src) && !slices.ContainsFunc(e.Except, excepted) &&
		(len(e.Ports) == 0 || slices.ContainsFunc(e.Ports, p.on))
}

func (p probe) on(port v1alpha1.Port) bool {
	if port.Protocol == nil && p.Protocol != flow.TCP || port.Protocol != nil && string(*port.Protocol) != p.Protocol.String() {
		return false
	}
	switch n := int32(p.Port); {
	case port.Port == nil:
		return true
	case port.EndPort == nil:
		return *port.Port == n
	default:
		return *port.Port <= n && n <= *port.EndPort
	}
}
