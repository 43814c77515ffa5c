package resolve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// etcdLimit is the largest request that etcd takes unless it is told otherwise.
const etcdLimit = 1572864

// onPorts is an ingress policy of n ports, each far from the next.
func onPorts(t *testing.T, n int, from string) *networkingv1.NetworkPolicy {
	var ports []string
	for i := range n {
		ports = append(ports, fmt.Sprintf("{port: %d, endPort: %d}", 10000+10*i, 10005+10*i))
	}
	return policy(t, "x/p", `{ingress: [{from: [`+from+`], ports: [`+strings.Join(ports, ",")+`]}]}`)
}

// TestObjectsFitIntoEtcd: a policy of few entries is cut too where those are long, and loses none of them.
func TestObjectsFitIntoEtcd(t *testing.T) {
	tests := map[string]struct {
		ports int
		whole bool
	}{
		"short entries stay together": {ports: 1, whole: true},
		"long entries":                {ports: 100},
		"very long entries":           {ports: 5000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := crowd(t, 200)
			s.Policies = []*networkingv1.NetworkPolicy{onPorts(t, tt.ports, "{podSelector: {}}")}
			all := resolveAll(t, s)
			entries := 0
			for _, pe := range all {
				entries += len(pe.Spec.Ingress)
				if text, err := json.Marshal(pe); err != nil || len(text) > etcdLimit/2 {
					t.Errorf("%s has %d bytes, %v; want at most half of %d", pe.Name, len(text), err, etcdLimit)
				}
			}
			if entries != 200 || (len(all) == 1) != tt.whole {
				t.Errorf("%d entries in %d objects, want 200, and one object: %v", entries, len(all), tt.whole)
			}
			if got := v1alpha1.CompletenessOf(all); got != v1alpha1.Complete {
				t.Errorf("the set is %v, want complete", got)
			}
		})
	}
}

// TestEntryThatNoObjectHolds: it opens nothing and is named, and the rest of the policy is published.
func TestEntryThatNoObjectHolds(t *testing.T) {
	var except []string
	for i := range 50000 {
		except = append(except, fmt.Sprintf("10.%d.%d.%d/32", i>>16, i>>8&255, i&255))
	}
	block := `{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [` + strings.Join(except, ",") + `]}}]}`
	p := policy(t, "x/p", `{egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}, `+block+`]}`)
	all, errs := All(&Snapshot{
		Pods: []*corev1.Pod{newTestPod("x/a", "10.0.0.1")}, Policies: []*networkingv1.NetworkPolicy{p},
	}, Options{})
	want := "networkpolicy x/p: spec.egress[1]: 10.0.0.0/8 with 50000 exceptions and 0 ports does not fit into an object"
	if len(errs) != 1 || errs[0].Error() != want {
		t.Errorf("errors %v, want %s", errs, want)
	}
	if len(all) != 1 || len(all[0].Spec.PodSelectorEndpoints) != 1 || len(all[0].Spec.Egress) != 1 {
		t.Errorf("%d objects, want one that isolates x/a and opens 192.0.2.0/24", len(all))
	}
}

// TestWeightIsABound: what is counted is never less than what is written.
func TestWeightIsABound(t *testing.T) {
	for _, cidr := range []string{"255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124", "10.0.0.0/8"} {
		prefix, err := parsePrefix(cidr)
		if err != nil {
			t.Fatal(err)
		}
		e := entry{block: block{prefix: prefix}}
		for range 3 {
			text, err := json.Marshal(e.api())
			if err != nil || e.weight() < len(text)+len(",") {
				t.Errorf("%d bytes counted of %s, %v", e.weight(), text, err)
			}
			e.except = append(e.except, single(prefix.Addr()))
			e.ports = append(e.ports, portRange{corev1.ProtocolSCTP, 65534, 65535}, portRange{corev1.ProtocolUDP, 53, 53})
		}
	}
	p := v1alpha1.PodEndpoint{HostIP: "192.0.2.1", PodIP: "10.0.0.1", Name: "a", Namespace: "x"}
	if text, err := json.Marshal(p); err != nil || podWeight(p) != len(text)+len(",") {
		t.Errorf("%d bytes counted of %s, %v", podWeight(p), text, err)
	}
}
