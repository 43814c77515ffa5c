package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxName is how long the name of a namespace, and the value of a label, may be.
const maxName = 63

// names translates the names of namespaces, pods and nodes between a scenario and the cluster, each to exactly one.
type names struct {
	prefix         string
	real, scenario map[string]string // namespaces
	node, nodeName map[string]string // nodes: real by scenario's, scenario's by real
	pods, podNames map[string]string // pods: real by the scenario's "namespace/name", the scenario's by the real one's
}

// newNames gives namespaces names that begin with prefix; nodes are real names by the scenario's.
func newNames(prefix string, nodes map[string]string) *names {
	n := &names{
		prefix: prefix, real: map[string]string{}, scenario: map[string]string{},
		node: nodes, nodeName: map[string]string{}, pods: map[string]string{}, podNames: map[string]string{},
	}
	for name, real := range nodes {
		n.nodeName[real] = name
	}
	return n
}

// namespace returns the real name of a namespace of the scenario, whether it exists or not.
func (n *names) namespace(name string) string {
	if real, ok := n.real[name]; ok {
		return real
	}
	real := n.prefix + name
	if len(real) > maxName {
		sum := sha256.Sum256([]byte(name))
		real = n.prefix + hex.EncodeToString(sum[:])[:maxName-len(n.prefix)]
	}
	n.real[name], n.scenario[real] = real, name
	return real
}

// adopt makes a namespace that is there the real one of the scenario's.
func (n *names) adopt(name, real string) {
	delete(n.scenario, n.real[name])
	n.real[name], n.scenario[real] = real, name
}

// pod returns the real name of a pod, which is the scenario's where no other pod has that.
func (n *names) pod(namespace, name string) string {
	if real, ok := n.pods[namespace+"/"+name]; ok {
		return real
	}
	real := name
	for i := 2; n.has(n.namespace(namespace), real); i++ {
		real = fmt.Sprintf("%s-%d", name, i)
	}
	n.namePod(namespace, name, real)
	return real
}

// namePod makes a real pod the scenario's.
func (n *names) namePod(namespace, name, real string) {
	n.pods[namespace+"/"+name] = real
	n.podNames[n.namespace(namespace)+"/"+real] = name
}

// reserve keeps the name of a pod that is not the scenario's.
func (n *names) reserve(namespace, name string) { n.podNames[namespace+"/"+name] = "" }

// has says whether a real name of a pod is taken.
func (n *names) has(namespace, name string) bool {
	_, ok := n.podNames[namespace+"/"+name]
	return ok
}

// podOf returns what the scenario calls a real pod.
func (n *names) podOf(namespace, real string) string {
	if name := n.podNames[namespace+"/"+real]; name != "" {
		return name
	}
	return real
}

// namespaceOf returns what the scenario calls a real namespace. One that is not the scenario's gets a name that no
// namespace of a scenario can have.
func (n *names) namespaceOf(real string) string {
	if name, ok := n.scenario[real]; ok {
		return name
	}
	return "cluster:" + real
}

// nodeOf returns what the scenario calls a real node; those it does not use keep their name.
func (n *names) nodeOf(real string) string {
	if name, ok := n.nodeName[real]; ok {
		return name
	}
	return real
}

// policyIn returns a policy in another namespace, with the namespaces that it selects by name renamed likewise.
func policyIn(p *networkingv1.NetworkPolicy, rename func(string) string) *networkingv1.NetworkPolicy {
	p = p.DeepCopy()
	p.Namespace = rename(p.Namespace)
	for i := range p.Spec.Ingress {
		renamePeers(p.Spec.Ingress[i].From, rename)
	}
	for i := range p.Spec.Egress {
		renamePeers(p.Spec.Egress[i].To, rename)
	}
	return p
}

func renamePeers(peers []networkingv1.NetworkPolicyPeer, rename func(string) string) {
	for _, peer := range peers {
		if peer.NamespaceSelector != nil {
			renameSelected(peer.NamespaceSelector, rename)
		}
	}
}

// renameSelected renames the values of the label that holds a namespace's name.
func renameSelected(s *metav1.LabelSelector, rename func(string) string) {
	if name, ok := s.MatchLabels[corev1.LabelMetadataName]; ok {
		s.MatchLabels[corev1.LabelMetadataName] = rename(name)
	}
	for i, e := range s.MatchExpressions {
		if e.Key != corev1.LabelMetadataName {
			continue
		}
		for j, value := range e.Values {
			s.MatchExpressions[i].Values[j] = rename(value)
		}
	}
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
