package engine_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/model"
)

// town is the cluster of testdata/semantics.txt, which says how it begins and what its lines do to it.
type town struct{ model.Cluster }

func newTown(t *testing.T) *town {
	t.Helper()
	c := &town{}
	for i := range 2 {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i+1)}}
		for _, form := range []string{"192.168.0.%d", "fd00:ffff::%d"} {
			n.Status.Addresses = append(n.Status.Addresses,
				corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: fmt.Sprintf(form, i+1)})
		}
		c.Nodes = append(c.Nodes, n)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.namespace([]string{"x", "team=red"}))
	must(c.namespace([]string{"y", "team=blue"}))
	for j, ns := range []string{"x", "y", "z"} {
		for i, name := range []string{"a", "b", "c"} {
			must(c.pod([]string{ns + "/" + name, "labels=app=" + name, []string{"node=n1", "node=n2", "node=n1"}[i],
				fmt.Sprintf("ips=10.%d.0.%d,fd00:%[1]d::%d", j+1, i+1)}))
		}
	}
	return c
}

// change obeys a line that changes the town; ok says whether it is one.
func (c *town) change(line string) (ok bool, err error) {
	words := strings.Fields(line)
	switch words[0] {
	case "policy":
		spec := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(line, "policy "), words[1]))
		return true, c.policy(words[1], spec)
	case "pod":
		return true, c.pod(words[1:])
	case "namespace":
		return true, c.namespace(words[1:])
	case "service":
		return true, c.service(words[1:])
	case "delete":
		return true, c.remove(words[1], words[2])
	}
	return false, nil
}

func object(name string) metav1.ObjectMeta {
	namespace, name, _ := strings.Cut(name, "/")
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name)}
}

// called says that an object has the given name.
func called[T metav1.Object](name string) func(T) bool {
	return func(o T) bool { return strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/") == name }
}

// replace puts an object in the place of the one that has its name.
func replace[T metav1.Object](list []T, o T) []T {
	name := strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
	return append(slices.DeleteFunc(slices.Clone(list), called[T](name)), o)
}

func (c *town) remove(kind, name string) error {
	before := len(c.Pods) + len(c.Policies) + len(c.Namespaces)
	switch kind {
	case "pod":
		c.Pods = slices.DeleteFunc(slices.Clone(c.Pods), called[*corev1.Pod](name))
	case "policy":
		c.Policies = slices.DeleteFunc(slices.Clone(c.Policies), called[*networkingv1.NetworkPolicy](name))
	case "namespace":
		c.Namespaces = slices.DeleteFunc(slices.Clone(c.Namespaces), called[*corev1.Namespace](name))
	}
	if len(c.Pods)+len(c.Policies)+len(c.Namespaces) == before {
		return fmt.Errorf("there is no %s %s", kind, name)
	}
	return nil
}

func (c *town) policy(name, spec string) error {
	np := &networkingv1.NetworkPolicy{ObjectMeta: object(name)}
	if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	c.Policies = replace(c.Policies, np)
	return nil
}

func labels(pairs string) map[string]string {
	set := map[string]string{}
	for pair := range strings.SplitSeq(pairs, ",") {
		key, value, _ := strings.Cut(pair, "=")
		set[key] = value
	}
	return set
}

func (c *town) namespace(words []string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: words[0], Labels: labels(strings.Join(words[1:], ","))}}
	c.Namespaces = replace(c.Namespaces, ns)
	return nil
}

func (c *town) pod(words []string) error {
	p := &corev1.Pod{ObjectMeta: object(words[0]), Spec: corev1.PodSpec{NodeName: "n1"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if i := slices.IndexFunc(c.Pods, called[*corev1.Pod](words[0])); i >= 0 {
		p = c.Pods[i].DeepCopy()
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		if err := changePod(p, key, value); err != nil {
			return fmt.Errorf("pod %s: %s: %w", words[0], w, err)
		}
	}
	i := slices.IndexFunc(c.Nodes, called[*corev1.Node](p.Spec.NodeName))
	p.Status.HostIP, p.Status.HostIPs = c.Nodes[i].Status.Addresses[0].Address, nil
	for _, a := range c.Nodes[i].Status.Addresses {
		p.Status.HostIPs = append(p.Status.HostIPs, corev1.HostIP{IP: a.Address})
	}
	c.Pods = replace(c.Pods, p)
	return nil
}

func changePod(p *corev1.Pod, key, value string) error {
	switch key {
	case "node":
		p.Spec.NodeName = value
	case "labels":
		p.Labels = labels(value)
	case "phase":
		p.Status.Phase = corev1.PodPhase(value)
	case "uid":
		p.UID = types.UID(value)
	case "hostNetwork":
		p.Spec.HostNetwork = true
	case "terminating":
		p.DeletionTimestamp = &metav1.Time{}
	case "ips":
		p.Status.PodIPs, p.Status.PodIP = nil, strings.Split(value, ",")[0]
		for ip := range strings.SplitSeq(value, ",") {
			if ip != "" {
				p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
			}
		}
	case "port", "sidecar", "init":
		return addContainer(&p.Spec, key, value)
	default:
		return fmt.Errorf("nobody knows the word %q", key)
	}
	return nil
}

// addContainer adds a container that declares the port "NAME:PROTO/NUMBER".
func addContainer(spec *corev1.PodSpec, kind, text string) error {
	name, port, _ := strings.Cut(text, ":")
	proto, digits, _ := strings.Cut(port, "/")
	number, err := strconv.ParseInt(digits, 10, 32)
	c := corev1.Container{Ports: []corev1.ContainerPort{
		{Name: name, Protocol: corev1.Protocol(proto), ContainerPort: int32(number)},
	}}
	if kind == "port" {
		spec.Containers = append(spec.Containers, c)
		return err
	}
	if kind == "sidecar" {
		c.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	}
	spec.InitContainers = append(spec.InitContainers, c)
	return err
}

// service makes one of "NAMESPACE/NAME IP PROTO/PORT -> TARGET at ADDRESS…".
func (c *town) service(words []string) error {
	proto, digits, _ := strings.Cut(words[2], "/")
	port, portErr := strconv.ParseInt(digits, 10, 32)
	target, targetErr := strconv.ParseInt(words[4], 10, 32)
	if portErr != nil || targetErr != nil {
		return fmt.Errorf("service %s: ports: %w, %w", words[0], portErr, targetErr)
	}
	protocol := corev1.Protocol(proto)
	s := &corev1.Service{ObjectMeta: object(words[0]), Spec: corev1.ServiceSpec{
		ClusterIP: words[1], ClusterIPs: []string{words[1]},
		Ports: []corev1.ServicePort{{Port: int32(port), Protocol: protocol}},
	}}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: s.ObjectMeta, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To(int32(target)), Protocol: &protocol}}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: s.Name}
	for _, ip := range words[6:] {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}})
	}
	c.Services, c.EndpointSlices = replace(c.Services, s), replace(c.EndpointSlices, slice)
	return nil
}

// backends returns where connections to an address end up: itself, or what is behind the ClusterIP.
func (c *town) backends(a netip.Addr, port uint16) []netip.AddrPort {
	for i, s := range c.Services {
		if s.Spec.ClusterIP != a.String() {
			continue
		}
		var list []netip.AddrPort
		for _, e := range c.EndpointSlices[i].Endpoints {
			list = append(list, netip.AddrPortFrom(netip.MustParseAddr(e.Addresses[0]), uint16(*c.EndpointSlices[i].Ports[0].Port)))
		}
		return list
	}
	return []netip.AddrPort{netip.AddrPortFrom(a, port)}
}
