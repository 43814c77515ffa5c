package model_test

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

func TestPorts(t *testing.T) {
	runAll(t, []testCase{
		{"10 no ports means every port of every protocol", list(policy("x/p", ingress("pods app=b"))), []string{
			"x/b x/a TCP/1 allow", "x/b x/a UDP/53 allow", "x/b x/a SCTP/65535 allow",
		}},
		{"11 an empty port element means TCP", list(policy("x/p", ingress("*/*"))), []string{
			"x/b x/a TCP/1 allow", "x/b x/a TCP/65535 allow", "x/b x/a UDP/53 deny", "x/b x/a SCTP/9 deny",
		}},
		{"12 a port without protocol is TCP", list(policy("x/p", ingress("*/53"))), []string{
			"x/b x/a TCP/53 allow", "x/b x/a UDP/53 deny",
		}},
		{"13 a protocol without port means all its ports", list(policy("x/p", ingress("UDP/*"))), []string{
			"x/b x/a UDP/1 allow", "x/b x/a TCP/1 deny",
		}},
		{"20 ports of one rule do not leak to peers of another", list(policy("x/p app=a", ingress("pods app=b", "TCP/80"),
			ingress("pods app=c", "TCP/81"))), []string{
			"x/b x/a TCP/80 allow", "x/b x/a TCP/81 deny", "x/c y/a TCP/80 allow", "y/c x/a TCP/81 deny",
		}},
		{"46 a number needs no declaration", list(policy("x/p", ingress("TCP/8080"))), []string{
			"x/b x/a TCP/8080 allow", "x/b x/a TCP/80 deny",
		}},
		{"48 endPort is inclusive", list(policy("x/p", ingress("TCP/80-82"))), []string{
			"x/b x/a TCP/79 deny", "x/b x/a TCP/80 allow", "x/b x/a TCP/82 allow", "x/b x/a TCP/83 deny",
			"x/b x/a UDP/81 deny",
		}},
		{"49 a range of one port", list(policy("x/p", ingress("TCP/80-80"))), []string{
			"x/b x/a TCP/80 allow", "x/b x/a TCP/81 deny",
		}},
		{"61 DNS needs both protocols", list(policy("x/p", types(out), egress("UDP/53"))), []string{
			"x/a y/b UDP/53 allow", "x/a y/b TCP/53 deny",
		}},
		{"79 SCTP is a protocol of its own", list(policy("x/p", ingress("SCTP/80"))), []string{
			"x/b x/a SCTP/80 allow", "x/b x/a TCP/80 deny",
		}},
	})
}

func TestNamedPorts(t *testing.T) {
	cluster := func(ps ...string) *model.Cluster {
		rule := append([]string{"ns *"}, ps...)
		return with(town(policy("x/p", types(in, out), ingress(rule...), egress(rule...)),
			policy("y/p", types(in), ingress(rule...))),
			pod("x/a app=a", at("10.1.0.1"), on("n1"), port("http TCP/80"), port("dns UDP/53"), port("multi TCP/1")),
			pod("x/b app=b", at("10.1.0.2"), on("n2"), port("http TCP/8080"), port("multi TCP/2"), port("multi TCP/3")),
			pod("y/a app=a", at("10.2.0.1"), on("n1"), port("late /7"), sidecarPort("proxy TCP/15001"),
				initPort("setup TCP/99")),
		)
	}
	cases := []struct {
		name string
		c    *model.Cluster
		want []string
	}{
		{"39 a name is resolved by each destination pod", cluster("TCP/http"), []string{
			"x/b x/a TCP/80 allow", "x/b x/a TCP/8080 deny", "x/a x/b TCP/8080 allow", "x/a x/b TCP/80 deny",
		}},
		{"40 an ingress name is the destination's, not the source's", cluster("TCP/http"), []string{
			"z/a x/a TCP/80 allow", "z/a x/a TCP/8080 deny",
		}},
		{"41 an egress name is the peer's, and outside has no names", cluster("TCP/http"), []string{
			"x/a x/b TCP/8080 allow", "x/a 8.8.8.8 TCP/80 deny", "x/a node/n2 TCP/80 deny",
		}},
		{"42 the protocol of a name must match", cluster("TCP/dns"), []string{
			"z/b x/a UDP/53 deny", "z/b x/a TCP/53 deny",
		}},
		{"42 a name of UDP", cluster("UDP/dns"), []string{"z/b x/a UDP/53 allow", "z/b x/a TCP/53 deny"}},
		{"43 a name that the pod does not have matches nothing", cluster("TCP/none"), []string{
			"z/b x/a TCP/80 deny no-rule-matched", "z/b x/a TCP/1 deny",
		}},
		{"44 a name in two containers means both numbers", cluster("TCP/multi"), []string{
			"z/b x/b TCP/2 allow", "z/b x/b TCP/3 allow", "z/b x/b TCP/1 deny",
		}},
		{"45 a sidecar's names count", cluster("TCP/proxy"), []string{"z/b y/a TCP/15001 allow"}},
		{"45 a plain init container's names are ambiguous", cluster("TCP/setup"), []string{
			"z/b y/a TCP/99 undefined init-container-port", "z/b y/a TCP/98 deny",
		}},
		{"45 an ambiguous name beside a rule that allows is no doubt", cluster("TCP/setup", "TCP/99"), []string{
			"z/b y/a TCP/99 allow rule-matched",
		}},
		{"12 a container port without protocol is TCP", cluster("TCP/late"), []string{"z/b y/a TCP/7 allow"}},
		{"51 a string of digits is a name that nobody has", cluster("TCP/80-x"), []string{"z/b x/a TCP/80 deny"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, c.c, c.want...) })
	}
}

func TestProtocolsWithoutPortsAreUndefinedOnceIsolated(t *testing.T) {
	c := town(policy("x/p", ingress("TCP/1")), policy("x/q app=a", ingress("pods app=c")), policy("x/r app=a", types(out)))
	m := model.New(c)
	ping := func(from, to string) model.Decision {
		q := query(t, c, []string{from, to, "TCP/1"})
		q.PortProto = flow.PortProto{Protocol: flow.ICMP}
		return m.Decide(q)
	}
	if d := ping("y/b", "x/a"); d.Verdict != flow.Undefined || d.Ingress.Reason != model.ProtocolNotCovered {
		t.Errorf("75 ping of an isolated pod: got %s, %s", d.Verdict, d.Ingress.Reason)
	}
	if d := ping("x/c", "x/a"); d.Verdict != flow.Undefined || d.Ingress.Reason != model.RuleWithoutPorts || len(d.Ingress.Rules) != 1 {
		t.Errorf("75 ping by a rule without ports: got %s, %s, %v", d.Verdict, d.Ingress.Reason, d.Ingress.Rules)
	}
	if d := ping("x/a", "node/n1"); d.Verdict != flow.Undefined || d.Egress.Reason != model.PodToOwnNode {
		t.Errorf("75 ping of the own node: got %s, %s", d.Verdict, d.Egress.Reason)
	}
	if d := ping("y/b", "y/a"); d.Verdict != flow.Allow {
		t.Errorf("75 ping where no policy applies: got %s", d.Verdict)
	}
}

func TestIPBlocks(t *testing.T) {
	runAll(t, []testCase{
		{"52 a block matches pods by their address", list(policy("x/p", ingress("cidr 10.2.0.0/16"))), []string{
			"y/b x/a TCP/80 allow", "x/b x/a TCP/80 deny", "10.2.9.9 x/a TCP/80 allow",
		}},
		{"53 except removes from its own block", list(policy("x/p", types(out),
			egress("cidr 10.0.0.0/8 except 10.2.0.0/16 10.3.0.0/24"))), []string{
			"x/a x/b TCP/80 allow", "x/a y/a TCP/80 deny", "x/a z/a TCP/80 deny", "x/a 10.3.1.1 TCP/80 allow",
		}},
		{"53 another block allows what one excepts", list(policy("x/p", types(out),
			egress("cidr 10.0.0.0/8 except 10.2.0.0/16", "cidr 10.2.0.1/32"))), []string{
			"x/a y/a TCP/80 allow", "x/a y/b TCP/80 deny",
		}},
		{"53 another policy allows what one excepts", list(policy("x/p", types(out),
			egress("cidr 10.0.0.0/8 except 10.2.0.0/16")), policy("x/q", types(out), egress("ns team=y"))), []string{
			"x/a y/a TCP/80 allow", "x/a 10.2.9.9 TCP/80 deny",
		}},
		{"55 all of IPv4 is nothing of IPv6", list(policy("x/p", types(out), egress("cidr 0.0.0.0/0"))), []string{
			"x/a 8.8.8.8 TCP/80 allow", "x/a 2001:db8::1 TCP/80 deny", "x/a y/b TCP/80 ipv6 deny",
		}},
		{"55 all of IPv6 is nothing of IPv4", list(policy("x/p", types(out), egress("cidr ::/0"))), []string{
			"x/a 8.8.8.8 TCP/80 deny", "x/a 2001:db8::1 TCP/80 allow", "x/a y/b TCP/80 ipv6 allow",
		}},
		{"56 bits beyond the length are ignored", list(policy("x/p",
			ingress("cidr 10.2.0.77/16 except 10.2.0.2/31"))), []string{
			"y/a x/b TCP/80 allow", "y/b x/a TCP/80 deny", "y/c x/b TCP/80 deny",
		}},
		{"56 leading zeros are decimal", list(policy("x/p", ingress("cidr 010.002.000.000/016"))), []string{
			"y/b x/a TCP/80 allow", "x/b x/a TCP/80 deny",
		}},
		{"56 an IPv4-mapped block is an IPv4 block", list(policy("x/p", ingress("cidr ::ffff:10.2.0.0/112"))), []string{
			"y/b x/a TCP/80 allow", "x/b x/a TCP/80 deny",
		}},
		{"57 an IPv4-mapped source is IPv4", list(policy("x/p", ingress("cidr 8.8.0.0/16"))), []string{
			"::ffff:8.8.8.8 x/a TCP/80 allow", "::ffff:9.9.9.9 x/a TCP/80 deny",
		}},
		{"51 ports that the API refuses allow nothing", list(policy("x/p", ingress("TCP/0", "TCP/80-65536", "TCP/90-80",
			"HTTP/80"))), []string{"x/b x/a TCP/80 deny", "x/b x/a TCP/85 deny", "x/b x/a TCP/90 deny"}},
		{"15 a block beside a selector allows nothing", list(policy("x/p", ingress("cidr 10.0.0.0/8"), selectorBesideBlock)),
			[]string{"x/b x/a TCP/80 deny"}},
		{"56 what cannot be read allows nothing", list(policy("x/p", ingress("cidr 10.0.0.0/8 except 10.2/16"))), []string{
			"x/b x/a TCP/80 deny",
		}},
	})
}

// selectorBesideBlock makes the first peer what the API refuses.
func selectorBesideBlock(s *networkingv1.NetworkPolicySpec) {
	s.Ingress[0].From[0].PodSelector = selector("*")
}
