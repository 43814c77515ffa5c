package random

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
)

// drawService adds a Service of both families with two ports, and a slice for each family with some of the addresses
// that pods may have, ready or not: selectors have no say in it.
func (d *Drawing) drawService(i int) {
	name := fmt.Sprintf("svc%d", i)
	home := rapid.SampledFrom(d.homes).Draw(d.T, name+" namespace")
	ips := []string{fmt.Sprintf("10.96.0.%d", i+1), fmt.Sprintf("fd00:96::%d", i+1)}
	d.Services = append(d.Services, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: ips[0], ClusterIPs: ips,
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Ports: []corev1.ServicePort{
				{Name: "web", Port: 80, Protocol: corev1.ProtocolTCP}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			},
		},
	})
	for _, f := range []struct {
		kind discoveryv1.AddressType
		form string
	}{{discoveryv1.AddressTypeIPv4, "10.1.0.%d"}, {discoveryv1.AddressTypeIPv6, "fd00:1::%x"}} {
		s := d.slice(name, f.form)
		s.Namespace, s.AddressType = home, f.kind
		d.EndpointSlices = append(d.EndpointSlices, s)
	}
}

func (d *Drawing) slice(service, form string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name:   fmt.Sprintf("%s-%d", service, len(d.EndpointSlices)),
			Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
	}
	for i, name := range []string{"web", "dns"} {
		s.Ports = append(s.Ports, discoveryv1.EndpointPort{
			Name: &name, Protocol: &protocols[i], Port: ptr.To(rapid.SampledFrom(ports).Draw(d.T, service+" target")),
		})
	}
	for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 7), 0, 3, rapid.ID).Draw(d.T, service+" backends") {
		e := discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf(form, n)}}
		e.Conditions.Ready = ptr.To(rapid.IntRange(0, 3).Draw(d.T, "ready") < 3)
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}
