package cluster

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/run/matrix"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// corpus returns all cases of all scenarios.
func corpus(t *testing.T) []run.Input {
	t.Helper()
	all, err := spec.LoadAll(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	var inputs []run.Input
	for _, s := range all {
		inputs = append(inputs, run.Input{Scenario: s, File: s.Path()})
	}
	return inputs
}

// clusterOf is a cluster with so many nodes, and the families of its Service of the API server.
func clusterOf(nodes int, ips ...string) *Backend {
	client := fake.NewClientset(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}, Spec: corev1.ServiceSpec{ClusterIPs: ips},
	})
	for i := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("worker-%d", i)}}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		_ = client.Tracker().Add(node)
	}
	return newBackend(Options{Image: "probe"}, client, nil)
}

func TestWhatOfTheCorpusApplies(t *testing.T) {
	inputs := corpus(t)
	for name, b := range map[string]*Backend{
		"IPv4, three nodes":       clusterOf(3, "10.96.0.1"),
		"IPv6, two nodes":         clusterOf(2, "fd00:10:96::1"),
		"dual stack, three nodes": clusterOf(3, "10.96.0.1", "fd00:10:96::1"),
	} {
		fit, rest, err := run.Applicable(t.Context(), b, inputs)
		if err != nil {
			t.Fatal(err)
		}
		reasons := map[string]int{}
		for _, one := range rest {
			reasons[one.Reason]++
		}
		sample := run.Sample(fit)
		t.Logf("%s: %d files apply; %d do not: %v", name, len(sample), len(rest), reasons)
		if len(sample) < 100 {
			t.Errorf("%s: only %d files apply", name, len(sample))
		}
	}
}

// TestTranslationKeepsEveryVerdict puts each stage of each scenario that applies into a cluster with other addresses
// and names, and asks the model about every connection in both.
func TestTranslationKeepsEveryVerdict(t *testing.T) {
	b := clusterOf(3, "10.96.0.1", "fd00:10:96::1")
	b.opts.Outside = fakeOutside{}
	fit, _, err := run.Applicable(t.Context(), b, corpus(t))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, in := range fit {
		stages, err := in.Scenario.Stages()
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(b, nil, "run-x-")
		s.names = newNames(s.prefix, nodeNames(stages[0].Cluster))
		for _, stage := range stages {
			asked += compare(t, in.Scenario.Metadata.Name+": "+stage.Name, stage, s)
		}
	}
	if asked < 10000 {
		t.Errorf("only %d connections were asked about", asked)
	}
}

func nodeNames(c *model.Cluster) map[string]string {
	names := map[string]string{}
	for _, n := range c.Nodes {
		names[n.Name] = "worker-of-" + n.Name
	}
	return names
}

// elsewhere returns a cluster as it would be with other names and addresses, which lie so close together that blocks
// have to be taken apart.
func (s *session) elsewhere(stage spec.Stage) (there *model.Cluster, outside []model.Endpoint) {
	c, known := stage.Cluster, addresses{}
	next := map[bool]netip.Addr{
		true: netip.MustParseAddr("10.244.1.2"), false: netip.MustParseAddr("fd00:10:244:1::2"),
	}
	move := func(old netip.Addr) string {
		if !known[old].IsValid() {
			known[old] = next[old.Is4()]
			next[old.Is4()] = known[old].Next()
		}
		return known[old].String()
	}
	out := &model.Cluster{}
	for _, ns := range c.Namespaces {
		out.Namespaces = append(out.Namespaces, s.namespaceOf(ns))
	}
	for _, n := range c.Nodes {
		n = n.DeepCopy()
		n.Name = s.names.node[n.Name]
		for i, a := range n.Status.Addresses {
			if addr, err := netip.ParseAddr(a.Address); err == nil {
				n.Status.Addresses[i].Address = move(addr)
			}
		}
		out.Nodes = append(out.Nodes, n)
	}
	for i := range c.Pods { // from the last to the first
		p := c.Pods[len(c.Pods)-1-i].DeepCopy()
		p.Namespace, p.Spec.NodeName = s.names.namespace(p.Namespace), s.names.node[p.Spec.NodeName]
		p.Status.PodIP = ""
		for j, a := range podAddrs(p) {
			p.Status.PodIPs[j].IP = move(a)
		}
		out.Pods = append(out.Pods, p)
	}
	for _, svc := range c.Services {
		for _, a := range serviceAddrs(svc) {
			move(a)
		}
	}
	for _, h := range stage.Outside {
		for _, a := range h.Addrs {
			outside = append(outside, model.Endpoint{Addr: netip.MustParseAddr(move(a))})
		}
	}
	for _, p := range c.Policies {
		p = policyIn(p, s.names.namespace)
		known.policy(p)
		out.Policies = append(out.Policies, p)
	}
	return out, outside
}

// compare asks about every connection between pods, and between pods and nodes or hosts outside, here and elsewhere.
func compare(t *testing.T, at string, stage spec.Stage, s *session) (asked int) {
	t.Helper()
	there, outside := s.elsewhere(stage)
	here, moved := model.New(stage.Cluster), model.New(there)
	mine, theirs := ends(stage.Cluster, false), append(ends(there, true), outside...)
	for _, h := range stage.Outside {
		for _, a := range h.Addrs {
			mine = append(mine, model.Endpoint{Addr: a})
		}
	}
	for _, port := range stage.Ports {
		for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
			for i, from := range mine {
				for j, to := range mine {
					if i == j || from.Pod == nil && to.Pod == nil || unlike(from, family) || unlike(to, family) {
						continue
					}
					want := here.Decide(model.Query{From: from, To: to, PortProto: port, Family: family})
					got := moved.Decide(model.Query{From: theirs[i], To: theirs[j], PortProto: port, Family: family})
					asked++
					if want.Verdict != got.Verdict {
						t.Errorf("%s: %s → %s %s %s: %s, but moved %s", at, want.From, want.To, port, family,
							want.Verdict, got.Verdict)
					}
				}
			}
		}
	}
	return asked
}

// unlike says whether an end is an address of another family.
func unlike(e model.Endpoint, f flow.Family) bool {
	return e.Addr.IsValid() && flow.FamilyOf(e.Addr) != f
}

// ends lists pods with a network and nodes, in the same order in both clusters.
func ends(c *model.Cluster, backward bool) []model.Endpoint {
	var all []model.Endpoint
	for i := range c.Pods {
		if backward {
			i = len(c.Pods) - 1 - i
		}
		if p := c.Pods[i]; matrix.HasNetwork(p) {
			all = append(all, model.Endpoint{Pod: p})
		}
	}
	for _, n := range c.Nodes {
		all = append(all, model.Endpoint{Node: n})
	}
	return all
}
