package resolve

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestInvalidPartsOpenNothing: the error names the place, and what is valid beside it stays in force.
func TestInvalidPartsOpenNothing(t *testing.T) {
	tests := map[string]struct {
		rule, place string
		want        []string
	}{
		"cidr": {
			`{to: [{ipBlock: {cidr: nonsense}}, {ipBlock: {cidr: 10.0.0.0/8}}]}`,
			"spec.egress[0].to[0].ipBlock.cidr", []string{"0: 10.0.0.0/8"},
		},
		"bare address": {`{to: [{ipBlock: {cidr: 10.0.0.1}}]}`, "spec.egress[0].to[0].ipBlock.cidr", nil},
		"zone": {
			`{to: [{ipBlock: {cidr: "fe80::%1/64"}}]}`,
			"spec.egress[0].to[0].ipBlock.cidr", nil,
		},
		"except": {
			`{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [x]}}]}`,
			"spec.egress[0].to[0].ipBlock.except[0]", nil,
		},
		"except outside": {
			`{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}`,
			"spec.egress[0].to[0].ipBlock.except[0]", nil,
		},
		"except the same": {
			`{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}`,
			"spec.egress[0].to[0].ipBlock.except[0]", nil,
		},
		"except of IPv6": {
			`{to: [{ipBlock: {cidr: 0.0.0.0/0, except: ["fd00::/8"]}}]}`,
			"spec.egress[0].to[0].ipBlock.except[0]", nil,
		},
		"empty peer": {`{to: [{}]}`, "spec.egress[0].to[0]", nil},
		"block and selector": {
			`{to: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}`,
			"spec.egress[0].to[0]", nil,
		},
		"pod selector": {
			`{to: [{podSelector: {matchExpressions: [{key: a, operator: In}]}}]}`,
			"spec.egress[0].to[0].podSelector", nil,
		},
		"namespace selector": {`{to: [{namespaceSelector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}}]}`,
			"spec.egress[0].to[0].namespaceSelector", nil},
		"port 0":        {`{ports: [{port: 0}]}`, "spec.egress[0].ports[0].port", nil},
		"port 65536":    {`{ports: [{port: 65536}]}`, "spec.egress[0].ports[0].port", nil},
		"negative port": {`{ports: [{port: -1}]}`, "spec.egress[0].ports[0].port", nil},
		"endPort below": {`{ports: [{port: 80, endPort: 79}]}`, "spec.egress[0].ports[0].endPort", nil},
		"endPort 65536": {
			`{ports: [{port: 80, endPort: 65536}]}`,
			"spec.egress[0].ports[0].endPort", nil,
		},
		"endPort, no port":  {`{ports: [{endPort: 80}]}`, "spec.egress[0].ports[0].endPort", nil},
		"endPort of a name": {`{ports: [{port: http, endPort: 80}]}`, "spec.egress[0].ports[0].endPort", nil},
		"a number as name":  {`{ports: [{port: "80"}]}`, "spec.egress[0].ports[0].port", nil},
		"protocol":          {`{ports: [{protocol: ICMP}]}`, "spec.egress[0].ports[0].protocol", nil},
		"port beside a good one": {`{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 0}, {port: 80}]}`,
			"spec.egress[0].ports[0].port", []string{"0: 10.0.0.0/8 on TCP/80"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := policy(t, "x/p", `{egress: [`+tt.rule+`]}`)
			s := &Snapshot{Policies: []*networkingv1.NetworkPolicy{p}, Pods: []*corev1.Pod{newTestPod("x/a", "10.0.0.1")}}
			all, errs := All(s, Options{})
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), "networkpolicy x/p: "+tt.place+": ") {
				t.Errorf("errors %v, want one at %s", errs, tt.place)
			}
			if diff := cmp.Diff(tt.want, egress(t, all[0])); diff != "" {
				t.Errorf("egress (-want +got):\n%s", diff)
			}
			if len(all[0].Spec.PodIsolation) != 2 || len(all[0].Spec.PodSelectorEndpoints) != 1 {
				t.Errorf("pods %v isolated for %v, want x/a for both directions", pods(all[0]), all[0].Spec.PodIsolation)
			}
		})
	}
}

// TestInvalidObjectsAreNamed: addresses that are none are reported and open nothing.
func TestInvalidObjectsAreNamed(t *testing.T) {
	bad := service("x/s", "nonsense", 80)
	tests := map[string]struct {
		cluster *Snapshot
		want    string
	}{
		"pod":     {&Snapshot{Pods: []*corev1.Pod{newTestPod("x/a", "10.0.0.256")}}, "pod x/a: status.podIPs: "},
		"service": {&Snapshot{Services: []*corev1.Service{bad}}, "service x/s: spec.clusterIPs: "},
		"endpoints": {&Snapshot{EndpointSlices: endpointSlices(slice("x/s", "10.0.0.1 host", 80))},
			"endpointslice x/s-80: endpoints[1]: "},
		"podSelector": {&Snapshot{Policies: []*networkingv1.NetworkPolicy{
			policy(t, "x/p", `{podSelector: {matchExpressions: [{key: a, operator: In}]}}`)}},
			"networkpolicy x/p: spec.podSelector: "},
		"policyTypes": {&Snapshot{Policies: []*networkingv1.NetworkPolicy{policy(t, "x/p", `{policyTypes: [Both]}`)}},
			"networkpolicy x/p: spec.policyTypes[0]: "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			all, errs := All(tt.cluster, Options{})
			if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tt.want) {
				t.Errorf("errors %v, want one that begins with %q", errs, tt.want)
			}
			for _, pe := range all {
				if len(pe.Spec.Ingress)+len(pe.Spec.Egress)+len(pe.Spec.PodSelectorEndpoints) > 0 {
					t.Errorf("%s opens something: %+v", pe.Name, pe.Spec)
				}
			}
		})
	}
}

// FuzzAll: no string in any place where strings go makes All panic, or turns a list of ports into every port.
func FuzzAll(f *testing.F) {
	f.Add("10.0.0.0/8", "10.0.0.1", "http", "TCP", "app", "In", int32(80))
	f.Add("::ffff:10.0.0.0/104", "fe80::1%eth0", "", "", "", "", int32(-1))
	f.Add("0x0/00", "010.0.0.1", "80", "ICMP", "a/b/c", "Exists", int32(65536))
	f.Fuzz(func(t *testing.T, cidr, ip, portName, protocol, key, operator string, number int32) {
		selector := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: key, Operator: metav1.LabelSelectorOperator(operator), Values: []string{portName}},
		}}
		p := policy(t, "x/p", `{egress: [{ports: [{port: a, protocol: TCP}]}]}`)
		p.Spec.Egress[0].Ports[0].Port.StrVal = portName
		p.Spec.Egress[0].Ports[0].Protocol = new(corev1.Protocol(protocol))
		p.Spec.Egress[0].To = []networkingv1.NetworkPolicyPeer{
			{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: []string{ip}}},
			{PodSelector: selector}, {NamespaceSelector: selector},
		}
		s := service("x/s", "172.20.0.1", number)
		s.Spec.ClusterIPs = []string{ip, cidr}
		all, _ := All(&Snapshot{
			Pods:           []*corev1.Pod{newTestPod("x/a", "10.0.0.1", port(portName, corev1.Protocol(protocol), number))},
			Services:       []*corev1.Service{s},
			EndpointSlices: []*discoveryv1.EndpointSlice{slice("x/s", "10.0.0.1", number)},
			Policies:       []*networkingv1.NetworkPolicy{p},
		}, Options{})
		for _, e := range all[0].Spec.Egress {
			if len(e.Ports) == 0 {
				t.Errorf("entry %v opens every port", e)
			}
		}
	})
}

// TestUnreadablePodSelectorIsolatesAll: whom a policy selects whose podSelector cannot be read is not known, so that all pods of its
// namespace are isolated, as in the model.
func TestUnreadablePodSelectorIsolatesAll(t *testing.T) {
	np := policy(t, "x/p", `{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: ["not a label!"]}]}}`)
	set, errs := All(&Snapshot{
		Pods:     []*corev1.Pod{newTestPod("x/a", "10.0.0.1"), newTestPod("y/b", "10.0.0.2")},
		Policies: []*networkingv1.NetworkPolicy{np},
	}, Options{})
	if len(errs) == 0 {
		t.Error("nothing is said of it")
	}
	if len(set) != 1 || len(set[0].Spec.PodSelectorEndpoints) != 1 || set[0].Spec.PodSelectorEndpoints[0].Name != "a" {
		t.Errorf("published %+v, want one object that selects x/a", set)
	}
}
