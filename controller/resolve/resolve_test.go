package resolve

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	typeIngress = networkingv1.PolicyTypeIngress
	typeEgress  = networkingv1.PolicyTypeEgress
)

func TestIsolation(t *testing.T) {
	tests := map[string]struct {
		spec string
		want []networkingv1.PolicyType
	}{
		"empty spec":                       {`{}`, []networkingv1.PolicyType{typeIngress}},
		"egress rules without types":       {`{egress: [{}]}`, []networkingv1.PolicyType{typeIngress, typeEgress}},
		"empty egress list without types":  {`{egress: []}`, []networkingv1.PolicyType{typeIngress}},
		"empty types are absent types":     {`{policyTypes: []}`, []networkingv1.PolicyType{typeIngress}},
		"egress only":                      {`{policyTypes: [Egress]}`, []networkingv1.PolicyType{typeEgress}},
		"a type twice":                     {`{policyTypes: [Egress, Egress]}`, []networkingv1.PolicyType{typeEgress}},
		"egress type with ingress section": {`{policyTypes: [Egress], ingress: [{}]}`, []networkingv1.PolicyType{typeEgress}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pe := only(t, &Snapshot{Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", tt.spec)}})
			if diff := cmp.Diff(tt.want, pe.Spec.PodIsolation); diff != "" {
				t.Errorf("podIsolation (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRulesOfOtherDirectionOpenNothing is about a policy of one type with rules of the other, which are ignored.
func TestRulesOfOtherDirectionOpenNothing(t *testing.T) {
	for name, spec := range map[string]string{
		"ingress only": `{policyTypes: [Ingress], egress: [{}]}`,
		"egress only":  `{policyTypes: [Egress], ingress: [{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			pe := only(t, &Snapshot{Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", spec)}})
			if len(pe.Spec.Ingress)+len(pe.Spec.Egress) > 0 {
				t.Errorf("entries: %v %v, want none", ingress(t, pe), egress(t, pe))
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	p := policy(t, "x/p", `{podSelector: {matchLabels: {app: a}}}`)
	pe := only(t, &Snapshot{Policies: []*networkingv1.NetworkPolicy{p}})
	wantOwner := []metav1.OwnerReference{{
		APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy", Name: "p", UID: "uid-of-x/p",
		Controller: new(true), BlockOwnerDeletion: new(true),
	}}
	if diff := cmp.Diff(wantOwner, pe.OwnerReferences); diff != "" {
		t.Errorf("ownerReferences (-want +got):\n%s", diff)
	}
	if pe.Namespace != "x" || pe.Spec.PolicyRef.Namespace != "x" || pe.Spec.PolicyRef.Name != "p" {
		t.Errorf("in namespace %q for %v, want x and x/p", pe.Namespace, pe.Spec.PolicyRef)
	}
	if diff := cmp.Diff(&p.Spec.PodSelector, pe.Spec.PodSelector); diff != "" {
		t.Errorf("podSelector (-want +got):\n%s", diff)
	}
	if pe.Spec.PodSelector == &p.Spec.PodSelector {
		t.Error("podSelector is the policy's own, want a copy")
	}
}

func TestSubjects(t *testing.T) {
	tests := map[string]struct {
		pod  *corev1.Pod
		want []string
	}{
		"running":     {newTestPod("x/a", "10.0.0.1"), []string{"x/a 10.0.0.1@192.168.0.1"}},
		"terminating": {newTestPod("x/a", "10.0.0.1", terminating), []string{"x/a 10.0.0.1@192.168.0.1"}},
		"dual-stack": {
			newTestPod("x/a", "fd00::1 10.0.0.1"), []string{"x/a 10.0.0.1@192.168.0.1", "x/a fd00::1@fd00:1::1"},
		},
		"other label":    {newTestPod("x/b", "10.0.0.1"), nil},
		"other ns":       {newTestPod("y/a", "10.0.0.1"), nil},
		"no address":     {newTestPod("x/a", "", phase(corev1.PodPending)), nil},
		"host network":   {newTestPod("x/a", "192.168.0.1", hostNetwork), nil},
		"node's address": {newTestPod("x/a", "192.168.0.1"), nil},
		"succeeded":      {newTestPod("x/a", "10.0.0.1", phase(corev1.PodSucceeded)), nil},
		"failed":         {newTestPod("x/a", "10.0.0.1", phase(corev1.PodFailed)), nil},
		"node of one family": {
			newTestPod("x/a", "10.0.0.1 fd00::1", func(p *corev1.Pod) { p.Status.HostIPs = nil }),
			[]string{"x/a 10.0.0.1@192.168.0.1", "x/a fd00::1@192.168.0.1"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pe := only(t, &Snapshot{
				Pods:     []*corev1.Pod{tt.pod},
				Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", `{podSelector: {matchLabels: {app: a}}}`)},
			})
			if diff := cmp.Diff(tt.want, pods(pe)); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPeers(t *testing.T) {
	cluster := &Snapshot{
		Namespaces: []*corev1.Namespace{
			newNamespace("x", map[string]string{"team": "red"}), newNamespace("y", map[string]string{"team": "blue"}),
		},
		Pods: []*corev1.Pod{
			newTestPod("x/a", "10.0.0.1 fd00::1"), newTestPod("x/b", "10.0.0.2"), newTestPod("y/a", "10.0.1.1"),
			newTestPod("z/a", "10.0.2.1"),
		},
	}
	tests := map[string]struct {
		rules string // of spec.ingress
		want  []string
	}{
		"anyone":                           {`[{}]`, []string{"0: 0.0.0.0/0", "0: ::/0"}},
		"anyone, written as an empty list": {`[{from: [], ports: []}]`, []string{"0: 0.0.0.0/0", "0: ::/0"}},
		"nobody, for lack of rules":        {`[]`, nil},
		"own namespace": {
			`[{from: [{podSelector: {}}]}]`, []string{"0: 10.0.0.1", "0: 10.0.0.2", "0: fd00::1"},
		},
		"all pods of namespaces": {`[{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]`, []string{"0: 10.0.1.1"}},
		"pods of all namespaces": {
			`[{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: a}}}]}]`,
			[]string{"0: 10.0.0.1", "0: 10.0.1.1", "0: 10.0.2.1", "0: fd00::1"},
		},
		"both selectors in one element": {
			`[{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: b}}}]}]`,
			[]string{"0: 10.0.0.2"},
		},
		"selectors in two elements": {
			`[{from: [{namespaceSelector: {matchLabels: {team: blue}}}, {podSelector: {matchLabels: {app: b}}}]}]`,
			[]string{"0: 10.0.0.2", "0: 10.0.1.1"},
		},
		"a namespace by the name that every namespace has": {
			`[{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: z}}}]}]`, []string{"0: 10.0.2.1"},
		},
		"a namespace that lacks the label": {
			`[{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [red, blue]}]}}]}]`,
			[]string{"0: 10.0.2.1"},
		},
		"a pod that two elements select": {
			`[{from: [{podSelector: {matchLabels: {app: b}}}, {podSelector: {matchLabels: {app: b}}}]}]`,
			[]string{"0: 10.0.0.2"},
		},
		"selectors that match nobody": {`[{from: [{podSelector: {matchLabels: {app: none}}}]}]`, nil},
		"ports stay with their rule": {
			`[{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}]},
			  {from: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 443}]}]`,
			[]string{"0: 10.0.0.2 on TCP/80", "1: 192.0.2.0/24 on TCP/443"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := *cluster
			s.Policies = []*networkingv1.NetworkPolicy{policy(t, "x/p", `{ingress: `+tt.rules+`}`)}
			if diff := cmp.Diff(tt.want, ingress(t, only(t, &s))); diff != "" {
				t.Errorf("ingress (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTrap2ExceptStaysInItsBlock: another rule may allow what the exception of one does not.
func TestTrap2ExceptStaysInItsBlock(t *testing.T) {
	checkEgress(t, nil, `[
		{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.2.0.0/16, 10.1.0.0/16]}}, {ipBlock: {cidr: 10.1.0.0/24}}]},
		{to: [{ipBlock: {cidr: 10.2.0.0/16}}]}]`,
		"0: 10.0.0.0/8 except 10.1.0.0/16 except 10.2.0.0/16", "0: 10.1.0.0/24", "1: 10.2.0.0/16")
}

// TestTrap3LongerPrefixKeepsThePortsOfTheShorter: entries that overlap are not joined or dropped.
func TestTrap3LongerPrefixKeepsThePortsOfTheShorter(t *testing.T) {
	checkEgress(t, nil, `[
		{to: [{ipBlock: {cidr: 10.1.0.0/16}}], ports: [{port: 443}]},
		{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]}]`,
		"0: 10.1.0.0/16 on TCP/443", "1: 10.0.0.0/8 on TCP/80")
}

// TestCIDRsAreCanonical is about what API servers before 1.36 let in.
func TestCIDRsAreCanonical(t *testing.T) {
	checkEgress(t, nil, `[{to: [{ipBlock: {cidr: 10.0.0.5/8, except: [10.1.2.3/16]}},
		{ipBlock: {cidr: 10.0.0.9/8, except: [10.1.0.0/16]}}, {ipBlock: {cidr: "::ffff:192.0.2.9/120"}},
		{ipBlock: {cidr: 010.000.1.0/024}}, {ipBlock: {cidr: "FD00:0::1/16"}}]}]`,
		"0: 10.0.0.0/8 except 10.1.0.0/16", "0: 10.0.1.0/24", "0: 192.0.2.0/24", "0: fd00::/16")
}

// TestTrap5PodsWithACommonNamePrefix: client-one and client-two are different pods, as are pods of two namespaces.
func TestTrap5PodsWithACommonNamePrefix(t *testing.T) {
	s := &Snapshot{
		Pods: []*corev1.Pod{
			newTestPod("x/client-one", "10.0.0.1"), newTestPod("x/client-two", "10.0.0.2"),
			newTestPod("y/client-one", "10.0.0.3"),
		},
		Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", `{podSelector: {matchLabels: {app: client-one}}}`)},
	}
	if diff := cmp.Diff([]string{"x/client-one 10.0.0.1@192.168.0.1"}, pods(only(t, s))); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

// TestTrap6KeysAreNotJoined: the Service a/bc is not the Service ab/c.
func TestTrap6KeysAreNotJoined(t *testing.T) {
	s := &Snapshot{
		Services:       []*corev1.Service{service("a/bc", "172.20.0.1", 80), service("ab/c", "172.20.0.2", 80)},
		EndpointSlices: endpointSlices(slice("ab/c", "10.0.0.1", 80)),
		Pods:           []*corev1.Pod{newTestPod("x/a", "10.0.0.1")},
	}
	checkEgress(t, s, `[{to: [{podSelector: {}}]}]`, "0: 10.0.0.1", "0: 172.20.0.2 on TCP/80")
}

// TestTrap16CompletedPodsAreNoPeers: their address may be another pod's by now.
func TestTrap16CompletedPodsAreNoPeers(t *testing.T) {
	s := &Snapshot{Pods: []*corev1.Pod{
		newTestPod("x/job", "10.0.0.1", phase(corev1.PodSucceeded)),
		newTestPod("x/broken", "10.0.0.2", phase(corev1.PodFailed)),
		newTestPod("x/leaving", "10.0.0.3", terminating), newTestPod("x/coming", "", phase(corev1.PodPending)),
	}}
	checkEgress(t, s, `[{to: [{podSelector: {}}]}]`, "0: 10.0.0.3")
}

// TestTrap17HostNetworkPodsAreNoPeers: a selector must not open a whole node.
func TestTrap17HostNetworkPodsAreNoPeers(t *testing.T) {
	s := &Snapshot{Pods: []*corev1.Pod{
		newTestPod("x/agent", "192.168.0.1 fd00:1::1", hostNetwork), newTestPod("x/liar", "192.168.0.1"),
	}}
	checkEgress(t, s, `[{to: [{podSelector: {}}]}]`)
}

// TestTrap18AnnotationsAreNoAddresses: only the status of a pod says where it is.
func TestTrap18AnnotationsAreNoAddresses(t *testing.T) {
	liar := newTestPod("x/a", "10.0.0.1")
	liar.Annotations = map[string]string{"vpc.amazonaws.com/pod-ips": "10.9.9.9"}
	checkEgress(t, &Snapshot{Pods: []*corev1.Pod{liar}}, `[{to: [{podSelector: {}}]}]`, "0: 10.0.0.1")
}

// TestTrap21IngressPolicyOpensNoEgress: rules of one direction do not leak into the other.
func TestTrap21IngressPolicyOpensNoEgress(t *testing.T) {
	s := &Snapshot{
		Services:       []*corev1.Service{service("x/a", "172.20.0.1", 80)},
		EndpointSlices: endpointSlices(slice("x/a", "10.0.0.1", 80)),
		Pods:           []*corev1.Pod{newTestPod("x/a", "10.0.0.1"), newTestPod("x/b", "10.0.0.2")},
		Policies:       []*networkingv1.NetworkPolicy{policy(t, "x/p", `{ingress: [{from: [{podSelector: {}}]}]}`)},
	}
	pe := only(t, s)
	if len(pe.Spec.Egress) > 0 || len(pe.Spec.PodIsolation) != 1 {
		t.Errorf("egress %v, podIsolation %v; want none and Ingress alone", egress(t, pe), pe.Spec.PodIsolation)
	}
	if diff := cmp.Diff([]string{"0: 10.0.0.1", "0: 10.0.0.2"}, ingress(t, pe)); diff != "" {
		t.Errorf("ingress (-want +got):\n%s", diff)
	}
}
