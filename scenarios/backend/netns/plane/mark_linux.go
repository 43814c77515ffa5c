package plane

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
)

// The mark is a Service and an EndpointSlice for each family, in which nothing ever changes but the name of their port.
// kube-proxy hears of Services in the order in which they were written, and of EndpointSlices likewise, and each time
// programs all that it has heard of: once it has endpoints for the port of the new name, which it must know from both, it
// has programmed everything that was written before.
//
// For policies the mark does not exist: behind its address is its address, at the same port, so whether its backends
// are allowed and whether it is itself are the same question.
const (
	markName = "palisade-mark"
	markPort = 9 // discard
)

// markAddrs are in the ranges of package cluster, where no scenario has a Service.
var markAddrs = []netip.Addr{netip.MustParseAddr("10.96.255.254"), netip.MustParseAddr("fd00:10:96::fffe")}

// Mark waits until the EndpointSlices are as the Services of a cluster want them, marks that state, and returns the port of
// a Service that has endpoints for every kube-proxy which has got as far. It may be called at the same time as Published.
func (p *Plane) Mark(ctx context.Context, c *model.Cluster) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, convergence)
	defer cancel()
	if err := p.settled(ctx, c); err != nil {
		return "", fmt.Errorf("endpoints of Services: %w\n%s", err, p.cluster.LogTails())
	}
	p.marks++
	name := fmt.Sprintf("r%d", p.marks)
	var group errgroup.Group
	for _, o := range markObjects(name) {
		group.Go(func() error { return p.putMark(ctx, o) })
	}
	if err := group.Wait(); err != nil {
		return "", fmt.Errorf("mark the state of Services: %w", err)
	}
	return fmt.Sprintf("%s/%s/tcp/%s", home, markName, name), nil
}

func (p *Plane) putMark(ctx context.Context, o object) error {
	for _, k := range kinds {
		if k.name != o.GetObjectKind().GroupVersionKind().Kind {
			continue
		}
		r, err := newRecord(k.name, o)
		if err != nil {
			return err
		}
		return p.put(ctx, k, r, nil)
	}
	return nil
}

func markObjects(port string) []object {
	both := corev1.IPFamilyPolicyRequireDualStack
	tcp, number := corev1.ProtocolTCP, int32(markPort)
	service := &corev1.Service{
		TypeMeta: metav1.TypeMeta{Kind: "Service"}, ObjectMeta: metav1.ObjectMeta{Namespace: home, Name: markName},
		Spec: corev1.ServiceSpec{
			IPFamilyPolicy: &both, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Ports: []corev1.ServicePort{{Name: port, Protocol: tcp, Port: number}},
		},
	}
	all := []object{service}
	for i, a := range markAddrs {
		service.Spec.ClusterIPs = append(service.Spec.ClusterIPs, a.String())
		family := string(service.Spec.IPFamilies[i])
		all = append(all, &discoveryv1.EndpointSlice{
			TypeMeta: metav1.TypeMeta{Kind: "EndpointSlice"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: home, Name: fmt.Sprintf("%s-%d", markName, i),
				Labels: map[string]string{discoveryv1.LabelServiceName: markName},
			},
			AddressType: discoveryv1.AddressType(family),
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{a.String()}}},
			Ports:       []discoveryv1.EndpointPort{{Name: &port, Protocol: &tcp, Port: &number}},
		})
	}
	service.Spec.ClusterIP = service.Spec.ClusterIPs[0]
	return all
}
