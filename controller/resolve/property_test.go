package resolve

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// TestOrderOfInputDoesNotMatter: byte-identical results, whatever the order in which objects arrived.
func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCluster(t)
		want, wantErrs := All(s, Options{ChunkSize: 2})
		shuffled := &Snapshot{
			Namespaces:     rapid.Permutation(s.Namespaces).Draw(t, "namespaces"),
			Pods:           rapid.Permutation(s.Pods).Draw(t, "pods"),
			Services:       rapid.Permutation(s.Services).Draw(t, "services"),
			EndpointSlices: rapid.Permutation(s.EndpointSlices).Draw(t, "slices"),
			Policies:       rapid.Permutation(s.Policies).Draw(t, "policies"),
		}
		got, gotErrs := All(shuffled, Options{ChunkSize: 2})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("PolicyEndpoints differ (-want +got):\n%s", diff)
		}
		if len(wantErrs)+len(gotErrs) > 0 {
			t.Errorf("errors on valid input: %v %v", wantErrs, gotErrs)
		}
	})
}

// TestSameAsTwin: what a consumer applies, (union of pods) × (union of rules) per policyRef, is what the NetworkPolicy
// says, rule by rule, for every address and port that could matter, however it is cut into chunks.
func TestSameAsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawCluster(t)
		index, _ := NewIndex(s)
		options := Options{ChunkSize: rapid.IntRange(0, 4).Draw(t, "chunk size")}
		for _, np := range s.Policies {
			set, errs := index.Policy(np, options)
			if len(errs) > 0 {
				t.Fatalf("errors on valid input: %v", errs)
			}
			c := comparison{t, twin{s, np}, consume(t, set)}
			for _, p := range s.Pods {
				c.pod(p)
			}
			if got := v1alpha1.CompletenessOf(set); got != v1alpha1.Complete {
				t.Errorf("the whole set is %v", got)
			}
		}
	})
}

// applied is what a consumer makes of the objects with one policyRef.
type applied struct {
	pods            map[string]bool // "namespace/name address"
	ingress, egress []appliedEntry
}

type appliedEntry struct {
	rule   int
	prefix netip.Prefix
	except []netip.Prefix
	ports  []v1alpha1.Port
}

// consume groups objects as CONTRACT says an agent must.
func consume(t *rapid.T, set []*v1alpha1.PolicyEndpoint) map[string]*applied {
	groups := map[string]*applied{}
	for _, pe := range set {
		g := groups[pe.Spec.PolicyRef.Name]
		if g == nil {
			g = &applied{pods: map[string]bool{}}
			groups[pe.Spec.PolicyRef.Name] = g
		}
		for _, p := range pe.Spec.PodSelectorEndpoints {
			g.pods[p.Namespace+"/"+p.Name+" "+string(p.PodIP)] = true
		}
		g.ingress = append(g.ingress, read(t, pe.Annotations[v1alpha1.IngressRulesAnnotation], pe.Spec.Ingress)...)
		g.egress = append(g.egress, read(t, pe.Annotations[v1alpha1.EgressRulesAnnotation], pe.Spec.Egress)...)
	}
	return groups
}

func read(t *rapid.T, annotation string, infos []v1alpha1.EndpointInfo) []appliedEntry {
	rules, err := v1alpha1.DecodeRules(annotation, len(infos))
	if err != nil {
		t.Fatalf("attribution: %v", err)
	}
	var entries []appliedEntry
	for i, info := range infos {
		e := appliedEntry{rule: rules[i], ports: info.Ports}
		if a, err := netip.ParseAddr(string(info.CIDR)); err == nil {
			e.prefix = netip.PrefixFrom(a, a.BitLen())
		} else {
			e.prefix = netip.MustParsePrefix(string(info.CIDR))
		}
		for _, x := range info.Except {
			e.except = append(e.except, netip.MustParsePrefix(string(x)))
		}
		entries = append(entries, e)
	}
	return entries
}

// rules returns the rules of those entries that allow p, sorted, each once.
func rules(entries []appliedEntry, p probe) []int {
	var found []int
	for _, e := range entries {
		excepted := slices.ContainsFunc(e.except, func(x netip.Prefix) bool { return x.Contains(p.peer) })
		open := len(e.ports) == 0 || slices.ContainsFunc(e.ports, func(port v1alpha1.Port) bool {
			last := port.EndPort
			if last == nil {
				last = port.Port
			}
			return *port.Protocol == p.protocol && (port.Port == nil || *port.Port <= p.port && p.port <= *last)
		})
		if e.prefix.Contains(p.peer) && !excepted && open {
			found = append(found, e.rule)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// comparison holds the two sides for one policy.
type comparison struct {
	t      *rapid.T
	twin   twin
	groups map[string]*applied
}

// pod compares everything that one pod may do.
func (c comparison) pod(p *corev1.Pod) {
	for _, ip := range p.Status.PodIPs {
		var found []*applied
		for _, g := range c.groups {
			if g.pods[p.Namespace+"/"+p.Name+" "+ip.IP] {
				found = append(found, g)
			}
		}
		if got, want := len(found) == 1, c.twin.selects(p); got != want || len(found) > 1 {
			c.t.Fatalf("%s/%s %s is in %d groups, selected: %v", p.Namespace, p.Name, ip.IP, len(found), want)
		}
		if len(found) == 1 {
			c.rules(p, found[0])
			c.services(found[0])
		}
	}
}

func (c comparison) rules(p *corev1.Pod, g *applied) {
	for _, peer := range []string{
		"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "fd00::1", "fd00::2", "fd00::3", "fd00::4",
		"fd00::5", "fd00::6", "10.0.0.200", "10.9.9.9", "192.0.2.7", "198.51.100.1", "2001:db8::1",
	} {
		for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
			for _, number := range []int32{53, 80, 81, 8080, 8081, 9999} {
				x := probe{netip.MustParseAddr(peer), protocol, number}
				if got, want := rules(g.ingress, x), c.twin.ingress(p, x); !slices.Equal(got, want) {
					c.t.Fatalf("%s/%s from %v: rules %v, want %v", p.Namespace, p.Name, x, got, want)
				}
				if got, want := rules(g.egress, x), c.twin.egress(x); !slices.Equal(got, want) {
					c.t.Fatalf("%s/%s to %v: rules %v, want %v", p.Namespace, p.Name, x, got, want)
				}
			}
		}
	}
}

// services compares every port of every Service that has backends in the family of a ClusterIP.
func (c comparison) services(g *applied) {
	for _, s := range c.twin.Services {
		for _, ip := range s.Spec.ClusterIPs {
			for _, port := range s.Spec.Ports {
				x := probe{netip.MustParseAddr(ip), port.Protocol, port.Port}
				backends := c.backends(s, port.Name, x)
				if len(backends) == 0 {
					continue
				}
				if got, want := len(rules(g.egress, x)) > 0, c.twin.throughService(x, backends); got != want {
					c.t.Fatalf("to service %s/%s at %v: %v, want %v (backends %v)", s.Namespace, s.Name, x, got, want, backends)
				}
			}
		}
	}
}

// backends returns those of x that have not left, or all where all have.
func (c comparison) backends(s *corev1.Service, port string, x probe) []probe {
	var all, staying []probe
	for _, e := range c.twin.EndpointSlices {
		if e.Namespace != s.Namespace || e.Labels["kubernetes.io/service-name"] != s.Name {
			continue
		}
		for _, p := range e.Ports {
			for _, endpoint := range e.Endpoints {
				a := netip.MustParseAddr(endpoint.Addresses[0])
				if *p.Name == port && *p.Protocol == x.protocol && a.Is4() == x.peer.Is4() {
					all = append(all, probe{a, x.protocol, *p.Port})
					if !c.twin.hasLeft(endpoint.TargetRef, a) {
						staying = append(staying, all[len(all)-1])
					}
				}
			}
		}
	}
	if len(staying) == 0 {
		return all
	}
	return staying
}
