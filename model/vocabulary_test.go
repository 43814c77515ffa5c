package model_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// The vocabulary of the tests in this package, made so that a case fits on a line:
//
//	pod("x/a app=web", at("10.0.1.1"), on("n1"), port("http TCP/80"))
//	policy("x/p app=web", ingress("pods app=cli", "TCP/80"), egress("cidr 10.0.0.0/8 except 10.1.0.0/16"))
//	"x/a x/b TCP/80 deny no-rule-matched"

// object splits "namespace/name label=value…".
func object(text string) metav1.ObjectMeta {
	fields := strings.Fields(text)
	namespace, name, _ := strings.Cut(fields[0], "/")
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labelMap(fields[1:])}
}

func labelMap(pairs []string) map[string]string {
	set := map[string]string{}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		set[key] = value
	}
	return set
}

func namespace(text string) *corev1.Namespace {
	fields := strings.Fields(text)
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fields[0], Labels: labelMap(fields[1:])}}
}

func node(name string, addrs ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, a := range addrs {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

func pod(text string, options ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: object(text), Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	for _, option := range options {
		option(p)
	}
	return p
}

func at(addrs ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for _, a := range addrs {
			p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
		}
		p.Status.PodIP = addrs[0]
	}
}

func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func hostNetwork(p *corev1.Pod) { p.Spec.HostNetwork = true }

func inPhase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

// port declares "name TCP/80" in a container of its own, initPort in a plain init container, sidecarPort in one that
// runs as long as the pod.
func port(text string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, container(text)) }
}

func initPort(text string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.InitContainers = append(p.Spec.InitContainers, container(text)) }
}

func sidecarPort(text string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := container(text)
		c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
	}
}

func container(text string) corev1.Container {
	name, number, _ := strings.Cut(text, " ")
	protocol, digits, _ := strings.Cut(number, "/")
	n, _ := strconv.Atoi(digits)
	return corev1.Container{Ports: []corev1.ContainerPort{
		{Name: name, Protocol: corev1.Protocol(protocol), ContainerPort: int32(n)},
	}}
}

// policy reads "namespace/name selector", with the selector in the form of kubectl -l; an absent one selects all.
func policy(text string, options ...func(*networkingv1.NetworkPolicySpec)) *networkingv1.NetworkPolicy {
	name, selects, _ := strings.Cut(text, " ")
	np := &networkingv1.NetworkPolicy{ObjectMeta: object(name)}
	np.Spec.PodSelector = *selector(selects)
	for _, option := range options {
		option(&np.Spec)
	}
	return np
}

func types(list ...networkingv1.PolicyType) func(*networkingv1.NetworkPolicySpec) {
	return func(s *networkingv1.NetworkPolicySpec) { s.PolicyTypes = list }
}

// ingress adds a rule with the peers "pods SELECTOR", "ns SELECTOR", "ns SELECTOR pods SELECTOR",
// "cidr A/B except C/D…" and the ports "TCP/80", "TCP/80-90", "TCP/name", "TCP/*" and "*/80", where * leaves the field
// out.
func ingress(elements ...string) func(*networkingv1.NetworkPolicySpec) {
	peers, ports := ruleOf(elements)
	return func(s *networkingv1.NetworkPolicySpec) {
		s.Ingress = append(s.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
	}
}

// egress adds a rule in the words of ingress.
func egress(elements ...string) func(*networkingv1.NetworkPolicySpec) {
	peers, ports := ruleOf(elements)
	return func(s *networkingv1.NetworkPolicySpec) {
		s.Egress = append(s.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
	}
}

func ruleOf(elements []string) (peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	for _, e := range elements {
		switch word, rest, _ := strings.Cut(e, " "); word {
		case "pods":
			peers = append(peers, networkingv1.NetworkPolicyPeer{PodSelector: selector(rest)})
		case "ns":
			ns, pods, both := strings.Cut(rest, " pods ")
			peer := networkingv1.NetworkPolicyPeer{NamespaceSelector: selector(ns)}
			if both {
				peer.PodSelector = selector(pods)
			}
			peers = append(peers, peer)
		case "cidr":
			fields := strings.Fields(rest)
			block := &networkingv1.IPBlock{CIDR: fields[0]}
			if len(fields) > 1 {
				block.Except = fields[2:]
			}
			peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: block})
		default:
			ports = append(ports, policyPort(e))
		}
	}
	return peers, ports
}

func policyPort(text string) networkingv1.NetworkPolicyPort {
	var p networkingv1.NetworkPolicyPort
	protocol, number, _ := strings.Cut(text, "/")
	if protocol != "*" {
		p.Protocol = ptr.To(corev1.Protocol(protocol))
	}
	if number == "*" {
		return p
	}
	first, last, isRange := strings.Cut(number, "-")
	p.Port = ptr.To(intstr.Parse(first))
	if n, err := strconv.Atoi(last); isRange && err == nil {
		p.EndPort = ptr.To(int32(n))
	} else if isRange {
		p.Port = ptr.To(intstr.FromString(number))
	}
	return p
}

func selector(text string) *metav1.LabelSelector {
	if text == "*" || text == "" {
		return &metav1.LabelSelector{}
	}
	s, err := metav1.ParseToLabelSelector(text)
	if err != nil {
		panic(fmt.Sprintf("test vocabulary: selector %q: %v", text, err))
	}
	return s
}

// endpoint finds "namespace/pod", "node/NAME" or an address in c.
func endpoint(t testing.TB, c *model.Cluster, text string) model.Endpoint {
	t.Helper()
	if addr, err := netip.ParseAddr(text); err == nil {
		return model.Endpoint{Addr: addr}
	}
	for _, n := range c.Nodes {
		if text == "node/"+n.Name {
			return model.Endpoint{Node: n}
		}
	}
	for _, p := range c.Pods {
		if text == p.Namespace+"/"+p.Name {
			return model.Endpoint{Pod: p}
		}
	}
	t.Fatalf("the test's cluster has no %q", text)
	return model.Endpoint{}
}

// query reads "FROM TO PORT", and "FROM TO PORT ipv6".
func query(t testing.TB, c *model.Cluster, fields []string) model.Query {
	t.Helper()
	q := model.Query{From: endpoint(t, c, fields[0]), To: endpoint(t, c, fields[1])}
	var err error
	if q.PortProto, err = flow.ParsePortProto(fields[2]); err != nil {
		t.Fatal(err)
	}
	if len(fields) > 3 {
		if q.Family, err = flow.ParseFamily(fields[3]); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

// check asks c every question of want: "FROM TO PORT [FAMILY] VERDICT [REASON…]".
func check(t *testing.T, c *model.Cluster, want ...string) {
	t.Helper()
	m := model.New(c)
	for _, line := range want {
		fields := strings.Fields(line)
		asked := 3
		if family, err := flow.ParseFamily(fields[3]); err == nil && family != 0 {
			asked = 4
		}
		checkOne(t, m, query(t, c, fields[:asked]), line, fields[asked], fields[asked+1:])
	}
}

func checkOne(t *testing.T, m *model.Model, q model.Query, line, verdict string, reasons []string) {
	t.Helper()
	d := m.Decide(q)
	if d.Verdict.String() != verdict {
		t.Errorf("%s: got %s: %s", line, d.Verdict, strings.Join(d.Sentences(), " "))
		return
	}
	for _, reason := range reasons {
		if r := model.Reason(reason); r != d.Reason && r != reasonOf(d.Egress, d) && r != reasonOf(d.Ingress, d) {
			t.Errorf("%s: got reasons %q, %q, %q", line, d.Reason, d.Egress.Reason, d.Ingress.Reason)
		}
	}
}

// reasonOf returns the reason of a half that had a part in d.
func reasonOf(h model.Half, d model.Decision) model.Reason {
	if h.Verdict == d.Verdict {
		return h.Reason
	}
	return ""
}

// town is a small cluster: namespaces x, y and z (z is not listed), nodes n1 and n2, and in each namespace the pods a
// and c on n1 and b on n2, with both address families. Pod number i of namespace number j has 10.j.0.i and fd00:j::i.
func town(policies ...*networkingv1.NetworkPolicy) *model.Cluster {
	c := &model.Cluster{
		Namespaces: []*corev1.Namespace{namespace("x team=x"), namespace("y team=y")},
		Nodes:      []*corev1.Node{node("n1", "192.168.0.1", "fd00:ffff::1"), node("n2", "192.168.0.2", "fd00:ffff::2")},
		Policies:   policies,
	}
	for j, ns := range []string{"x", "y", "z"} {
		for i, name := range []string{"a", "b", "c"} {
			v4, v6 := fmt.Sprintf("10.%d.0.%d", j+1, i+1), fmt.Sprintf("fd00:%d::%d", j+1, i+1)
			host := []string{"n1", "n2", "n1"}[i]
			c.Pods = append(c.Pods, pod(fmt.Sprintf("%s/%s app=%s", ns, name, name), at(v4, v6), on(host)))
		}
	}
	return c
}

// with replaces or adds pods.
func with(c *model.Cluster, pods ...*corev1.Pod) *model.Cluster {
	for _, p := range pods {
		for i, old := range c.Pods {
			if old.Namespace == p.Namespace && old.Name == p.Name {
				c.Pods = append(c.Pods[:i:i], c.Pods[i+1:]...)
				break
			}
		}
		c.Pods = append(c.Pods, p)
	}
	return c
}
