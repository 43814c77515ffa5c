package publish

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// trim drops from an object, before it is stored, what no policy depends on. Most of a pod is that. It may be given an
// object a second time.
func trim(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Namespace:
		return &corev1.Namespace{ObjectMeta: identity(&o.ObjectMeta)}, nil
	case *corev1.Pod:
		return trimPod(o), nil
	case *corev1.Service:
		s := &corev1.Service{ObjectMeta: identity(&o.ObjectMeta)}
		s.Spec.ClusterIP, s.Spec.ClusterIPs, s.Spec.Ports = o.Spec.ClusterIP, o.Spec.ClusterIPs, o.Spec.Ports
		return s, nil
	case *discoveryv1.EndpointSlice:
		return trimSlice(o), nil
	case *networkingv1.NetworkPolicy:
		return &networkingv1.NetworkPolicy{ObjectMeta: identity(&o.ObjectMeta), Spec: o.Spec}, nil
	case *v1alpha1.PolicyEndpoint:
		o.ManagedFields = nil // all else is written back by an update
	}
	return object, nil
}

// identity keeps of an object's metadata what says which object it is, its age, its labels, and whether it is being
// deleted.
func identity(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		Labels: m.Labels, CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
	}
}

func trimPod(o *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: identity(&o.ObjectMeta),
		Spec: corev1.PodSpec{
			NodeName: o.Spec.NodeName, HostNetwork: o.Spec.HostNetwork,
			InitContainers: withPorts(o.Spec.InitContainers), Containers: withPorts(o.Spec.Containers),
		},
		Status: corev1.PodStatus{
			Phase: o.Status.Phase, PodIP: o.Status.PodIP, PodIPs: o.Status.PodIPs,
			HostIP: o.Status.HostIP, HostIPs: o.Status.HostIPs,
		},
	}
}

// withPorts keeps the ports of those containers that declare any.
func withPorts(containers []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for i := range containers {
		if c := &containers[i]; len(c.Ports) > 0 {
			kept = append(kept, corev1.Container{Ports: c.Ports, RestartPolicy: c.RestartPolicy})
		}
	}
	return kept
}

// trimSlice keeps the addresses and whose they are: whether an endpoint is ready does not matter to policies.
func trimSlice(o *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: identity(&o.ObjectMeta), AddressType: o.AddressType, Ports: o.Ports,
		Endpoints: make([]discoveryv1.Endpoint, 0, len(o.Endpoints)),
	}
	for i := range o.Endpoints {
		e := discoveryv1.Endpoint{Addresses: o.Endpoints[i].Addresses}
		if ref := o.Endpoints[i].TargetRef; ref != nil {
			e.TargetRef = &corev1.ObjectReference{Kind: ref.Kind, UID: ref.UID}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}
