package engine_test

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/spec"
	"github.com/palisade-netpol/palisade/sim/agree"
	"github.com/palisade-netpol/palisade/sim/engine"
	"github.com/palisade-netpol/palisade/sim/frame"
	"github.com/palisade-netpol/palisade/sim/random"
)

// TestEveryClassOfPackets sends, in every state of every scenario, a packet of each class that model or tables tell apart
// through tables and kernel: each pod with each pod, node and boundary address, both ways, on each boundary port of TCP, UDP and
// SCTP, by an echo request, and by a protocol that has neither ports nor answers. Each is a new connection; where it is allowed, its
// answer and an ICMP error about it must pass, and where nothing was opened, an answer and an error are judged like packets that
// belong to nothing.
func TestEveryClassOfPackets(t *testing.T) {
	scenarios, err := spec.LoadAll(os.DirFS("../../scenarios"))
	if err != nil {
		t.Fatal(err)
	}
	judges := engines(t)
	packets := 0
	for i, s := range scenarios {
		if i+1 < len(scenarios) && scenarios[i+1].Path() == s.Path() {
			continue // see TestEnginesAgreeOnScenarios
		}
		stages, err := s.Stages()
		if err != nil {
			t.Fatal(err)
		}
		for _, stage := range stages {
			c := classes{
				t: t, name: s.Metadata.Name + ": " + stage.Name,
				oracle: model.New(stage.Cluster), services: serviceAddrs(stage.Cluster),
			}
			for _, e := range judges {
				if err := e.Load(context.Background(), stage.Cluster); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
			}
			images := slices.Concat(engine.Images(judges[0]), engine.Images(judges[1])) // the second one's lie in other tables
			for _, q := range c.queries(stage.Cluster, findBoundaries(stage.Cluster, images)) {
				for _, e := range judges {
					c.ask(e, q)
				}
			}
			packets += c.packets
		}
	}
	t.Logf("%d packets", packets)
	if packets == 0 {
		t.Error("nothing was sent")
	}
}

type classes struct {
	t        *testing.T
	name     string
	oracle   *model.Model
	services map[netip.Addr]bool // a packet to a ClusterIP is judged by the Service's backends, so none is sent there
	packets  int
}

// queries returns the new connections to ask about, each pod's on every boundary port.
func (c *classes) queries(cluster *model.Cluster, b boundaries) []model.Query {
	var list []model.Query
	add := func(from, to model.Endpoint, family flow.Family) {
		for _, port := range b.sortedPorts() {
			for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP} {
				pp := flow.PortProto{Protocol: protocol, Port: port}
				list = append(list, model.Query{From: from, To: to, PortProto: pp, Family: family})
			}
		}
		for _, protocol := range []flow.Protocol{icmpOf(family), esp} {
			list = append(list, model.Query{From: from, To: to, PortProto: flow.PortProto{Protocol: protocol}, Family: family})
		}
	}
	for _, p := range cluster.Pods {
		pod := model.Endpoint{Pod: p}
		for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
			for _, other := range cluster.Pods {
				add(pod, model.Endpoint{Pod: other}, family)
			}
			for _, n := range cluster.Nodes {
				add(pod, model.Endpoint{Node: n}, family)
				add(model.Endpoint{Node: n}, pod, family)
			}
		}
		for _, a := range b.sortedAddrs() {
			if !c.services[a] {
				add(pod, model.Endpoint{Addr: a}, flow.FamilyOf(a))
			}
			add(model.Endpoint{Addr: a}, pod, flow.FamilyOf(a))
		}
	}
	return list
}

const esp flow.Protocol = 50

func icmpOf(family flow.Family) flow.Protocol {
	if family == flow.IPv6 {
		return flow.ICMPv6
	}
	return flow.ICMP
}

func serviceAddrs(cluster *model.Cluster) map[netip.Addr]bool {
	addrs := map[netip.Addr]bool{}
	for _, s := range cluster.Services {
		for _, ip := range s.Spec.ClusterIPs {
			if a, err := netip.ParseAddr(ip); err == nil {
				addrs[a] = true
			}
		}
	}
	return addrs
}

func (c *classes) ask(e engine.Engine, q model.Query) {
	d := c.oracle.Decide(q)
	want := agree.Stated(q, d)
	if want == flow.Undefined {
		return
	}
	c.askStray(e, q, d.Tuple.Src.Less(d.Tuple.Dst))
	packet := of(q, 1)
	c.send(e, packet, want, "a new connection")
	if want == flow.Allow && d.Reason == "" && q.Protocol != esp {
		answer, icmp := packet, packet
		answer.Answer, answer.Kind = true, frame.Answer
		c.send(e, answer, flow.Allow, "the answer")
		icmp.Error = true
		c.send(e, icmp, flow.Allow, "an ICMP error about it")
	}
}

// of is a packet of a connection from the port that lies so far behind the one it goes to. The identifier of an echo stands for both ports.
func of(q model.Query, far uint16) engine.Packet {
	p := engine.Packet{Query: q, SrcPort: 1 + (q.Port+far-1)%65535}
	if !q.Protocol.HasPorts() {
		p.Port = p.SrcPort
	}
	return p
}

// askStray sends an answer of a connection that is never opened, and an error about a packet of another one. Two pods that send each other
// answers with the same identifier, one of which is allowed, would answer each other, so one of them takes another.
func (c *classes) askStray(e engine.Engine, q model.Query, ascending bool) {
	answer, icmp := of(q, 7), of(q, 13)
	if !q.Protocol.HasPorts() && ascending {
		answer = of(q, 19)
	}
	answer.Answer, answer.Kind = true, frame.Answer
	c.askBack(e, answer, flow.PortProto{Protocol: q.Protocol, Port: answer.SrcPort}, "an answer to nothing")
	icmp.Error = true
	c.askBack(e, icmp, flow.PortProto{Protocol: icmpOf(q.Family)}, "an ICMP error about nothing")
}

// askBack sends a packet that goes against the connection of its query, and is judged for itself.
func (c *classes) askBack(e engine.Engine, p engine.Packet, as flow.PortProto, what string) {
	q := model.Query{From: p.To, To: p.From, PortProto: as, Family: p.Family}
	want := agree.Stated(q, c.oracle.Decide(q))
	if want != flow.Undefined && !c.services[q.To.Addr] {
		c.send(e, p, want, what)
	}
}

func (c *classes) send(e engine.Engine, p engine.Packet, want flow.Verdict, what string) {
	c.packets++
	if got, err := e.Packet(p); err != nil || got != want {
		c.t.Errorf("%s: %s, %s: engine %s says %s (%v), want %s", c.name, random.Describe(p.Query), what, e.Name(), got, err, want)
	}
}
