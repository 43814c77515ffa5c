package model_test

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/model"
)

// testCase: the policies of a town, and what becomes of connections in it. Cases of one number test one rule of the
// specification.
type testCase struct {
	name     string
	policies []*networkingv1.NetworkPolicy
	want     []string
}

func list(policies ...*networkingv1.NetworkPolicy) []*networkingv1.NetworkPolicy { return policies }

func (c testCase) run(t *testing.T) { check(t, town(c.policies...), c.want...) }

func runAll(t *testing.T, cases []testCase) {
	for _, c := range cases {
		t.Run(c.name, c.run)
	}
}

const (
	in  = networkingv1.PolicyTypeIngress
	out = networkingv1.PolicyTypeEgress
)

func TestDefaultingAndIsolation(t *testing.T) {
	runAll(t, []testCase{
		{"01 an empty spec isolates every pod for ingress only", list(policy("x/p")), []string{
			"y/a x/b TCP/80 deny no-rule-matched", "8.8.8.8 x/a TCP/80 deny", "x/a y/a TCP/80 allow not-isolated",
		}},
		{"02 egress rules without policyTypes isolate ingress as well", list(policy("x/p", egress())), []string{
			"y/a x/b TCP/80 deny", "x/a y/a TCP/80 allow rule-matched", "x/a 8.8.8.8 UDP/53 allow",
		}},
		{"03 empty egress without policyTypes does not isolate egress", list(policy("x/p", emptyEgress)), []string{
			"x/a y/a TCP/80 allow", "y/a x/b TCP/80 deny",
		}},
		{"04 empty policyTypes are absent policyTypes", list(policy("x/p", emptyTypes, egress("pods"))), []string{
			"y/a x/b TCP/80 deny", "x/a y/a TCP/80 deny", "x/a x/b TCP/80 deny",
		}},
		{"05 type Egress ignores the ingress section", list(policy("x/p", types(out), ingress("cidr 1.1.1.1/32"))), []string{
			"y/a x/b TCP/80 allow not-isolated", "x/b y/a TCP/80 deny",
		}},
		{"06 type Ingress ignores egress rules", list(policy("x/p", types(in), egress("cidr 1.1.1.1/32"))), []string{
			"x/b y/a TCP/80 allow", "y/a x/b TCP/80 deny",
		}},
		{"07 empty ingress denies like absent ingress", list(policy("x/p", types(in), emptyIngress)), []string{
			"y/a x/b TCP/80 deny no-rule-matched",
		}},
		{"08 an empty rule allows everything from everywhere", list(policy("x/p", ingress())), []string{
			"8.8.8.8 x/a TCP/80 allow", "y/b x/a UDP/1 allow", "z/b x/a SCTP/65535 allow", "node/n2 x/a TCP/1 allow",
		}},
		{"09 empty from means all sources", list(policy("x/p", emptyFrom)), []string{
			"8.8.8.8 x/a TCP/80 allow", "y/b x/a TCP/80 allow", "y/b x/a TCP/81 deny",
		}},
		{"14 an absent podSelector selects the policy's namespace only", list(policy("x/p")), []string{
			"y/b x/a TCP/80 deny", "y/b x/c TCP/80 deny", "x/b y/a TCP/80 allow",
		}},
		{"21 policies add up, whatever their order", list(policy("x/q", ingress("pods app=b")), policy("x/p app=a",
			ingress("pods app=c"))), []string{
			"x/b x/a TCP/80 allow", "x/c x/a TCP/80 allow", "x/c x/b TCP/80 deny", "y/b x/a TCP/80 deny",
		}},
		{"22 one name in two namespaces is two policies", list(policy("x/p", ingress("pods")), policy("y/p",
			ingress("ns *"))), []string{
			"y/b x/a TCP/80 deny", "x/b y/a TCP/80 allow", "x/b x/a TCP/80 allow",
		}},
		{"23 a policy whose peers match nobody isolates", list(policy("x/p", ingress("pods app=none"))), []string{
			"x/b x/a TCP/80 deny",
		}},
		{"24 both ends must allow", list(policy("x/p", types(out), egress("pods app=b")), policy("x/q app=b", types(in),
			ingress("pods app=c"))), []string{
			"x/a x/b TCP/80 deny", "x/c x/b TCP/80 allow", "x/c x/a TCP/80 deny", "y/a x/a TCP/80 allow",
		}},
		{"68 deleting one of two policies keeps the isolation", list(policy("x/p", ingress("pods app=b"))), []string{
			"x/b x/a TCP/80 allow", "x/c x/b TCP/80 deny",
		}},
		{"72 an allowed connection says nothing about the way back", list(policy("x/p app=a", types(in, out),
			egress("pods app=b"))), []string{
			"x/a x/b TCP/80 allow", "x/b x/a TCP/80 deny",
		}},
		{"83 no policy allows everything, from outside too", nil, []string{
			"8.8.8.8 x/a TCP/80 allow not-a-pod not-isolated", "x/a 2001:db8::1 UDP/53 allow", "x/a y/b SCTP/9 allow",
			"node/n2 x/a TCP/80 allow", "8.8.8.8 9.9.9.9 TCP/80 allow not-a-pod",
		}},
		{"84 only the pod's own side counts towards outside", list(policy("x/p", types(in)),
			policy("y/p", types(out))), []string{
			"x/a 8.8.8.8 TCP/80 allow", "8.8.8.8 x/a TCP/80 deny", "y/a 8.8.8.8 TCP/80 deny", "8.8.8.8 y/a TCP/80 allow",
		}},
	})
}

func emptyTypes(s *networkingv1.NetworkPolicySpec) { s.PolicyTypes = []networkingv1.PolicyType{} }
func emptyEgress(s *networkingv1.NetworkPolicySpec) {
	s.Egress = []networkingv1.NetworkPolicyEgressRule{}
}
func emptyIngress(s *networkingv1.NetworkPolicySpec) {
	s.Ingress = []networkingv1.NetworkPolicyIngressRule{}
}

func emptyFrom(s *networkingv1.NetworkPolicySpec) {
	ingress("TCP/80")(s)
	s.Ingress[0].From = []networkingv1.NetworkPolicyPeer{}
}

func TestSelectors(t *testing.T) {
	runAll(t, []testCase{
		{"16 a podSelector alone means the policy's namespace", list(policy("x/p", ingress("pods app=b"))), []string{
			"x/b x/a TCP/80 allow", "y/b x/a TCP/80 deny", "x/c x/b TCP/80 deny",
		}},
		{"16 an empty namespaceSelector means all namespaces", list(policy("x/p", ingress("ns *"))), []string{
			"x/b x/a TCP/80 allow", "y/b x/a TCP/80 allow", "z/b x/a TCP/80 allow", "8.8.8.8 x/a TCP/80 deny",
		}},
		{"17 a namespaceSelector alone means all its pods", list(policy("x/p", ingress("ns team=y"))), []string{
			"y/a x/b TCP/80 allow", "y/c x/b TCP/80 allow", "x/a x/b TCP/80 deny", "z/a x/b TCP/80 deny",
		}},
		{"17 an empty podSelector beside it adds nothing", list(policy("x/p", ingress("ns team=y pods *"))), []string{
			"y/a x/b TCP/80 allow", "y/c x/b TCP/80 allow", "x/a x/b TCP/80 deny",
		}},
		{"18 both selectors of one element must match", list(policy("x/p", ingress("ns team=y pods app=b"))), []string{
			"y/b x/a TCP/80 allow", "y/a x/b TCP/80 deny", "x/b x/a TCP/80 deny",
		}},
		{"18 one of two elements must match", list(policy("x/p", ingress("ns team=y", "pods app=b"))), []string{
			"y/b x/a TCP/80 allow", "y/a x/b TCP/80 allow", "x/b x/a TCP/80 allow", "x/c x/b TCP/80 deny",
		}},
		{"19 a podSelector in all namespaces", list(policy("x/p", ingress("ns * pods app=b"))), []string{
			"x/b x/a TCP/80 allow", "y/b x/a TCP/80 allow", "z/b x/a TCP/80 allow", "y/a x/b TCP/80 deny",
		}},
		{"25 NotIn matches where the key is missing", list(policy("x/p", ingress("pods tier notin (db)"))), []string{
			"x/b x/a TCP/80 allow",
		}},
		{"25 In does not match where the key is missing", list(policy("x/p", ingress("pods tier in (db)"))), []string{
			"x/b x/a TCP/80 deny",
		}},
		{"25 Exists and DoesNotExist", list(policy("x/p app=a", ingress("pods app")), policy("x/q app=b",
			ingress("pods !app"))), []string{
			"x/b x/a TCP/80 allow", "x/c x/b TCP/80 deny",
		}},
		{"26 an empty value must be there", list(policy("x/p", ingress("pods tier="))), []string{"x/b x/a TCP/80 deny"}},
		{"27 requirements on one key must all hold", list(policy("x/p",
			ingress("pods app in (b,c),app notin (c)"))), []string{
			"x/b x/a TCP/80 allow", "x/c x/b TCP/80 deny",
		}},
		{"27 what cannot be satisfied selects nobody", list(policy("x/p",
			ingress("pods app in (b),app notin (b)"))), []string{"x/b x/a TCP/80 deny"}},
		{"29 every namespace has its name label, listed or not", list(policy("x/p", ingress(
			"ns kubernetes.io/metadata.name in (y,z)"))), []string{
			"y/b x/a TCP/80 allow", "z/b x/a TCP/80 allow", "x/b x/a TCP/80 deny",
		}},
		{"80 a selector covers both addresses of a pod", list(policy("x/p", ingress("pods app=b"))), []string{
			"x/b x/a TCP/80 ipv4 allow", "x/b x/a TCP/80 ipv6 allow", "y/b x/a TCP/80 ipv6 deny",
		}},
	})
}

func TestNameLabelIsAddedBack(t *testing.T) {
	c := town(policy("x/p", ingress("ns kubernetes.io/metadata.name=y")))
	c.Namespaces[1].Labels["kubernetes.io/metadata.name"] = "other"
	check(t, c, "y/b x/a TCP/80 allow")
	if got := c.Namespaces[1].Labels["kubernetes.io/metadata.name"]; got != "other" {
		t.Errorf("the caller's namespace was modified: its label is %q", got)
	}
}

func TestRelabelling(t *testing.T) {
	p := policy("x/p app=a", ingress("pods app=b", "ns team=y"))
	c := town(p)
	check(t, c, "x/c x/a TCP/80 deny", "z/b x/a TCP/80 deny")
	c = with(c, pod("x/c app=b", at("10.1.0.3"), on("n2")))
	check(t, c, "x/c x/a TCP/80 allow")
	c.Namespaces = append(c.Namespaces, namespace("z team=y"))
	check(t, c, "z/b x/a TCP/80 allow")
	c = with(c, pod("x/a app=other", at("10.1.0.1"), on("n1")))
	check(t, c, "y/b x/a TCP/80 allow not-isolated")
}

func TestRulesThatDecide(t *testing.T) {
	c := town(
		policy("x/two", ingress("pods app=c"), ingress("pods app=b", "TCP/80"), ingress("ns *")),
		policy("x/one app=a"),
		policy("x/other app=b", ingress()),
	)
	d := model.New(c).Decide(query(t, c, []string{"x/b", "x/a", "TCP/80"}))
	wantIsolating := []model.PolicyRef{{Namespace: "x", Name: "one"}, {Namespace: "x", Name: "two"}}
	diff(t, "isolating", wantIsolating, d.Ingress.Isolating)
	two := model.PolicyRef{Namespace: "x", Name: "two"}
	diff(t, "rules", []model.RuleRef{
		{PolicyRef: two, Direction: "ingress", Index: 1}, {PolicyRef: two, Direction: "ingress", Index: 2},
	}, d.Ingress.Rules)
	diff(t, "egress", model.Half{Verdict: 1, Reason: model.NotIsolated}, d.Egress)
}
