package validation

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"github.com/palisade-netpol/palisade/model"
)

// Cluster says which objects of c, each valid by itself, cannot exist side by side: two objects of one kind and name,
// and two owners of one address. The error is in the later one, in the order Node, Pod, Service, then that of c, and
// names the other. hostNetwork pods share their node's address, and the address of a pod that has ended may be
// another's.
func Cluster(c *model.Cluster) []ObjectError {
	var errs []ObjectError
	errs = append(errs, unique("Namespace", c.Namespaces)...)
	errs = append(errs, unique("Node", c.Nodes)...)
	errs = append(errs, unique("Pod", c.Pods)...)
	errs = append(errs, unique("Service", c.Services)...)
	errs = append(errs, unique("EndpointSlice", c.EndpointSlices)...)
	errs = append(errs, unique("NetworkPolicy", c.Policies)...)
	return append(errs, owners(c)...)
}

func unique[T metav1.Object](kind string, objects []T) []ObjectError {
	var errs []ObjectError
	seen := make(map[[2]string]bool, len(objects))
	for _, o := range objects {
		key := [2]string{o.GetNamespace(), o.GetName()}
		if seen[key] {
			errs = append(errs, ObjectError{kind, key[0], key[1], field.Duplicate(metadata().Child("name"), key[1])})
		}
		seen[key] = true
	}
	return errs
}

// claims records who owns which address.
type claims struct {
	owner map[netip.Addr]ObjectError // Err is nil
	errs  []ObjectError
}

// place is an address as an object spells it, and where.
type place struct {
	text string
	path *field.Path
}

func owners(c *model.Cluster) []ObjectError {
	all := claims{owner: map[netip.Addr]ObjectError{}}
	for _, n := range c.Nodes {
		all.claim(ObjectError{Kind: "Node", Name: n.Name}, nodeIPs(n))
	}
	for _, p := range c.Pods {
		if p.Spec.HostNetwork {
			all.share(podError(p), podIPs(p))
		}
	}
	for _, p := range c.Pods {
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if !p.Spec.HostNetwork && !ended {
			all.claim(podError(p), podIPs(p))
		}
	}
	for _, s := range c.Services {
		all.claim(ObjectError{Kind: "Service", Namespace: s.Namespace, Name: s.Name}, serviceIPs(s))
	}
	return all.errs
}

func podError(p *corev1.Pod) ObjectError {
	return ObjectError{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
}

// share makes who the owner of addresses that nobody owns, and leaves the others alone.
func (c *claims) share(who ObjectError, places []place) {
	for _, p := range places {
		addr, ok := parse(p.text)
		if _, taken := c.owner[addr]; ok && !taken {
			c.owner[addr] = who
		}
	}
}

// claim makes who the owner of its addresses, and reports, once each, those that are somebody else's.
func (c *claims) claim(who ObjectError, places []place) {
	reported := map[netip.Addr]bool{}
	for _, p := range places {
		addr, ok := parse(p.text)
		other, taken := c.owner[addr]
		switch {
		case !ok || reported[addr]:
		case !taken:
			c.owner[addr] = who
		case other != who:
			reported[addr] = true
			who := who
			who.Err = field.Invalid(p.path, p.text, fmt.Sprintf("is already the address of %s", other.object()))
			c.errs = append(c.errs, who)
		}
	}
}

func nodeIPs(n *corev1.Node) []place {
	var places []place
	for i, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			places = append(places, place{a.Address, field.NewPath("status", "addresses").Index(i).Child("address")})
		}
	}
	return places
}

func podIPs(p *corev1.Pod) []place {
	status := field.NewPath("status")
	places := []place{{p.Status.PodIP, status.Child("podIP")}}
	for i, ip := range p.Status.PodIPs {
		places = append(places, place{ip.IP, status.Child("podIPs").Index(i).Child("ip")})
	}
	return places
}

func serviceIPs(s *corev1.Service) []place {
	spec := field.NewPath("spec")
	places := []place{{s.Spec.ClusterIP, spec.Child("clusterIP")}}
	for i, text := range s.Spec.ClusterIPs {
		places = append(places, place{text, spec.Child("clusterIPs").Index(i)})
	}
	return places
}

// parse reads an address in any form the API has ever accepted.
func parse(text string) (netip.Addr, bool) {
	addr, ok := netip.AddrFromSlice(netutils.ParseIPSloppy(text))
	return addr.Unmap(), ok
}
