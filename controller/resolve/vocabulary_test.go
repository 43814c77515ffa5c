package resolve

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// The words in which the tests of this package speak of a cluster.

// newTestPod makes a running pod "namespace/name" labelled app=name on node 192.168.0.1 / fd00:1::1.
func newTestPod(key, ips string, change ...func(*corev1.Pod)) *corev1.Pod {
	namespace, name, _ := strings.Cut(key, "/")
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(key), Labels: map[string]string{"app": name},
		},
		Status: corev1.PodStatus{
			Phase:   corev1.PodRunning,
			HostIP:  "192.168.0.1",
			HostIPs: []corev1.HostIP{{IP: "192.168.0.1"}, {IP: "fd00:1::1"}},
		},
	}
	for _, ip := range strings.Fields(ips) {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: ip})
	}
	if len(p.Status.PodIPs) > 0 {
		p.Status.PodIP = p.Status.PodIPs[0].IP
	}
	for _, c := range change {
		c(p)
	}
	return p
}

// port declares a named port in a container of its own.
func port(name string, protocol corev1.Protocol, number int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, container(name, protocol, number))
	}
}

func container(name string, protocol corev1.Protocol, number int32) corev1.Container {
	return corev1.Container{Ports: []corev1.ContainerPort{{Name: name, Protocol: protocol, ContainerPort: number}}}
}

func phase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func hostNetwork(p *corev1.Pod) { p.Spec.HostNetwork = true }

func terminating(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }

// created says how many seconds after others a pod was created.
func created(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.Unix(seconds, 0) }
}

func label(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Labels[key] = value }
}

// policy makes the NetworkPolicy "namespace/name" from the YAML of its spec.
func policy(t testing.TB, key, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	namespace, name, _ := strings.Cut(key, "/")
	p := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-of-" + key)},
	}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("policy %s: %v", key, err)
	}
	return p
}

func newNamespace(name string, labels map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
}

// service makes a TCP Service "namespace/name" with one port, "" by name.
func service(key, clusterIPs string, number int32) *corev1.Service {
	namespace, name, _ := strings.Cut(key, "/")
	ips := strings.Fields(clusterIPs)
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: ips[0], ClusterIPs: ips,
			Ports: []corev1.ServicePort{{Port: number, Protocol: corev1.ProtocolTCP}},
		},
	}
}

// slice makes an EndpointSlice of the Service "namespace/name": endpoints at ips, on a TCP port without a name.
func slice(key, ips string, number int32) *discoveryv1.EndpointSlice {
	namespace, name, _ := strings.Cut(key, "/")
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      fmt.Sprintf("%s-%d", name, number),
			Labels:    map[string]string{discoveryv1.LabelServiceName: name},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new(""), Protocol: new(corev1.ProtocolTCP), Port: &number}},
	}
	for _, ip := range strings.Fields(ips) {
		if strings.Contains(ip, ":") {
			s.AddressType = discoveryv1.AddressTypeIPv6
		}
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{ip}})
	}
	return s
}

// resolveAll resolves s and fails on any error.
func resolveAll(t testing.TB, s *Snapshot) []*v1alpha1.PolicyEndpoint {
	t.Helper()
	all, errs := All(s, Options{})
	for _, err := range errs {
		t.Errorf("unexpected error: %v", err)
	}
	return all
}

// only resolves s, which has one policy, and returns its one PolicyEndpoint.
func only(t testing.TB, s *Snapshot) *v1alpha1.PolicyEndpoint {
	t.Helper()
	all := resolveAll(t, s)
	if len(all) != 1 {
		t.Fatalf("got %d PolicyEndpoints, want 1", len(all))
	}
	return all[0]
}

// pods writes who is selected: "namespace/name address@host".
func pods(pe *v1alpha1.PolicyEndpoint) []string {
	var list []string
	for _, p := range pe.Spec.PodSelectorEndpoints {
		list = append(list, fmt.Sprintf("%s/%s %s@%s", p.Namespace, p.Name, p.PodIP, p.HostIP))
	}
	return list
}

// ingress and egress write the entries: "RULE: CIDR except CIDR… on PROTOCOL/PORT…", without "on" for everything.
func ingress(t testing.TB, pe *v1alpha1.PolicyEndpoint) []string {
	t.Helper()
	return describe(t, pe.Annotations[v1alpha1.IngressRulesAnnotation], pe.Spec.Ingress)
}

func egress(t testing.TB, pe *v1alpha1.PolicyEndpoint) []string {
	t.Helper()
	return describe(t, pe.Annotations[v1alpha1.EgressRulesAnnotation], pe.Spec.Egress)
}

func describe(t testing.TB, annotation string, entries []v1alpha1.EndpointInfo) []string {
	t.Helper()
	rules, err := v1alpha1.DecodeRules(annotation, len(entries))
	if err != nil {
		t.Fatalf("attribution: %v", err)
	}
	var list []string
	for i, e := range entries {
		words := []string{fmt.Sprintf("%d:", rules[i]), string(e.CIDR)}
		for _, x := range e.Except {
			words = append(words, "except", string(x))
		}
		if len(e.Ports) > 0 {
			words = append(words, "on")
		}
		for _, p := range e.Ports {
			words = append(words, describePort(p))
		}
		list = append(list, strings.Join(words, " "))
	}
	return list
}

func describePort(p v1alpha1.Port) string {
	s := string(*p.Protocol)
	if p.Port != nil {
		s += fmt.Sprintf("/%d", *p.Port)
	}
	if p.EndPort != nil {
		s += fmt.Sprintf("-%d", *p.EndPort)
	}
	return s
}
