package cluster

import (
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// runLabel marks the namespaces of a run, for people who look for leftovers.
const runLabel = "palisade.dev/scenario-run"

// podSecurity lets pods have what probes need.
const podSecurity = "pod-security.kubernetes.io/enforce"

func (s *session) namespaceOf(ns *corev1.Namespace) *corev1.Namespace {
	labels := maps.Clone(ns.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	real := s.names.namespace(ns.Name)
	labels[corev1.LabelMetadataName] = real
	labels[runLabel], labels[podSecurity] = s.backend.id, "privileged"
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: real, Labels: labels, Annotations: ns.Annotations}}
}

// serviceOf leaves addresses and node ports to the cluster, but not families.
func (s *session) serviceOf(svc *corev1.Service) *corev1.Service {
	real := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: svc.Name, Namespace: s.names.namespace(svc.Namespace), Labels: svc.Labels, Annotations: svc.Annotations,
		},
		Spec: *svc.Spec.DeepCopy(),
	}
	spec := &real.Spec
	families := familiesOf(svc)
	spec.ClusterIPs, spec.HealthCheckNodePort = nil, 0
	if spec.ClusterIP != corev1.ClusterIPNone {
		spec.ClusterIP = ""
		spec.IPFamilies, spec.IPFamilyPolicy = families, ptr.To(corev1.IPFamilyPolicySingleStack)
		if len(families) > 1 {
			spec.IPFamilyPolicy = ptr.To(corev1.IPFamilyPolicyRequireDualStack)
		}
	}
	for i := range spec.Ports {
		spec.Ports[i].NodePort = 0
	}
	return real
}

// familiesOf returns the families of a Service's addresses.
func familiesOf(svc *corev1.Service) []corev1.IPFamily {
	var families []corev1.IPFamily
	for _, text := range svc.Spec.ClusterIPs {
		switch a, err := netip.ParseAddr(text); {
		case err != nil:
		case a.Is4():
			families = append(families, corev1.IPv4Protocol)
		default:
			families = append(families, corev1.IPv6Protocol)
		}
	}
	return families
}

// writtenByHand are the EndpointSlices that no controller writes.
func writtenByHand(all []*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	return slices.DeleteFunc(slices.Clone(all), func(e *discoveryv1.EndpointSlice) bool {
		return e.Labels[discoveryv1.LabelManagedBy] == "endpointslice-controller.k8s.io"
	})
}

// sliceOf leads a hand-written EndpointSlice to the real addresses of its pods.
func (s *session) sliceOf(e *discoveryv1.EndpointSlice, known addresses) *discoveryv1.EndpointSlice {
	real := e.DeepCopy()
	real.ObjectMeta = metav1.ObjectMeta{
		Name: e.Name, Namespace: s.names.namespace(e.Namespace), Labels: e.Labels, Annotations: e.Annotations,
	}
	for i := range real.Endpoints {
		endpoint := &real.Endpoints[i]
		for j, text := range endpoint.Addresses {
			if a, err := netip.ParseAddr(text); err == nil && known[a].IsValid() {
				endpoint.Addresses[j] = known[a].String()
			}
		}
		if endpoint.NodeName != nil {
			endpoint.NodeName = ptr.To(s.names.node[*endpoint.NodeName])
		}
		if endpoint.TargetRef != nil {
			endpoint.TargetRef.UID = ""
			endpoint.TargetRef.Name = s.names.pod(endpoint.TargetRef.Namespace, endpoint.TargetRef.Name)
			endpoint.TargetRef.Namespace = s.names.namespace(endpoint.TargetRef.Namespace)
		}
	}
	return real
}

// podAddrs returns all addresses of a pod.
func podAddrs(p *corev1.Pod) []netip.Addr {
	var addrs []netip.Addr
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// nodeAddrs returns the addresses that a node is known by inside the cluster.
func nodeAddrs(n *corev1.Node) []netip.Addr {
	var addrs []netip.Addr
	for _, address := range n.Status.Addresses {
		if a, err := netip.ParseAddr(address.Address); err == nil && address.Type == corev1.NodeInternalIP {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// serviceAddrs returns the ClusterIPs of a Service.
func serviceAddrs(svc *corev1.Service) []netip.Addr {
	var addrs []netip.Addr
	for _, text := range svc.Spec.ClusterIPs {
		if a, err := netip.ParseAddr(text); err == nil {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

// pair notes, family by family, what the scenario's addresses of something are in the cluster.
func (a addresses) pair(scenario, real []netip.Addr) {
	for _, from := range scenario {
		if to := addrLike(real, from); to.IsValid() {
			a[from] = to
		}
	}
}
