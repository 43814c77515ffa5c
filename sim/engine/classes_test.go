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
// SCTP. Each is a new connection; where it is allowed, its answer and an ICMP error about it must pass, and where nothing
// was opened, an answer is judged like a packet that answers nothing.
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
	c.askStray(e, q)
	packet := engine.Packet{Query: q, SrcPort: 1 + q.Port%65535}
	c.send(e, packet, want, "a new connection")
	if want == flow.Allow && d.Reason == "" {
		answer, icmp := packet, packet
		answer.Answer, answer.Kind = true, frame.Answer
		c.send(e, answer, flow.Allow, "the answer")
		icmp.Error = true
		c.send(e, icmp, flow.Allow, "an ICMP error about it")
	}
}

// askStray sends an answer from a port and to one between which no connection is ever opened.
func (c *classes) askStray(e engine.Engine, q model.Query) {
	stray := 1 + (q.Port+6)%65535
	as := model.Query{From: q.To, To: q.From, PortProto: flow.PortProto{Protocol: q.Protocol, Port: stray}, Family: q.Family}
	want := agree.Stated(as, c.oracle.Decide(as))
	if want != flow.Undefined && !c.services[as.To.Addr] {
		c.send(e, engine.Packet{Query: q, SrcPort: stray, Kind: frame.Answer, Answer: true}, want, "an answer to nothing")
	}
}

func (c *classes) send(e engine.Engine, p engine.Packet, want flow.Verdict, what string) {
	c.packets++
	if got, err := e.Packet(p); err != nil || got != want {
		c.t.Errorf("%s: %s, %s: engine %s says %s (%v), want %s", c.name, random.Describe(p.Query), what, e.Name(), got, err, want)
	}
}
