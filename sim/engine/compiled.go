package engine

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// packetJudge is what judges packets at the interfaces of one node's pods.
type packetJudge interface {
	Load(*bpf.Image) error
	Run(dir flow.Direction, ifindex uint32, fromNode bool, frame []byte) (bpf.Outcome, error)
	Close() error
}

// compiled judges by the tables that the cluster's policies are compiled into, one datapath per node that has pods: the
// first packet of the connection goes through the program at the source pod's interface, then at the destination's.
type compiled struct {
	name  string
	start func() (packetJudge, error) // for one node
	// capacity is what the policies are compiled for; that of the datapath, which is the usual one, may be larger.
	capacity bpf.Capacity
	nodes    map[string]packetJudge
	// images are what each node's datapath holds.
	images map[string]*bpf.Image
	links  *links
	net    *network
}

func (e *compiled) Name() string { return e.name }

// Load resolves and compiles the cluster's policies. What the compiler had to close is no error: it is what would be
// enforced.
func (e *compiled) Load(_ context.Context, c *model.Cluster) error {
	net := newNetwork(c, e.links)
	endpoints, problems := resolve.All(&resolve.Snapshot{
		Namespaces: c.Namespaces, Pods: c.Pods, Services: c.Services, EndpointSlices: c.EndpointSlices, Policies: c.Policies,
	}, resolve.Options{})
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("resolve policies: %w", err)
	}
	e.net, e.images = net, map[string]*bpf.Image{}
	for name, in := range net.inputs(endpoints) {
		if err := e.loadNode(name, in); err != nil {
			return fmt.Errorf("node %q: %w", name, err)
		}
	}
	return nil
}

func (e *compiled) loadNode(name string, in enforce.Input) error {
	built, err := enforce.Build(in, e.capacity)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	if e.nodes[name] == nil {
		d, err := e.start()
		if err != nil {
			return err
		}
		if e.nodes == nil {
			e.nodes = map[string]packetJudge{}
		}
		e.nodes[name] = d
	}
	e.images[name] = built.Image
	return e.nodes[name].Load(built.Image)
}

// Verdict judges a new connection by its first packet.
func (e *compiled) Verdict(q model.Query) (flow.Verdict, error) {
	return e.Packet(Packet{Query: q, SrcPort: sourcePort(q.Port), Kind: frame.First})
}

// Packet sends a packet through the programs of its sender and of its receiver.
func (e *compiled) Packet(p Packet) (flow.Verdict, error) {
	if e.net == nil {
		return flow.Deny, errors.New("no cluster is loaded")
	}
	from, to := e.net.place(p.From), e.net.place(p.To)
	src, dst, ok := commonFamily(from, to, p.Family)
	if !ok {
		return flow.Undefined, nil
	}
	if src == dst {
		return flow.Allow, nil // does not leave the pod
	}
	t := flow.Tuple{Src: src, Dst: dst, Protocol: p.Protocol, SrcPort: p.SrcPort, DstPort: p.Port}
	if p.Answer {
		from, to, t = to, from, t.Reply()
	}
	packet := frame.New(t, p.Kind)
	if p.Error {
		from, to, packet = to, from, frame.Error(packet, t.Dst)
	}
	verdict, err := e.half(flow.Egress, from, to, packet)
	if err != nil || verdict == flow.Deny {
		return flow.Deny, err
	}
	return e.half(flow.Ingress, to, from, packet)
}

// sourcePort returns a source port for which no probe of any two ports between two pods looks like the answer to
// another.
func sourcePort(port uint16) uint16 {
	if port == math.MaxUint16 {
		return 1
	}
	return port + 1
}

func (e *compiled) half(dir flow.Direction, subject, peer place, packet []byte) (flow.Verdict, error) {
	if subject.ifindex == 0 {
		return flow.Allow, nil
	}
	fromNode := peer.ifindex == 0 && peer.inCluster && peer.node == subject.node
	out, err := e.nodes[subject.node].Run(dir, subject.ifindex, fromNode, packet)
	return out.Reason.Verdict(), err
}

func (e *compiled) Close() error {
	var errs []error
	for _, d := range e.nodes {
		errs = append(errs, d.Close())
	}
	e.nodes = nil
	return errors.Join(errs...)
}
