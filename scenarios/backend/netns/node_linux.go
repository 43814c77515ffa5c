package netns

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/service"
)

// node is a running node: its namespace and its translation of Services.
type node struct {
	spec      nodeSpec
	wire      *fabric.Node
	pins      string
	table     *service.Table
	frontends []service.Frontend
}

// newNode makes a node whose agent, which there is none of yet, is to keep its pins in a directory.
func newNode(f *fabric.Fabric, spec nodeSpec, pins string) (*node, error) {
	wire, err := f.AddNode(spec.name, spec.addrs)
	if err != nil {
		return nil, err
	}
	table, err := service.Open(wire.NS().FD())
	if err != nil {
		return nil, errors.Join(err, wire.Remove())
	}
	return &node{spec: spec, wire: wire, table: table, pins: pins}, nil
}

// serve translates what nobody else on the node does: with kube-proxy, host ports alone.
func (n *node) serve(p service.Proxy, kubeProxy bool) error {
	all, err := p.Frontends()
	if err != nil {
		return err
	}
	n.frontends = all
	if !kubeProxy {
		return n.table.Set(all)
	}
	hostPorts, err := p.HostPorts()
	if err != nil {
		return err
	}
	return n.table.Set(hostPorts)
}

// families are those of the node's addresses.
func (n *node) families() []flow.Family {
	var out []flow.Family
	for _, a := range n.spec.addrs {
		if f := flow.FamilyOf(a); !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// targets are where a connection from this node to an address arrives: there, or at the endpoints of its Service.
func (n *node) targets(proto flow.Protocol, to netip.AddrPort) []netip.AddrPort {
	for _, f := range n.frontends {
		if f.Protocol == proto && f.Addr == to {
			return f.Endpoints
		}
	}
	return []netip.AddrPort{to}
}

// close closes what works on the namespace, not the namespace.
func (n *node) close() error { return n.table.Close() }

// pod is a running pod.
type pod struct {
	spec podSpec
	node *node
	wire *fabric.Pod
	up   bool
}

// connect sets the pod's link up, once.
func (p *pod) connect() error {
	if p.up {
		return nil
	}
	if err := p.wire.Up(); err != nil {
		return err
	}
	p.up = true
	return nil
}
