package model

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model/flow"
)

// end is one end of a connection as policies see it.
type end struct {
	pod   *pod         // nil where no pod is there
	host  *host        // the node it is, or the node the pod runs on; nil outside the cluster
	name  string       // for people
	addrs []netip.Addr // all it could use
	addr  netip.Addr   // the one in the packet
}

// ends resolves both ends of q. A loopback address is the other end's own.
func (m *Model) ends(q Query) (from, to end) {
	if q.From.Addr.Unmap().IsLoopback() {
		q.From = q.To
	}
	if q.To.Addr.Unmap().IsLoopback() {
		q.To = q.From
	}
	return m.end(q.From), m.end(q.To)
}

func (m *Model) end(e Endpoint) end {
	addr := e.Addr.Unmap()
	switch {
	case e.Pod != nil:
		p := m.podOf(e.Pod)
		return end{pod: p, host: p.host, name: p.name, addrs: p.addrs}
	case e.Node != nil:
		return m.nodeEnd(e.Node)
	case m.podByAddr[addr] != nil:
		p := m.podByAddr[addr]
		return end{pod: p, host: p.host, name: p.name, addrs: []netip.Addr{addr}}
	case m.hosts.byAddr[addr] != nil:
		h := m.hosts.byAddr[addr]
		return end{host: h, name: h.label(addr), addrs: []netip.Addr{addr}}
	case addr.IsValid():
		return end{name: addr.String(), addrs: []netip.Addr{addr}}
	}
	return end{name: "nobody"}
}

// nodeEnd judges a node the cluster does not have as if it had.
func (m *Model) nodeEnd(n *corev1.Node) end {
	h := m.hosts.byName[n.Name]
	if h == nil {
		h = &host{name: n.Name, addrs: nodeAddrs(n)}
	}
	return end{host: h, name: "node/" + n.Name, addrs: h.addrs}
}

func (h *host) label(addr netip.Addr) string {
	if h.name == "" {
		return addr.String()
	}
	return "node/" + h.name
}

// isNode reports whether packets of e are packets of its node.
func (e *end) isNode() bool { return e.host != nil && (e.pod == nil || e.pod.hostNetwork) }

// absent says why e can take part in no connection, or "". A node without a known address is still a node: its own
// pods recognise it.
func (e *end) absent() Reason {
	switch {
	case e.pod != nil && e.pod.ended:
		return NotRunning
	case len(e.addrs) == 0 && (e.pod != nil || e.host == nil):
		return NoAddress
	}
	return ""
}

// meet chooses the addresses of a connection, in the given family or else in the first of from's that both ends have,
// and says why there are none. The address of a node that nobody knows stays invalid.
func meet(from, to *end, f flow.Family) Reason {
	if len(from.addrs) == 0 || len(to.addrs) == 0 {
		return meetUnknown(from, to, f)
	}
	for _, a := range from.addrs {
		if f != 0 && flow.FamilyOf(a) != f {
			continue
		}
		if b := to.in(flow.FamilyOf(a)); b.IsValid() {
			from.addr, to.addr = a, b
			return ""
		}
	}
	return NoCommonFamily
}

// meetUnknown is meet where a node's address is unknown, which matters only beyond that node.
func meetUnknown(from, to *end, f flow.Family) Reason {
	if from.host != to.host {
		return NoAddress
	}
	for _, e := range []*end{from, to} {
		if e.addr = e.in(f); !e.addr.IsValid() && len(e.addrs) > 0 {
			return NoCommonFamily
		}
	}
	return ""
}

// in returns e's first address of a family, or of any if f is zero; invalid if it has none.
func (e *end) in(f flow.Family) netip.Addr {
	i := slices.IndexFunc(e.addrs, func(a netip.Addr) bool { return f == 0 || flow.FamilyOf(a) == f })
	if i < 0 {
		return netip.Addr{}
	}
	return e.addrs[i]
}
