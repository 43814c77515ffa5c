// Package model is the oracle: what a set of NetworkPolicies means for one connection.
//
// It is written like the specification — the comments of k8s.io/api/networking/v1 and the page "Network Policies" of
// the Kubernetes documentation — and it is slow, small and pure on purpose: no I/O, no clock, no state, and no code
// in common with the controller, the compiler or the datapath that it judges.
package model

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Cluster is everything a verdict can depend on. Objects are those of the API, never modified by this package.
type Cluster struct {
	Namespaces     []*corev1.Namespace
	Nodes          []*corev1.Node
	Pods           []*corev1.Pod
	Services       []*corev1.Service
	EndpointSlices []*discoveryv1.EndpointSlice
	Policies       []*networkingv1.NetworkPolicy
}

// Endpoint is one end of a connection: exactly one field is set.
type Endpoint struct {
	Pod  *corev1.Pod
	Node *corev1.Node
	Addr netip.Addr // an address that is no pod's and no node's, or not known to be
}

// Query asks for the verdict on a new connection From → To at Port, in one address family.
type Query struct {
	From, To Endpoint
	flow.PortProto
	Family flow.Family // zero: the first family, in the order of From's addresses, that both ends have
}

// Decision is the verdict on a Query: allowed only where both halves allow.
type Decision struct {
	Verdict flow.Verdict
	Reason  Reason   // why the verdict is what it is, where no half decided (self, no common family, …)
	Tuple   flow.Tuple // addresses and destination port judged; SrcPort is zero
	Egress  Half
	Ingress Half
}

// Half is what one end's policies say.
type Half struct {
	Verdict flow.Verdict
	Reason  Reason
	// Isolating are the policies that select the pod in this direction, sorted by namespace, then name.
	Isolating []PolicyRef
	// Rules are the rules that allow the connection, in the order of Isolating, then of the rule's index.
	Rules []RuleRef
}

// PolicyRef names a NetworkPolicy.
type PolicyRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// RuleRef names one rule of a policy: Index counts from 0 in spec.ingress or spec.egress.
type RuleRef struct {
	PolicyRef
	Direction string `json:"direction"` // "ingress" or "egress"
	Index     int    `json:"index"`
}

// Reason says in one word, stable for programs, why a verdict is what it is.
type Reason string
