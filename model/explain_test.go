package model_test

import (
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// TestNearestMiss asks how x/a, which policy x/p isolates, nearly lets somebody in.
func TestNearestMiss(t *testing.T) {
	cases := []struct {
		name  string
		rules []func(*networkingv1.NetworkPolicySpec)
		ask   string
		want  string
	}{
		{"port", rules(ingress("pods app=b", "TCP/80")), "x/b x/a TCP/8080",
			"Ingress rule 1 of x/p would match but for port 8080: it allows TCP/80."},
		{"several ports", rules(ingress("TCP/80", "UDP/53", "TCP/8000-8079")), "x/b x/a TCP/8080",
			"Ingress rule 1 of x/p would match but for port 8080: it allows TCP/80, UDP/53 and TCP/8000-8079."},
		{"protocol", rules(ingress("TCP/53")), "x/b x/a UDP/53",
			"Ingress rule 1 of x/p would match but for protocol UDP: it allows TCP/53."},
		{"all ports of another protocol", rules(ingress("UDP/*")), "x/b x/a TCP/53",
			"Ingress rule 1 of x/p would match but for protocol TCP: it allows all UDP ports."},
		{"protocol and port", rules(ingress("UDP/53")), "x/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for TCP/80: it allows UDP/53."},
		{"a name that stands for another port", rules(ingress("TCP/http")), "x/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for port 80: it allows TCP port http (TCP/8080 on x/a)."},
		{"a name that nobody declares", rules(ingress("TCP/web")), "x/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for port 80: it allows TCP port web (which x/a does not declare)."},
		{"a label of the pod", rules(ingress("pods app=web", "TCP/80")), "x/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows pods labelled app=web in namespace x, " +
				"and x/b is labelled app=b."},
		{"a label that is missing", rules(ingress("pods app=b,tier in (web,db)")), "x/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows pods labelled app=b,tier in (db,web) in " +
				"namespace x, and x/b has no label tier."},
		{"the namespace, where the rule names none", rules(ingress("pods")), "y/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows all pods in namespace x, " +
				"and y/b is in namespace y."},
		{"a label of the namespace", rules(ingress("ns team=z")), "y/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows all pods in namespaces labelled team=z, " +
				"and namespace y is labelled team=y."},
		{"a namespace by its name", rules(ingress("ns kubernetes.io/metadata.name=z pods app=c")), "y/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows pods labelled app=c in namespace z, and " +
				"namespace y is labelled kubernetes.io/metadata.name=y and y/b is labelled app=b."},
		{"an address outside a block", rules(ingress("cidr 10.0.0.0/16")), "8.8.8.8 x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows 10.0.0.0/16, and 8.8.8.8 is not in it."},
		{"a pod outside a block", rules(ingress("cidr ::/0")), "y/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows ::/0, and y/b (10.2.0.2) is not in it."},
		{"an except", rules(ingress("cidr 10.0.0.0/8 except 10.2.0.0/24")), "y/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the except 10.2.0.0/24: it allows 10.0.0.0/8 except 10.2.0.0/24, " +
				"and y/b (10.2.0.2) is in the except."},
		{"an address, where pods are allowed", rules(ingress("ns *")), "8.8.8.8 x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows all pods in all namespaces, " +
				"and 8.8.8.8 is no pod."},
		{"another node has no labels", rules(ingress("ns *")), "node/n2 x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows all pods in all namespaces, " +
				"and node/n2 is no pod."},
		{"port and peer", rules(ingress("pods app=c", "TCP/80")), "x/b x/a TCP/81",
			"Ingress rule 1 of x/p would match but for port 81: it allows TCP/80; and for the peer: it allows pods " +
				"labelled app=c in namespace x, and x/b is labelled app=b."},
		{"the rule that needs least", rules(ingress("pods app=c", "TCP/80"), ingress("pods app=c,a=b"), ingress("TCP/1")),
			"x/b x/a TCP/81", "Ingress rule 3 of x/p would match but for port 81: it allows TCP/1."},
		{"protocol and port are two differences", rules(ingress("UDP/53"), ingress("TCP/53")), "x/b x/a TCP/80",
			"Ingress rule 2 of x/p would match but for port 80: it allows TCP/53."},
		{"a block is nearer to an address than pods are", rules(ingress("pods"), ingress("cidr 10.0.0.0/16")),
			"8.8.8.8 x/a TCP/80",
			"Ingress rule 2 of x/p would match but for the peer: it allows 10.0.0.0/16, and 8.8.8.8 is not in it."},
		{"the first of rules that need as much", rules(ingress("TCP/1"), ingress("TCP/2")), "x/b x/a TCP/81",
			"Ingress rule 1 of x/p would match but for port 81: it allows TCP/1."},
		{"the peer that needs least", rules(ingress("ns team=z pods app=c", "pods app=c", "cidr ::1/128")), "x/b x/a TCP/80",
			"Ingress rule 1 of x/p would match but for the peer: it allows pods labelled app=c in namespace x (the nearest " +
				"of 3 peers), and x/b is labelled app=b."},
		{"no rule at all", nil, "x/b x/a TCP/80", "It has no ingress rules at all."},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p := policy("x/p app=a", append(tc.rules, types(in))...)
			c := with(town(p), pod("x/a app=a", at("10.1.0.1", "fd00:1::1"), on("n1"), port("http TCP/8080")))
			e := model.New(c).Explain(query(t, c, strings.Fields(tc.ask)))
			diff(t, tc.ask, tc.want, e.Sentences()[2])
		})
	}
}

func rules(r ...func(*networkingv1.NetworkPolicySpec)) []func(*networkingv1.NetworkPolicySpec) {
	return r
}

// TestExplanationOfEgress: port names are the destination's, in either direction.
func TestExplanationOfEgress(t *testing.T) {
	c := with(town(policy("x/p app=a", types(out), egress("TCP/http"))),
		pod("y/b app=b", at("10.2.0.2"), on("n2"), port("http TCP/8080"), sidecarPort("http TCP/8081")))
	for ask, want := range map[string]string{
		"x/a y/b TCP/80": "Egress rule 1 of x/p would match but for port 80: it allows TCP port http " +
			"(TCP/8080 and TCP/8081 on y/b).",
		"x/a 8.8.8.8 TCP/80": "Egress rule 1 of x/p would match but for port 80: it allows TCP port http " +
			"(8.8.8.8 is no pod that could name its ports).",
	} {
		diff(t, ask, want, model.New(c).Explain(query(t, c, strings.Fields(ask))).Sentences()[1])
	}
}

func TestPoliciesForTheOtherDirectionOnlyAreNamed(t *testing.T) {
	c := town(policy("x/out app=a", types(out)))
	e := model.New(c).Explain(query(t, c, strings.Fields("x/b x/a TCP/80")))
	diff(t, "sentences", "x/out selects it for egress only.", e.Sentences()[2])
}

// TestEnforcementIsNamedWhereTheApiLeavesItOpen has one question for each line of the table in README.md.
func TestEnforcementIsNamedWhereTheApiLeavesItOpen(t *testing.T) {
	host := pod("x/h app=h", at("192.168.0.2"), on("n2"), hostNetwork)
	inits := pod("z/i app=i", at("10.3.0.9"), on("n2"), initPort("http TCP/80"))
	c := with(bazaar([]discoveryv1.Endpoint{ready("10.2.0.1"), ready("10.2.0.2")},
		policy("x/h app=h", types(in)), policy("x/a app=a", types(out), egress("pods app=h")),
		policy("z/i app=i", ingress("TCP/http")), policy("y/b app=b"), policy("z/b app=b", ingress("ns team=y"))), host, inits)
	cases := []struct{ ask, want string }{
		{"y/b x/h TCP/80", "Palisade takes a hostNetwork pod for its node and enforces no policy on it: allowed."},
		{"x/a x/h TCP/80", "Palisade takes a hostNetwork pod for its node, which only an ipBlock matches: denied."},
		{"x/a node/n1 TCP/80", "Palisade lets a pod reach its own node: allowed."},
		{"y/a z/i TCP/80", "Palisade counts the port names of containers and sidecars only: denied."},
		{"z/a 10.96.0.10 TCP/80", "Palisade denies it where egress differs, and decides for the backend it is translated to where only ingress does."},
		{"y/b 10.96.0.10 TCP/80", "Palisade decides by the address that the packet carries at the pod's interface."},
	}
	m := model.New(c)
	for _, tc := range cases {
		e := m.Explain(query(t, c, strings.Fields(tc.ask)))
		all := e.Sentences()
		for _, b := range e.Backends {
			all = append(all, b.Sentences()...)
		}
		if text := strings.Join(all, "\n"); !strings.Contains(text, tc.want) || e.Verdict != flow.Undefined {
			t.Errorf("%s: %s:\n%s\nwant: %s", tc.ask, e.Verdict, text, tc.want)
		}
	}
	for to, want := range map[string]string{
		"z/i": "Palisade denies it, since no rule without ports allows the peer.",
		"z/b": "Palisade allows it, since that rule names no ports.",
	} {
		icmp := model.Query{From: endpoint(t, c, "y/a"), To: endpoint(t, c, to), PortProto: flow.PortProto{Protocol: flow.ICMP}}
		diff(t, "ICMP to "+to, want, m.Explain(icmp).Halves[flow.Ingress].Enforcement)
	}
}

func TestServiceIsExplainedByBackend(t *testing.T) {
	c := bazaar([]discoveryv1.Endpoint{ready("10.2.0.2"), ready("10.2.0.1")}, policy("y/p app=b"))
	m := model.New(c)
	byAddress := query(t, c, strings.Fields("x/a 10.96.0.10 TCP/80"))
	byName := byAddress
	byName.To = model.Endpoint{Service: c.Services[0]}
	for name, q := range map[string]model.Query{"by address": byAddress, "by name": byName} {
		e := m.Explain(q)
		var got []string
		for _, b := range e.Backends {
			got = append(got, b.To+" "+b.Tuple.Dst.String()+" "+b.Verdict.String())
		}
		diff(t, name, []string{"y/a 10.2.0.1 allow", "y/b 10.2.0.2 deny"}, got)
		diff(t, name+" reason", model.BackendsDiffer, e.Reason)
		diff(t, name+" verdict", m.Decide(q).Verdict, e.Verdict)
	}
	nowhere := byName
	nowhere.Port = 9
	diff(t, "no such port", []string{"service/y/web has no port TCP/9."}, m.Explain(nowhere).Sentences())
}

// TestExplanationsAgreeWithDecisions: they say the same verdict, and name a nearest miss exactly where no rule of any
// policy that isolates the pod allows, however the objects are ordered.
func TestExplanationsAgreeWithDecisions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := anyTown(rt)
		m := model.New(c)
		pod := rapid.IntRange(0, len(c.Pods)-1)
		for range 50 {
			q := model.Query{PortProto: flow.PortProto{Protocol: flow.TCP, Port: 80}}
			q.From.Pod, q.To.Pod = c.Pods[pod.Draw(rt, "from")], c.Pods[pod.Draw(rt, "to")]
			e := m.Explain(q)
			same(rt, []model.Decision{m.Decide(q)}, []model.Decision{e.Decision})
			for dir, h := range []model.Half{e.Egress, e.Ingress} {
				missing := hasRules(c, h.Isolating, flow.Direction(dir)) && h.Verdict != flow.Allow && len(h.Rules) == 0
				if got := e.Halves[dir].Nearest; e.Reason == "" && (got != nil) != missing {
					rt.Fatalf("%s to %s: nearest %v of half %+v", e.From, e.To, got, h)
				}
			}
		}
	})
}

// hasRules reports whether any of the named policies has a rule for the direction.
func hasRules(c *model.Cluster, refs []model.PolicyRef, dir flow.Direction) bool {
	n := 0
	for _, p := range c.Policies {
		for _, ref := range refs {
			if ref == (model.PolicyRef{Namespace: p.Namespace, Name: p.Name}) {
				n += [...]int{flow.Egress: len(p.Spec.Egress), flow.Ingress: len(p.Spec.Ingress)}[dir]
			}
		}
	}
	return n > 0
}
