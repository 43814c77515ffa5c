package manifest

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// SetDefaults fills in what the API server fills in on admission, as far as connectivity depends on it
// (k8s.io/kubernetes pkg/apis/{core,networking,discovery}/v1/defaults.go). Status is not the API server's to fill.
func SetDefaults(o KubeObject) {
	switch o := o.(type) {
	case *corev1.Namespace:
		defaultNamespace(o)
	case *corev1.Pod:
		defaultPod(o)
	case *corev1.Service:
		defaultService(o)
	case *networkingv1.NetworkPolicy:
		defaultPolicy(o)
	case *discoveryv1.EndpointSlice:
		defaultEndpointSlice(o)
	}
}

// defaultNamespace sets the label by which policies select a namespace by name; the API server overwrites it too.
func defaultNamespace(ns *corev1.Namespace) {
	ns.Labels = maps.Clone(ns.Labels)
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[corev1.LabelMetadataName] = ns.Name
}

func defaultPod(pod *corev1.Pod) {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			for j := range containers[i].Ports {
				defaultTo(&containers[i].Ports[j].Protocol, corev1.ProtocolTCP)
			}
		}
	}
	defaultTo(&pod.Spec.RestartPolicy, corev1.RestartPolicyAlways)
}

func defaultService(svc *corev1.Service) {
	defaultTo(&svc.Spec.Type, corev1.ServiceTypeClusterIP)
	defaultTo(&svc.Spec.SessionAffinity, corev1.ServiceAffinityNone)
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		defaultTo(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
}

// defaultPolicy: without policyTypes a policy is about ingress, and about egress if it has egress rules.
func defaultPolicy(policy *networkingv1.NetworkPolicy) {
	for i := range policy.Spec.Ingress {
		defaultPorts(policy.Spec.Ingress[i].Ports)
	}
	for i := range policy.Spec.Egress {
		defaultPorts(policy.Spec.Egress[i].Ports)
	}
	if len(policy.Spec.PolicyTypes) > 0 {
		return
	}
	policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(policy.Spec.Egress) > 0 {
		policy.Spec.PolicyTypes = append(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
}

func defaultPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			ports[i].Protocol = ptr.To(corev1.ProtocolTCP)
		}
	}
}

func defaultEndpointSlice(slice *discoveryv1.EndpointSlice) {
	for i := range slice.Ports {
		if slice.Ports[i].Name == nil {
			slice.Ports[i].Name = ptr.To("")
		}
		if slice.Ports[i].Protocol == nil {
			slice.Ports[i].Protocol = ptr.To(corev1.ProtocolTCP)
		}
	}
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
