package plane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model"
)

// backend is all that a proxy can tell of one endpoint at one port of a Service, and which instances of Service and pod it
// belongs to: slices that look right may be those of a Service or of pods that went, until kube-controller-manager has
// noticed.
type backend struct {
	service                     types.NamespacedName
	family                      discoveryv1.AddressType
	port                        string
	protocol                    corev1.Protocol
	number                      int32
	addr, node                  string
	ready, serving, terminating bool
	owner, pod                  types.UID
}

// settled waits until the EndpointSlices of the Services of a cluster, which Write has written, say what they must.
func (p *Plane) settled(ctx context.Context, c *model.Cluster) error {
	want := map[backend]bool{}
	for _, s := range c.EndpointSlices {
		p.addBackends(want, s, p.ownerOf(s), p.podOf)
	}
	ours := map[types.NamespacedName]bool{}
	for _, s := range c.Services {
		ours[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = true
	}
	_, err := p.slices.await(ctx, func(all map[types.NamespacedName]*discoveryv1.EndpointSlice) string {
		have := map[backend]bool{}
		for _, s := range all {
			if ours[serviceOf(s)] {
				p.addBackends(have, s, statedOwner(s), statedPod)
			}
		}
		return differ(have, want)
	})
	return err
}

// differ describes a backend that only one of two sets has.
func differ(have, want map[backend]bool) string {
	for b := range want {
		if !have[b] {
			return fmt.Sprintf("no EndpointSlice says %+v", b)
		}
	}
	for b := range have {
		if !want[b] {
			return fmt.Sprintf("an EndpointSlice says %+v", b)
		}
	}
	return ""
}

func serviceOf(s *discoveryv1.EndpointSlice) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
}

// addBackends adds those of one slice.
func (p *Plane) addBackends(
	to map[backend]bool, s *discoveryv1.EndpointSlice, owner types.UID, pod func(*corev1.ObjectReference) types.UID,
) {
	for _, port := range s.Ports {
		for _, e := range s.Endpoints {
			b := backend{
				service: serviceOf(s), family: s.AddressType, owner: owner, port: ptr.Deref(port.Name, ""),
				protocol: ptr.Deref(port.Protocol, corev1.ProtocolTCP), number: ptr.Deref(port.Port, 0),
				node: ptr.Deref(e.NodeName, ""), terminating: ptr.Deref(e.Conditions.Terminating, false),
			}
			b.ready = ptr.Deref(e.Conditions.Ready, true)
			b.serving = ptr.Deref(e.Conditions.Serving, b.ready)
			if managed(s) {
				b.pod = pod(e.TargetRef)
			}
			for _, b.addr = range e.Addresses {
				to[b] = true
			}
		}
	}
}

// ownerOf is the Service that the API server holds for a slice that kube-controller-manager is to write.
func (p *Plane) ownerOf(s *discoveryv1.EndpointSlice) types.UID {
	if !managed(s) {
		return ""
	}
	return p.given(key{"Service", s.Namespace, s.Labels[discoveryv1.LabelServiceName]})
}

func (p *Plane) podOf(pod *corev1.ObjectReference) types.UID {
	return p.given(key{"Pod", pod.Namespace, pod.Name})
}

func (p *Plane) given(k key) types.UID {
	if r := p.written[k]; r != nil {
		return r.given
	}
	return ""
}

func statedOwner(s *discoveryv1.EndpointSlice) types.UID {
	if owner := metav1.GetControllerOf(s); managed(s) && owner != nil {
		return owner.UID
	}
	return ""
}

func statedPod(pod *corev1.ObjectReference) types.UID { return pod.UID }
