// Package resolve turns NetworkPolicies into PolicyEndpoints: selectors become addresses, named ports become numbers.
//
// It is pure and deterministic: the same objects give byte-identical results in whatever order they are given. It
// shares no code with package model, which judges it.
//
// What a consumer applies is, per policyRef, (union of pods) × (union of rules). That product is exact only where all
// selected pods give the named ports of the policy's ingress rules the same numbers. Where they do not, the policy is
// published once per distinct resolution, each under a policyRef.name of its own. See v1alpha1.PolicyName.
//
// An address means the newest pod that reports it: one that terminates may keep an address that another has by now.
//
// # Services
//
// At the interface of a pod, a packet to a Service still carries the ClusterIP. An egress rule that allows the
// backends therefore also lists the ClusterIP, on the Service port that leads to them — but only if the policy allows
// every backend of that port, ready or not, since nothing after the translation would stop a packet on its way to one
// that is not allowed. Where a policy allows only some backends the ClusterIP stays closed, although those backends
// can be reached themselves; so it does where two policies allow half of the backends each. For the same reason a rule
// without "to", or with an ipBlock around many addresses, does not cover a ClusterIP on a port whose backends the
// policy does not allow: the address becomes an exception. An endpoint whose pod was seen to end or go is no backend
// any more, unless somebody else has its address. Only an ipBlock of exactly one address means the address in the
// packet, be it a ClusterIP's; the API leaves that to the implementation.
//
// # Errors
//
// What the API server would have rejected, or would reject of the result for its size, opens nothing and is reported;
// the rest of the same policy stays in force.
package resolve

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// DefaultChunkSize is the number of entries per list that EKS publishes in one PolicyEndpoint.
const DefaultChunkSize = 1000

// Snapshot is everything that PolicyEndpoints depend on. Objects are never modified.
type Snapshot struct {
	Namespaces     []*corev1.Namespace
	Pods           []*corev1.Pod
	Services       []*corev1.Service
	EndpointSlices []*discoveryv1.EndpointSlice
	Policies       []*networkingv1.NetworkPolicy
}

// Options change the form of the result, never what it allows.
type Options struct {
	// ChunkSize is the largest number of pods, ingress entries and egress entries in one PolicyEndpoint; 0 is
	// DefaultChunkSize. There are fewer where they would be more than an API server takes.
	ChunkSize int
}

func (o Options) chunkSize() int {
	if o.ChunkSize <= 0 {
		return DefaultChunkSize
	}
	return o.ChunkSize
}

// All resolves every policy of s, sorted by the policies' namespace and name. The errors name what was ignored.
func All(s *Snapshot, o Options) ([]*v1alpha1.PolicyEndpoint, []error) {
	index, errs := NewIndex(s)
	policies := slices.SortedFunc(slices.Values(s.Policies), func(a, b *networkingv1.NetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	var all []*v1alpha1.PolicyEndpoint
	for _, p := range policies {
		endpoints, problems := index.Policy(p, o)
		all = append(all, endpoints...)
		errs = append(errs, problems...)
	}
	return all, errs
}

// Policy resolves a policy that the Index need not know: at least one PolicyEndpoint, the first of which speaks for the
// whole set (see v1alpha1.CompletenessOf), then chunks of rules, then chunks of pods. The errors name what was ignored.
func (x *Index) Policy(p *networkingv1.NetworkPolicy, o Options) ([]*v1alpha1.PolicyEndpoint, []error) {
	parsed := x.parse(p)
	defer x.dismiss(parsed)
	return x.resolve(parsed, o)
}

// resolve does the work of Policy and Resolve.
func (x *Index) resolve(p *parsed, o Options) ([]*v1alpha1.PolicyEndpoint, []error) {
	egress, errs := p.fitting("egress", x.throughServices(x.egressEntries(p.egress)))
	errs = append(slices.Clone(p.problems), errs...)
	var set []*v1alpha1.PolicyEndpoint
	for _, v := range p.variants() {
		ingress, problems := p.fitting("ingress", x.ingressEntries(p.ingress, v))
		errs = append(errs, problems...)
		lists := lists{pods: podEndpoints(v.pods), ingress: ingress, egress: egress}
		set = append(set, publish(p, &v, lists, o.chunkSize())...)
	}
	if err := v1alpha1.MarkComplete(set); err != nil {
		errs = append(errs, err)
	}
	return set, errs
}
