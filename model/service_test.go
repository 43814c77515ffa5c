package model_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// bazaar is town with the Service y/web: TCP/80 leads to port 8080 of the given backends.
func bazaar(endpoints []discoveryv1.Endpoint, policies ...*networkingv1.NetworkPolicy) *model.Cluster {
	c := town(policies...)
	c.Services = []*corev1.Service{{
		ObjectMeta: object("y/web"),
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.10", ClusterIPs: []string{"10.96.0.10", "fd00:96::10"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "other", Port: 81}},
		},
	}}
	c.EndpointSlices = []*discoveryv1.EndpointSlice{{
		ObjectMeta:  object("y/web-1 " + discoveryv1.LabelServiceName + "=web"),
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
		Endpoints:   endpoints,
	}}
	return c
}

func ready(addr string) discoveryv1.Endpoint { return discoveryv1.Endpoint{Addresses: []string{addr}} }

func unready(addr string) discoveryv1.Endpoint {
	e := ready(addr)
	e.Conditions.Ready = ptr.To(false)
	return e
}

func ending(addr string) discoveryv1.Endpoint {
	e := unready(addr)
	e.Conditions.Serving, e.Conditions.Terminating = ptr.To(true), ptr.To(true)
	return e
}

func TestServices(t *testing.T) {
	a, b := ready("10.2.0.1"), ready("10.2.0.2")
	open := policy("y/p", ingress("ns team=x", "TCP/8080"))
	cases := []struct {
		name string
		c    *model.Cluster
		want []string
	}{
		{"47 policy sees the pod's port, not the Service's", bazaar([]discoveryv1.Endpoint{a, b}, open), []string{
			"x/a 10.96.0.10 TCP/80 allow", "z/a 10.96.0.10 TCP/80 deny",
		}},
		{"47 allowing the Service's port allows nothing", bazaar([]discoveryv1.Endpoint{a},
			policy("y/p", ingress("ns *", "TCP/80"))), []string{"x/a 10.96.0.10 TCP/80 deny no-rule-matched"}},
		{"59 the ClusterIP is no peer", bazaar([]discoveryv1.Endpoint{a}, policy("x/p", types(out),
			egress("cidr 10.96.0.0/16"))), []string{"x/a 10.96.0.10 TCP/80 deny"}},
		{"59 a selector on the backends is", bazaar([]discoveryv1.Endpoint{a}, policy("x/p", types(out),
			egress("ns team=y", "TCP/8080"))), []string{"x/a 10.96.0.10 TCP/80 allow"}},
		{"backends that differ leave it to chance", bazaar([]discoveryv1.Endpoint{a, b}, policy("y/p app=a")), []string{
			"x/a 10.96.0.10 TCP/80 undefined backends-differ",
		}},
		{"32 another backend of the pod's own Service is ordinary", bazaar([]discoveryv1.Endpoint{b}, policy("y/p", types(in),
			ingress("pods app=c"))), []string{"y/a 10.96.0.10 TCP/80 deny", "y/c 10.96.0.10 TCP/80 allow"}},
		{"31 a pod to itself through a Service is undefined", bazaar([]discoveryv1.Endpoint{a}, policy("y/p")), []string{
			"y/a 10.96.0.10 TCP/80 undefined service-to-self",
		}},
		{"31 to itself with leave is no doubt", bazaar([]discoveryv1.Endpoint{a}, policy("y/p", ingress("pods"))), []string{
			"y/a 10.96.0.10 TCP/80 allow",
		}},
		{"no endpoint", bazaar(nil), []string{"x/a 10.96.0.10 TCP/80 deny no-backend"}},
		{"no endpoint that is ready", bazaar([]discoveryv1.Endpoint{unready("10.2.0.1")}), []string{
			"x/a 10.96.0.10 TCP/80 deny no-backend",
		}},
		{"an unready endpoint is no backend", bazaar([]discoveryv1.Endpoint{a, unready("10.2.0.2")}, policy("y/p app=b")),
			[]string{"x/a 10.96.0.10 TCP/80 allow"}},
		{"terminating endpoints serve where no other is ready", bazaar([]discoveryv1.Endpoint{ending("10.2.0.1")}), []string{
			"x/a 10.96.0.10 TCP/80 allow",
		}},
		{"a port that the Service does not have", bazaar([]discoveryv1.Endpoint{a}), []string{
			"x/a 10.96.0.10 TCP/8080 deny no-service-port", "x/a 10.96.0.10 UDP/80 deny no-service-port",
		}},
		{"a port that leads to no endpoint", bazaar([]discoveryv1.Endpoint{a}), []string{
			"x/a 10.96.0.10 TCP/81 deny no-backend",
		}},
		{"no backend of the family", bazaar([]discoveryv1.Endpoint{a}), []string{
			"x/a fd00:96::10 TCP/80 deny no-backend", "x/a 10.96.0.10 TCP/80 ipv6 undefined no-common-family",
			"8.8.8.8 fd00:96::10 TCP/80 undefined no-common-family",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, c.c, c.want...) })
	}
}

func TestServiceGivesADecisionPerBackend(t *testing.T) {
	c := bazaar([]discoveryv1.Endpoint{ready("10.2.0.2"), ready("10.2.0.1")}, policy("y/p app=b"))
	port := flow.PortProto{Protocol: flow.TCP, Port: 80}
	v, decisions := model.New(c).Service(endpoint(t, c, "x/a"), c.Services[0], port, 0)
	var got []string
	for _, d := range decisions {
		got = append(got, strings.Join([]string{d.To, d.Tuple.Dst.String(), d.Verdict.String()}, " "))
	}
	diff(t, "decisions", []string{"y/a 10.2.0.1 allow", "y/b 10.2.0.2 deny"}, got)
	diff(t, "verdict", flow.Undefined, v)
}

func TestHeadlessServiceHasNoClusterIP(t *testing.T) {
	c := bazaar([]discoveryv1.Endpoint{ready("10.2.0.1")})
	c.Services[0].Spec.ClusterIP, c.Services[0].Spec.ClusterIPs = corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
	port := flow.PortProto{Protocol: flow.TCP, Port: 80}
	v, decisions := model.New(c).Service(endpoint(t, c, "x/a"), c.Services[0], port, 0)
	if v != flow.Deny || len(decisions) != 1 || decisions[0].Reason != model.NoClusterIP {
		t.Errorf("got %s, %v", v, decisions)
	}
}

func TestInternalTrafficPolicyLocal(t *testing.T) {
	near, far := ready("10.2.0.1"), ready("10.2.0.2")
	near.NodeName, far.NodeName = ptr.To("n1"), ptr.To("n2")
	c := bazaar([]discoveryv1.Endpoint{near, far}, policy("y/p app=b"))
	c.Services[0].Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
	check(t, c, "x/a 10.96.0.10 TCP/80 allow", "x/b 10.96.0.10 TCP/80 deny", "8.8.8.8 10.96.0.10 TCP/80 deny no-backend")
}

func TestPortsWithoutANameBelongTogether(t *testing.T) {
	c := bazaar([]discoveryv1.Endpoint{ready("10.2.0.1")})
	c.Services[0].Spec.Ports = []corev1.ServicePort{{Port: 80}}
	c.EndpointSlices[0].Ports[0].Name = nil
	check(t, c, "x/a 10.96.0.10 TCP/80 allow")
}

func TestHostNetworkBackendIsKnownByItsTarget(t *testing.T) {
	e := ready("192.168.0.2")
	e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: "y", Name: "h"}
	rules := policy("x/p", types(out), egress("ns team=y"))
	host := pod("y/h app=h", at("192.168.0.2"), on("n2"), hostNetwork)
	check(t, with(bazaar([]discoveryv1.Endpoint{e}, rules), host), "x/a 10.96.0.10 TCP/80 undefined host-network")
	e.TargetRef = nil
	check(t, with(bazaar([]discoveryv1.Endpoint{e}, rules), host), "x/a 10.96.0.10 TCP/80 deny")
}
