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

// Cluster says which objects of c, each valid by itself, cannot exist side by side: two objects of one kind and name, and
// two owners of one address. The error is in the later one, in the order Node, Pod, Service, then that of c, and names
// the other. hostNetwork pods share their node's address, and the address of a pod that has ended may be another's.
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

func owners(c *model.Cluster) []ObjectError {
	all := claims{owner: map[netip.Addr]ObjectError{}}
	for _, n := range c.Nodes {
		all.node(n)
	}
	for _, p := range c.Pods {
		if p.Spec.HostNetwork {
			all.hostNetworkPod(p)
		}
	}
	for _, p := range c.Pods {
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if !p.Spec.HostNetwork && !ended {
			all.pod(p)
		}
	}
	for _, s := range c.Services {
		all.service(s)
	}
	return all.errs
}

func (c *claims) node(n *corev1.Node) {
	for i, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			path := field.NewPath("status", "addresses").Index(i).Child("address")
			c.claim(ObjectError{Kind: "Node", Name: n.Name}, a.Address, path)
		}
	}
}

// hostNetworkPod claims what no Node does: several such pods share the address.
func (c *claims) hostNetworkPod(p *corev1.Pod) {
	for _, ip := range podIPs(p) {
		addr, ok := parse(ip.text)
		if _, taken := c.owner[addr]; ok && !taken {
			c.owner[addr] = ObjectError{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
		}
	}
}

func (c *claims) pod(p *corev1.Pod) {
	for _, ip := range podIPs(p) {
		c.claim(ObjectError{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}, ip.text, ip.path)
	}
}

func (c *claims) service(s *corev1.Service) {
	who := ObjectError{Kind: "Service", Namespace: s.Namespace, Name: s.Name}
	path := field.NewPath("spec")
	c.claim(who, s.Spec.ClusterIP, path.Child("clusterIP"))
	for i, text := range s.Spec.ClusterIPs {
		c.claim(who, text, path.Child("clusterIPs").Index(i))
	}
}

// claim reports an error if somebody else owns the address. An object may list an address of its own twice (podIP and
// podIPs, InternalIP and ExternalIP).
func (c *claims) claim(who ObjectError, text string, path *field.Path) {
	addr, ok := parse(text)
	if !ok {
		return
	}
	other, taken := c.owner[addr]
	if !taken {
		c.owner[addr] = who
		return
	}
	if other == who {
		return
	}
	who.Err = field.Invalid(path, text, fmt.Sprintf("is already the address of %s", other.object()))
	c.errs = append(c.errs, who)
}

type statusIP struct {
	text string
	path *field.Path
}

// podIPs returns the addresses of p, each once, with their places.
func podIPs(p *corev1.Pod) []statusIP {
	status := field.NewPath("status")
	ips := []statusIP{{p.Status.PodIP, status.Child("podIP")}}
	for i, ip := range p.Status.PodIPs {
		if ip.IP != p.Status.PodIP {
			ips = append(ips, statusIP{ip.IP, status.Child("podIPs").Index(i).Child("ip")})
		}
	}
	return ips
}

// parse reads an address in any form the API has ever accepted.
func parse(text string) (netip.Addr, bool) {
	addr, ok := netip.AddrFromSlice(netutils.ParseIPSloppy(text))
	return addr.Unmap(), ok
}
