// Package model is the oracle: what a set of NetworkPolicies means for one connection.
//
// It is written like the specification — the comments of k8s.io/api/networking/v1 and the page "Network Policies" of
// the Kubernetes documentation — and it is small and pure on purpose: no I/O, no clock, no state, and no code in common
// with the controller, the compiler or the datapath that it judges.
//
// Objects are taken as the API server would store them: package validation says which ones it would refuse. The model
// itself refuses nothing, but what it cannot read never allows: such a peer or port matches nothing, and a policy
// whose podSelector cannot be read isolates its whole namespace.
package model

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Cluster is everything a verdict can depend on. Objects are those of the API, never modified by this package.
//
// A namespace that is not listed exists with its kubernetes.io/metadata.name label only, and a node that is not listed
// has the addresses its pods report as status.hostIPs.
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
	// Addr stands for whoever owns the address: the running pod, else the node, else nobody the cluster knows. A
	// loopback address is the other end's own.
	Addr netip.Addr
	// Service stands for the backends of a Service and the port translation to them; as a destination only.
	Service *corev1.Service
}

// Query asks for the verdict on a new connection From → To at Port, in one address family.
type Query struct {
	From, To Endpoint
	flow.PortProto
	Family flow.Family // zero: the first family, in the order of From's addresses, that both ends have
}

// Decision is the verdict on a Query: allowed only where both halves allow, denied where one of them denies.
type Decision struct {
	Verdict flow.Verdict `json:"verdict"`
	// Reason says why the verdict is what it is where no half decided (self, no-common-family, …), else it is empty.
	Reason Reason `json:"reason,omitempty"`
	// From and To name the ends: "namespace/pod", "node/NAME" or an address.
	From string `json:"from"`
	To   string `json:"to"`
	// Tuple is what was judged: addresses, protocol and destination port; SrcPort is zero.
	Tuple   flow.Tuple `json:"-"`
	Egress  Half       `json:"egress"`
	Ingress Half       `json:"ingress"`
}

// Half is what one end's policies say: From's about egress, To's about ingress.
type Half struct {
	Verdict flow.Verdict `json:"verdict"`
	Reason  Reason       `json:"reason"`
	// Isolating are the policies that select the pod in this direction, sorted by namespace, then name. The slice is
	// shared between decisions: read only.
	Isolating []PolicyRef `json:"isolating,omitempty"`
	// Rules are the rules that allow the connection, in the order of Isolating, then of the rule's index; where Verdict
	// is undefined, those that allow it under one of the behaviours the API permits.
	Rules []RuleRef `json:"rules,omitempty"`
}

// PolicyRef names a NetworkPolicy.
type PolicyRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// String returns "namespace/name".
func (p PolicyRef) String() string { return p.Namespace + "/" + p.Name }

// RuleRef names one rule of a policy: Index counts from 0 in spec.ingress or spec.egress.
type RuleRef struct {
	PolicyRef
	Direction string `json:"direction"` // "ingress" or "egress"
	Index     int    `json:"index"`
}
