package model_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestSelfAndNode(t *testing.T) {
	denyAll := policy("x/p", types(in, out))
	runAll(t, []testCase{
		{"31 a pod cannot block access to itself", list(denyAll), []string{
			"x/a x/a TCP/80 allow self", "x/a 10.1.0.1 TCP/80 allow self", "x/a 127.0.0.1 TCP/80 allow self",
			"x/a ::1 UDP/53 allow self", "x/a fd00:1::1 TCP/80 allow self",
		}},
		{"33 the own node always reaches its pods", list(denyAll), []string{
			"node/n1 x/a TCP/80 allow local-node", "192.168.0.1 x/a TCP/80 allow local-node",
			"node/n1 x/a TCP/80 ipv6 allow local-node", "fd00:ffff::1 x/a UDP/1 allow local-node",
		}},
		{"34 another node is subject to policy", list(denyAll), []string{
			"node/n2 x/a TCP/80 deny", "192.168.0.2 x/a TCP/80 deny",
		}},
		{"34 another node matches a block only", list(policy("x/p", ingress("cidr 192.168.0.2/32", "ns *"))), []string{
			"node/n2 x/a TCP/80 allow rule-matched", "node/n2 x/a TCP/80 ipv6 deny",
		}},
		{"35 isolated towards the own node is undefined", list(denyAll), []string{
			"x/a node/n1 TCP/80 undefined pod-to-own-node", "x/a 192.168.0.1 TCP/80 undefined pod-to-own-node",
			"x/a node/n2 TCP/80 deny",
		}},
		{"35 towards the own node with leave is no doubt", list(policy("x/p", types(out), egress("TCP/6443"))), []string{
			"x/a node/n1 TCP/6443 allow rule-matched", "x/a node/n1 TCP/6444 undefined",
		}},
		{"60 the API server is a node's address", list(policy("x/p", types(out),
			egress("cidr 192.168.0.2/32", "TCP/6443"))), []string{
			"x/a 192.168.0.2 TCP/6443 allow", "x/a 192.168.0.2 TCP/443 deny",
		}},
	})
}

func TestHostNetworkPods(t *testing.T) {
	cases := []testCase{
		{"36 not isolated whatever the policy is undefined", list(policy("x/p app=h", types(in, out))), []string{
			"x/h y/b TCP/80 undefined host-network", "y/b x/h TCP/80 undefined host-network",
		}},
		{"36 a hostNetwork subject that is allowed is no doubt", list(policy("x/p app=h", ingress("ns *"))), []string{
			"y/b x/h TCP/80 allow rule-matched", "8.8.8.8 x/h TCP/80 undefined",
		}},
		{"36 a selector may or may not select a hostNetwork peer", list(policy("x/p app=b", ingress("pods app=h"))), []string{
			"x/h x/b TCP/80 undefined host-network",
		}},
		{"36 what no selector selects is denied either way", list(policy("x/p app=b", ingress("pods app=c"))), []string{
			"x/h x/b TCP/80 deny no-rule-matched",
		}},
		{"36 a block on the node's address matches either way", list(policy("x/p app=b",
			ingress("cidr 192.168.0.1/32"))), []string{"x/h x/b TCP/80 allow rule-matched"}},
		{"36 as destination too", list(policy("x/p app=b", types(out), egress("pods app=h"))), []string{
			"x/b x/h TCP/80 undefined host-network",
		}},
		{"36 so do the names of its ports", list(policy("x/p app=b", types(out),
			egress("cidr 192.168.0.1/32", "TCP/http"))), []string{
			"x/b x/h TCP/80 undefined host-network", "x/b x/h TCP/81 deny", "x/b node/n1 TCP/80 deny",
		}},
		{"37 the same node's hostNetwork pod is the node", list(policy("x/p app=a", ingress("pods app=none"))), []string{
			"x/h x/a TCP/80 allow local-node",
		}},
		{"38 a hostNetwork pod's labels do not open its node", list(policy("x/p app=b", ingress("pods app=h"))), []string{
			"node/n1 x/b TCP/80 deny", "192.168.0.1 x/b TCP/80 deny",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			host := pod("x/h app=h", at("192.168.0.1", "fd00:ffff::1"), on("n1"), hostNetwork, port("http TCP/80"))
			check(t, with(town(c.policies...), host), c.want...)
		})
	}
}

func TestNodesKnownOnlyFromTheirPods(t *testing.T) {
	told := func(p *corev1.Pod) { p.Status.HostIP = "192.168.9.1" }
	c := &model.Cluster{
		Pods: []*corev1.Pod{
			pod("x/a", at("10.9.0.1"), told), pod("x/b", at("10.9.0.2"), on("m")), pod("x/h", hostNetwork, told),
			pod("x/c", at("10.9.0.3"), on("o")), pod("x/k", at("192.168.9.3"), hostNetwork, on("o")),
			pod("x/d", at("10.9.0.4"), on("p"), told),
		},
		Nodes:    []*corev1.Node{node("m")},
		Policies: list(policy("x/p", types(in))),
	}
	check(t, c,
		"192.168.9.1 x/a TCP/80 allow local-node", "192.168.9.1 x/b TCP/80 deny", "192.168.9.2 x/a TCP/80 deny",
		"x/h x/a TCP/80 allow local-node", "node/m x/b TCP/80 allow local-node",
		"node/m x/a TCP/80 undefined no-address", "192.168.9.3 x/c TCP/80 allow local-node",
		"192.168.9.1 x/d TCP/80 allow local-node", "x/h x/d TCP/80 allow local-node",
	)
}

func TestLifecycle(t *testing.T) {
	allowB := policy("x/p app=a", ingress("pods app=b"))
	pending := pod("x/b app=b", on("n2"), inPhase(corev1.PodPending))
	starting := pod("x/b app=b", at("10.1.0.2"), on("n2"), inPhase(corev1.PodPending))
	done := pod("x/b app=b", at("10.1.0.2"), on("n2"), inPhase(corev1.PodSucceeded))
	failed := pod("x/a app=a", at("10.1.0.1"), on("n1"), inPhase(corev1.PodFailed))
	reusing := pod("x/new app=new", at("10.1.0.2"), on("n2"))
	terminating := pod("x/b app=b", at("10.1.0.2"), on("n2"))
	terminating.DeletionTimestamp = &metav1.Time{}
	cases := []struct {
		name string
		pods []*corev1.Pod
		want []string
	}{
		{"62 a pod without an address takes part in nothing", []*corev1.Pod{pending}, []string{
			"x/b x/a TCP/80 undefined no-address", "x/a x/b TCP/80 undefined no-address",
		}},
		{"62 once it has an address policy applies", []*corev1.Pod{starting}, []string{"x/b x/a TCP/80 allow"}},
		{"65 a completed pod takes part in nothing", []*corev1.Pod{done}, []string{
			"x/b x/a TCP/80 undefined not-running", "x/b x/b TCP/80 undefined not-running",
		}},
		{"65 its address is nobody's", []*corev1.Pod{done}, []string{
			"10.1.0.2 x/a TCP/80 deny", "x/c 10.1.0.2 TCP/80 allow",
		}},
		{"65 its address belongs to the pod that reuses it", []*corev1.Pod{reusing, done}, []string{
			"10.1.0.2 x/a TCP/80 deny", "x/new 10.1.0.2 TCP/80 allow self",
		}},
		{"65 a failed pod is no subject", []*corev1.Pod{failed}, []string{"8.8.8.8 10.1.0.1 TCP/80 allow not-a-pod"}},
		{"66 a terminating pod is what it was", []*corev1.Pod{terminating}, []string{
			"x/b x/a TCP/80 allow", "10.1.0.2 x/a TCP/80 allow",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, with(town(allowB), c.pods...), c.want...) })
	}
}

func TestNewerPodOwnsTheAddress(t *testing.T) {
	older, newer := pod("x/z app=z", at("10.1.0.9")), pod("x/d app=b", at("10.1.0.9"))
	newer.CreationTimestamp = metav1.Unix(2, 0)
	older.CreationTimestamp = metav1.Unix(1, 0)
	for _, pods := range [][]*corev1.Pod{{older, newer}, {newer, older}} {
		check(t, with(town(policy("x/p app=a", ingress("pods app=b"))), pods...), "10.1.0.9 x/a TCP/80 allow")
	}
}

func TestFamilies(t *testing.T) {
	c := with(town(),
		pod("x/four", at("10.1.0.4"), on("n1")), pod("x/six", at("fd00:1::6"), on("n1")),
		pod("x/both", at("fd00:1::7", "10.1.0.7"), on("n1")))
	check(t, c,
		"x/four x/six TCP/80 undefined no-common-family", "x/four x/a TCP/80 ipv6 undefined no-common-family",
		"x/four 2001:db8::1 TCP/80 undefined no-common-family", "x/six x/a TCP/80 allow")
	for _, want := range []struct{ from, to, family, src, dst string }{
		{"x/a", "x/both", "", "10.1.0.1", "10.1.0.7"},
		{"x/both", "x/a", "", "fd00:1::7", "fd00:1::1"},
		{"x/both", "x/four", "", "10.1.0.7", "10.1.0.4"},
		{"x/a", "x/both", "ipv6", "fd00:1::1", "fd00:1::7"},
	} {
		d := model.New(c).Decide(query(t, c, []string{want.from, want.to, "TCP/80", want.family}))
		got := []string{d.Tuple.Src.String(), d.Tuple.Dst.String(), d.From, d.To}
		diff(t, want.from+" to "+want.to, []string{want.src, want.dst, want.from, want.to}, got)
	}
}

func TestUnreadableSelectorsFailClosed(t *testing.T) {
	broken := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like"}}}
	asSubject := policy("x/p")
	asSubject.Spec.PodSelector = broken
	asPeer := policy("y/p", ingress("pods app=a", "ns *"))
	asPeer.Spec.Ingress[0].From[0].PodSelector = &broken
	asPeer.Spec.Ingress[0].From[1].NamespaceSelector = &broken
	check(t, town(asSubject, asPeer), "y/b x/a TCP/80 deny", "y/b y/a TCP/80 deny", "x/b y/a TCP/80 deny")
}

func TestPodsOutsideTheClusterAreJudgedToo(t *testing.T) {
	c := town(policy("x/p app=new", ingress("pods app=b")))
	d := model.New(c).Decide(model.Query{
		From:      endpoint(t, c, "x/b"),
		To:        model.Endpoint{Pod: pod("x/new app=new", at("10.1.0.99"))},
		PortProto: flow.PortProto{Protocol: flow.TCP, Port: 80},
	})
	if d.Verdict != flow.Allow || d.Ingress.Reason != model.RuleMatched {
		t.Errorf("got %s, %s", d.Verdict, d.Ingress.Reason)
	}
	if d := model.New(c).Decide(model.Query{}); d.Verdict != flow.Undefined || d.Reason != model.NoAddress {
		t.Errorf("an empty query: got %s, %s", d.Verdict, d.Reason)
	}
}
