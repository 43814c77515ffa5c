package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NetworkAddress is one IP address without a prefix length ("10.0.0.1", "fd00::1") or a prefix ("10.0.0.0/8"). Host
// bits may be set in what others write; readers mask them.
type NetworkAddress string

// PolicyReference names the NetworkPolicy that a PolicyEndpoint was made from. Consumers group by it.
type PolicyReference struct {
	// Name of the policy, or of a variant of it: readers must treat it as opaque.
	Name string `json:"name"`
	// Namespace of the policy.
	Namespace string `json:"namespace"`
}

// Port is a port, a range of ports, or every port of a protocol.
type Port struct {
	// Protocol is TCP, UDP or SCTP; absent means TCP.
	// +optional
	Protocol *corev1.Protocol `json:"protocol,omitempty"`
	// Port is the only port, or the first of a range; absent means every port of the protocol.
	// +optional
	Port *int32 `json:"port,omitempty"`
	// EndPort is the last port of a range that begins at Port, inclusive.
	// +optional
	EndPort *int32 `json:"endPort,omitempty"`
}

// EndpointInfo is something a rule allows: an address or a prefix, on all or on some ports.
type EndpointInfo struct {
	// CIDR is a bare IP address for a pod or a Service and a prefix for an ipBlock. Empty where DomainName is set.
	// +optional
	CIDR NetworkAddress `json:"cidr,omitempty"`
	// DomainName is a DNS name instead of an address. EKS writes it for policies of its own kinds; this project never
	// does.
	// +optional
	DomainName string `json:"domainName,omitempty"`
	// Except lists prefixes that this entry does not allow. Another entry may allow them.
	// +optional
	Except []NetworkAddress `json:"except,omitempty"`
	// Ports lists what is allowed; empty means every port and every protocol.
	// +optional
	Ports []Port `json:"ports,omitempty"`
}

// PodEndpoint is one address of a pod that the policy selects.
type PodEndpoint struct {
	// HostIP is the address of the node the pod runs on.
	HostIP NetworkAddress `json:"hostIP"`
	// PodIP is the address of the pod. It equals HostIP for a pod on the host network, which is never enforced.
	PodIP NetworkAddress `json:"podIP"`
	// Name of the pod.
	Name string `json:"name"`
	// Namespace of the pod.
	Namespace string `json:"namespace"`
}

// PolicyEndpointSpec is a NetworkPolicy, or a part of one, with selectors and named ports resolved to addresses and
// numbers.
//
// A policy may be published in several PolicyEndpoints: what applies is the union of the pods of all objects with the
// same PolicyRef times the union of their rules. The order of the lists carries no meaning.
type PolicyEndpointSpec struct {
	// PodSelector is a copy of the policy's, for people; PodSelectorEndpoints decides.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`
	// PolicyRef names the policy.
	PolicyRef PolicyReference `json:"policyRef"`
	// PodIsolation lists the directions in which the selected pods accept only what some rule allows.
	// +optional
	PodIsolation []networkingv1.PolicyType `json:"podIsolation,omitempty"`
	// PodSelectorEndpoints are the addresses of the selected pods.
	// +optional
	PodSelectorEndpoints []PodEndpoint `json:"podSelectorEndpoints,omitempty"`
	// Ingress lists the sources that may reach the selected pods, with ports of the selected pods.
	// +optional
	Ingress []EndpointInfo `json:"ingress,omitempty"`
	// Egress lists the destinations that the selected pods may reach, with ports of the destination.
	// +optional
	Egress []EndpointInfo `json:"egress,omitempty"`
}

// PolicyEndpointStatus is empty; the subresource exists because EKS declares it.
type PolicyEndpointStatus struct{}

// PolicyEndpoint is a NetworkPolicy, or a part of one, resolved to addresses and port numbers for the node agents.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=policyendpoints,singular=policyendpoint,shortName=pe,scope=Namespaced
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.spec.policyRef.name`
// +kubebuilder:printcolumn:name="Isolation",type=string,JSONPath=`.spec.podIsolation`
// +kubebuilder:printcolumn:name="Pods",type=string,priority=1,JSONPath=`.spec.podSelectorEndpoints[*].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PolicyEndpoint struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec PolicyEndpointSpec `json:"spec,omitempty"`
	// +optional
	Status PolicyEndpointStatus `json:"status,omitempty"`
}

// PolicyEndpointList is a list of PolicyEndpoints, as the API server returns it.
//
// +kubebuilder:object:root=true
type PolicyEndpointList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PolicyEndpoint `json:"items"`
}
