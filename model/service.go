package model

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/model/flow"
)

// services finds Services by ClusterIP and the EndpointSlices of a Service by its name.
type services struct {
	byAddr map[netip.Addr]*corev1.Service
	slices map[types.NamespacedName][]*discoveryv1.EndpointSlice
}

// backend is where a connection to a Service may end up.
type backend struct {
	addr netip.Addr
	port uint16
	pod  types.NamespacedName // as the EndpointSlice names it; zero if it is no pod
}

func readServices(c *Cluster) services {
	s := services{
		byAddr: map[netip.Addr]*corev1.Service{},
		slices: map[types.NamespacedName][]*discoveryv1.EndpointSlice{},
	}
	for _, svc := range c.Services {
		for _, a := range clusterIPs(svc) {
			s.byAddr[a] = svc
		}
	}
	for _, slice := range c.EndpointSlices {
		key := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
		s.slices[key] = append(s.slices[key], slice)
	}
	return s
}

// at returns the Service whose ClusterIP a is, nil if there is none.
func (s services) at(a netip.Addr) *corev1.Service {
	if !a.IsValid() {
		return nil
	}
	return s.byAddr[a.Unmap()]
}

// clusterIPs returns the addresses of a Service; a headless one has none.
func clusterIPs(svc *corev1.Service) []netip.Addr {
	return parseAddrs(append(slices.Clone(svc.Spec.ClusterIPs), svc.Spec.ClusterIP))
}

// serviceOf returns the Service that q leads to and, where its ClusterIP says so, sets the family of q; nil if there is
// none, or none in the family asked for.
func (m *Model) serviceOf(q *Query) *corev1.Service {
	if q.To.Service != nil {
		return q.To.Service
	}
	svc := m.services.at(q.To.Addr)
	if svc == nil || q.Family != 0 && q.Family != flow.FamilyOf(q.To.Addr) {
		return nil
	}
	q.Family = flow.FamilyOf(q.To.Addr)
	return svc
}

// Service judges a connection to port p of svc's ClusterIP. Policies see the packet as it is after the address
// translation, with the address and port of a backend (the API leaves it open whether they may also see it before), so
// there is one decision per backend, sorted by address and port. The verdict is theirs where they agree, else
// undefined: which backend is taken is chance. A Service that leads nowhere gives one decision that says why.
func (m *Model) Service(
	from Endpoint, svc *corev1.Service, p flow.PortProto, f flow.Family,
) (flow.Verdict, []Decision) {
	queries, nowhere := m.route(from, svc, p, f)
	if len(queries) == 0 {
		return nowhere.Verdict, []Decision{nowhere}
	}
	decisions := make([]Decision, 0, len(queries))
	for _, q := range queries {
		c, reason := m.connect(q, true)
		decisions = append(decisions, c.decide(reason))
	}
	return agreed(decisions), decisions
}

// route returns the connections that one to a Service becomes, one for each backend, or, where it leads nowhere, the
// decision that says so.
func (m *Model) route(from Endpoint, svc *corev1.Service, p flow.PortProto, f flow.Family) ([]Query, Decision) {
	client, _ := m.ends(Query{From: from, To: from})
	family, reason := serviceFamily(&client, clusterIPs(svc), f)
	if reason == "" {
		var backends []backend
		if backends, reason = m.services.backends(svc, p, family, client.host); reason == "" {
			return m.toBackends(from, backends, p.Protocol, family), Decision{}
		}
	}
	d := Decision{From: client.name, To: serviceName(svc), Tuple: flow.Tuple{Protocol: p.Protocol, DstPort: p.Port}}
	v := flow.Deny
	if reason == NotRunning || reason == NoAddress || reason == NoCommonFamily {
		v = flow.Undefined
	}
	return nil, d.whole(v, reason)
}

func (m *Model) toBackends(from Endpoint, backends []backend, proto flow.Protocol, f flow.Family) []Query {
	queries := make([]Query, 0, len(backends))
	for _, b := range backends {
		queries = append(queries, Query{
			From: from, To: m.endpoint(b), PortProto: flow.PortProto{Protocol: proto, Port: b.port}, Family: f,
		})
	}
	return queries
}

// agreed returns the verdict that all decisions give, undefined if there is none.
func agreed(decisions []Decision) flow.Verdict {
	for _, d := range decisions {
		if d.Verdict != decisions[0].Verdict {
			return flow.Undefined
		}
	}
	return decisions[0].Verdict
}

// summarize makes one decision of those on a Service's backends: the first, where all get the same verdict.
func summarize(q Query, svc *corev1.Service, decisions []Decision) Decision {
	d := decisions[0]
	if agreed(decisions) == d.Verdict {
		return d
	}
	differ := Decision{From: d.From, To: serviceName(svc)}
	differ.Tuple = flow.Tuple{Src: d.Tuple.Src, Dst: q.To.Addr.Unmap(), Protocol: q.Protocol, DstPort: q.Port}
	return differ.whole(flow.Undefined, BackendsDiffer)
}

func serviceName(svc *corev1.Service) string { return "service/" + svc.Namespace + "/" + svc.Name }

// serviceFamily chooses the family in which the client reaches one of the ClusterIPs, in the order of those.
func serviceFamily(client *end, clusterIPs []netip.Addr, f flow.Family) (flow.Family, Reason) {
	if reason := client.absent(); reason != "" {
		return 0, reason
	}
	reason := NoClusterIP
	for _, a := range clusterIPs {
		family := flow.FamilyOf(a)
		switch {
		case f != 0 && family != f:
			continue
		case client.in(family).IsValid():
			return family, ""
		}
		reason = NoCommonFamily
	}
	return 0, reason
}

// backends does as kube-proxy: the endpoints that are ready, or else those that terminate but still serve; with
// internalTrafficPolicy Local only those of the client's node.
func (s services) backends(
	svc *corev1.Service, p flow.PortProto, f flow.Family, client *host,
) ([]backend, Reason) {
	i := slices.IndexFunc(svc.Spec.Ports, func(sp corev1.ServicePort) bool {
		return sp.Port == int32(p.Port) && protocolName(&sp.Protocol) == p.Protocol.String()
	})
	if i < 0 {
		return nil, NoServicePort
	}
	ready, serving := map[backend]bool{}, map[backend]bool{}
	for _, slice := range s.slices[types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}] {
		port := slicePort(slice, svc.Spec.Ports[i].Name, p.Protocol)
		if port == 0 || !ofFamily(slice.AddressType, f) {
			continue
		}
		for _, e := range slice.Endpoints {
			b, ok := newBackend(&e, port)
			switch {
			case !ok || !inTrafficPolicy(svc, &e, client):
			case e.Conditions.Ready == nil || *e.Conditions.Ready:
				ready[b] = true
			case isTrue(e.Conditions.Serving) && isTrue(e.Conditions.Terminating):
				serving[b] = true
			}
		}
	}
	if len(ready) == 0 {
		ready = serving
	}
	if len(ready) == 0 {
		return nil, NoBackend
	}
	return slices.SortedFunc(maps.Keys(ready), compareBackends), ""
}

// newBackend takes the first address: all addresses of an endpoint mean the same thing.
func newBackend(e *discoveryv1.Endpoint, port uint16) (backend, bool) {
	addrs := parseAddrs(e.Addresses)
	if len(addrs) == 0 {
		return backend{}, false
	}
	b := backend{addr: addrs[0], port: port}
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		b.pod = types.NamespacedName{Namespace: e.TargetRef.Namespace, Name: e.TargetRef.Name}
	}
	return b, true
}

func compareBackends(a, b backend) int {
	return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.port, b.port), cmp.Compare(a.pod.String(), b.pod.String()))
}

// endpoint returns the pod of a backend, which tells hostNetwork pods from their node, or else whoever has its address.
func (m *Model) endpoint(b backend) Endpoint {
	if p := m.podByKey[b.pod]; p != nil && !p.ended && slices.Contains(p.addrs, b.addr) {
		return Endpoint{Pod: p.object}
	}
	return Endpoint{Addr: b.addr}
}

// slicePort returns the number of the slice's port that a Service port of that name leads to, or 0.
func slicePort(slice *discoveryv1.EndpointSlice, name string, proto flow.Protocol) uint16 {
	for _, p := range slice.Ports {
		named := p.Name != nil && *p.Name == name || p.Name == nil && name == ""
		if named && p.Port != nil && protocolName(p.Protocol) == proto.String() {
			return uint16(*p.Port)
		}
	}
	return 0
}

// protocolName defaults a protocol to TCP.
func protocolName(p *corev1.Protocol) string {
	if p == nil || *p == "" {
		return string(corev1.ProtocolTCP)
	}
	return string(*p)
}

func ofFamily(t discoveryv1.AddressType, f flow.Family) bool {
	return t == discoveryv1.AddressTypeIPv4 && f == flow.IPv4 || t == discoveryv1.AddressTypeIPv6 && f == flow.IPv6
}

func inTrafficPolicy(svc *corev1.Service, e *discoveryv1.Endpoint, client *host) bool {
	local := svc.Spec.InternalTrafficPolicy
	if local == nil || *local != corev1.ServiceInternalTrafficPolicyLocal {
		return true
	}
	return client != nil && e.NodeName != nil && *e.NodeName == client.name
}

func isTrue(b *bool) bool { return b != nil && *b }
