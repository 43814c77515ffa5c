package model_test

import (
	"fmt"
	"reflect"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// element draws one peer or port in the words of ingress.
func element() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		"pods *", "pods app=a", "pods app notin (a,b)", "ns *", "ns team=y", "ns team=y pods app=b",
		"cidr 10.0.0.0/8 except 10.2.0.0/16", "cidr 10.2.0.0/24", "cidr 0.0.0.0/0", "cidr ::/0", "cidr 192.168.0.0/31",
		"TCP/80", "TCP/80-82", "UDP/*", "*/*", "SCTP/80", "TCP/http",
	})
}

// anyPolicy draws a policy of town; name makes it unique.
func anyPolicy(t *rapid.T, name string) *networkingv1.NetworkPolicy {
	selects := rapid.SampledFrom([]string{"", "app=a", "app in (b,c)", "!app", "app=h"}).Draw(t, "selects")
	p := policy(rapid.SampledFrom([]string{"x/", "y/", "z/"}).Draw(t, "namespace")+name+" "+selects, anyRules(t)...)
	p.Spec.PolicyTypes = rapid.SampledFrom([][]networkingv1.PolicyType{nil, {in}, {out}, {in, out}}).Draw(t, "types")
	return p
}

func anyRules(t *rapid.T) []func(*networkingv1.NetworkPolicySpec) {
	var rules []func(*networkingv1.NetworkPolicySpec)
	for range rapid.IntRange(0, 2).Draw(t, "rules") {
		elements := rapid.SliceOfN(element(), 0, 4).Draw(t, "elements")
		rules = append(rules, rapid.SampledFrom(
			[]func(...string) func(*networkingv1.NetworkPolicySpec){ingress, egress}).Draw(t, "direction")(elements...))
	}
	return rules
}

// anyTown draws a town with up to five policies, a hostNetwork pod and a port that has a name.
func anyTown(t *rapid.T) *model.Cluster {
	var policies []*networkingv1.NetworkPolicy
	for i := range rapid.IntRange(0, 5).Draw(t, "policies") {
		policies = append(policies, anyPolicy(t, fmt.Sprint("p", i)))
	}
	return with(town(policies...),
		pod("x/h app=h", at("192.168.0.1", "fd00:ffff::1"), on("n1"), hostNetwork),
		pod("x/a app=a", at("10.1.0.1", "fd00:1::1"), on("n1"), port("http TCP/80")))
}

// decisions asks c about every pair of pods and nodes in both families.
func decisions(t testing.TB, c *model.Cluster) []model.Decision {
	m := model.New(c)
	ends := []model.Endpoint{endpoint(t, c, "node/n1"), endpoint(t, c, "8.8.8.8"), endpoint(t, c, "2001:db8::1")}
	for _, p := range c.Pods {
		ends = append(ends, model.Endpoint{Pod: p})
	}
	var all []model.Decision
	for _, pp := range []flow.PortProto{{Protocol: flow.TCP, Port: 80}, {Protocol: flow.UDP, Port: 80}} {
		for _, f := range []flow.Family{flow.IPv4, flow.IPv6} {
			for _, from := range ends {
				for _, to := range ends {
					all = append(all, m.Decide(model.Query{From: from, To: to, PortProto: pp, Family: f}))
				}
			}
		}
	}
	return all
}

// rank orders verdicts by how much they allow.
func rank(v flow.Verdict) int { return [...]int{flow.Deny: 0, flow.Undefined: 1, flow.Allow: 2}[v] }

func TestAddingARuleNeverClosesAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := anyTown(rt)
		before := decisions(t, c)
		for _, p := range c.Policies {
			p.Spec.PolicyTypes = isolates(p) // what an added egress rule must not change
			rapid.SampledFrom([]func(...string) func(*networkingv1.NetworkPolicySpec){ingress, egress}).Draw(rt, "direction")(
				rapid.SliceOfN(element(), 0, 4).Draw(rt, "added")...)(&p.Spec)
		}
		for i, after := range decisions(t, c) {
			if rank(after.Verdict) < rank(before[i].Verdict) {
				rt.Fatalf("%s to %s: %s became %s", after.From, after.To, before[i].Verdict, after.Verdict)
			}
		}
	})
}

func same(t *rapid.T, want, got []model.Decision) {
	for i := range want {
		if !reflect.DeepEqual(want[i], got[i]) {
			t.Fatalf("%s to %s: want %+v, got %+v", want[i].From, want[i].To, want[i], got[i])
		}
	}
}

// isolates is the definition of the default of policyTypes, from the comment of the field.
func isolates(p *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	switch {
	case len(p.Spec.PolicyTypes) > 0:
		return p.Spec.PolicyTypes
	case len(p.Spec.Egress) > 0:
		return []networkingv1.PolicyType{in, out}
	}
	return []networkingv1.PolicyType{in}
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := anyTown(rt)
		want := decisions(t, c)
		c.Policies = rapid.Permutation(c.Policies).Draw(rt, "order")
		same(rt, want, decisions(t, c))
	})
}

func TestPoliciesOfNobodyChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := anyTown(rt)
		want := decisions(t, c)
		nobody := anyPolicy(rt, "nobody")
		nobody.Spec.PodSelector = *selector("app=nobody")
		c.Policies = append(c.Policies, nobody)
		same(rt, want, decisions(t, c))
	})
}

func TestVerdictsFollowFromTheirHalves(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		for _, d := range decisions(t, anyTown(rt)) {
			if rank(d.Verdict) != min(rank(d.Egress.Verdict), rank(d.Ingress.Verdict)) {
				rt.Fatalf("%s to %s: %s from %s and %s", d.From, d.To, d.Verdict, d.Egress.Verdict, d.Ingress.Verdict)
			}
			for _, h := range []model.Half{d.Egress, d.Ingress} {
				if (h.Reason == model.RuleMatched) != (h.Verdict == flow.Allow && len(h.Rules) > 0) {
					rt.Fatalf("%s to %s: %s by %s with rules %v", d.From, d.To, h.Verdict, h.Reason, h.Rules)
				}
			}
		}
	})
}

func TestVerdictIsThatOfTheDecision(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := with(anyTown(rt), pod("z/c app=c", at("10.3.0.3", "fd00:3::3"), on("n1"), initPort("http TCP/80")),
			pod("y/c app=c", at("10.2.0.3", "10.1.0.77"), on("n2")))
		m := model.New(c)
		elsewhere := pod("x/new app=a", at("10.1.0.99"), on("n1"))
		ends := []model.Endpoint{
			{Pod: elsewhere}, endpoint(t, c, "8.8.8.8"), endpoint(t, c, "node/n2"), endpoint(t, c, "10.1.0.77"),
		}
		for _, p := range c.Pods {
			ends = append(ends, model.Endpoint{Pod: p})
		}
		for range 500 {
			end := rapid.SampledFrom(ends)
			q := model.Query{
				From: end.Draw(rt, "from"), To: end.Draw(rt, "to"),
				PortProto: rapid.SampledFrom([]flow.PortProto{
					{Protocol: flow.TCP, Port: 80}, {Protocol: flow.TCP, Port: 81}, {Protocol: flow.UDP, Port: 80},
				}).Draw(rt, "port"),
				Family: rapid.SampledFrom([]flow.Family{0, flow.IPv4, flow.IPv6}).Draw(rt, "family"),
			}
			if want := m.Decide(q); m.Verdict(q) != want.Verdict {
				rt.Fatalf("%s to %s %s: verdict %s, decided %+v", want.From, want.To, q.PortProto, m.Verdict(q), want)
			}
		}
	})
}
