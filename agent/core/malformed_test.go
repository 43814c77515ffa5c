package core_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// TestMalformedObjectsCloseAndAreNamed: whatever is wrong with one object, the pod that it selects accepts nothing,
// also not what another object of the same policy allows, and a condition names what is wrong.
func TestMalformedObjectsCloseAndAreNamed(t *testing.T) {
	port := func(p int32) []v1alpha1.Port { return []v1alpha1.Port{{Port: &p}} }
	for name, spoil := range map[string]func(*endpoint){
		"bad CIDR":          func(o *endpoint) { o.Spec.Ingress[0].CIDR = "10.9.0.0/33" },
		"no CIDR":           func(o *endpoint) { o.Spec.Ingress[0].CIDR = "" },
		"bad exception":     func(o *endpoint) { o.Spec.Ingress[0].Except = []v1alpha1.NetworkAddress{"x"} },
		"port 70000":        func(o *endpoint) { o.Spec.Ingress[0].Ports = port(70000) },
		"negative port":     func(o *endpoint) { o.Spec.Ingress[0].Ports = port(-1) },
		"foreign policyRef": func(o *endpoint) { o.Spec.PolicyRef.Namespace = "other" },
		"bad pod address":   func(o *endpoint) { o.Spec.PodSelectorEndpoints[0].PodIP = "?" },
		"unknown isolation": func(o *endpoint) { o.Spec.PodIsolation = append(o.Spec.PodIsolation, "Sideways") },
		"bad rule indexes":  func(o *endpoint) { o.Annotations = map[string]string{v1alpha1.IngressRulesAnnotation: "9*9"} },
		"bad address of node": func(o *endpoint) {
			o.Spec.PodSelectorEndpoints[0].HostIP, o.Spec.Ingress[0].CIDR = "?", "?"
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := object("web", pods(1), "10.9.0.1"), object("web", nil, "10.9.0.2")
			spoil(bad)
			good.Name = "web-1"
			r := newRig(t, core.Config{})
			r.step(core.HostListed{Links: []core.Link{veth(7, linkOf(1))}},
				core.RouteSeen{Route: core.Route{Addr: addrOf(1), Ifindex: 7}},
				core.Listed{Objects: []*endpoint{core.Strip(bad, nodeAddrs), core.Strip(good, nodeAddrs)}})
			built, err := enforce.Build(r.program.Input, bpf.Capacity{})
			if err != nil {
				t.Fatal(err)
			}
			if set := built.Program.Pods[0].Sets[flow.Ingress]; set == nil || len(set.Rules) != 0 {
				t.Errorf("ingress %+v, want it closed", set)
			}
			if !strings.Contains(fmt.Sprint(built.Conditions), "shop/web") {
				t.Errorf("conditions %v, want one that names the object", built.Conditions)
			}
		})
	}
}

func TestHugeObjectIsEnforcedOrClosed(t *testing.T) {
	o := object("web", pods(1))
	for i := range 100_000 {
		cidr := v1alpha1.NetworkAddress(fmt.Sprintf("%d.%d.%d.%d", 20+i%100, i/100%250, i%250, i%200))
		o.Spec.Ingress = append(o.Spec.Ingress, v1alpha1.EndpointInfo{CIDR: cidr})
	}
	r := newRig(t, core.Config{})
	r.step(core.HostListed{Links: []core.Link{veth(7, linkOf(1))}}, core.Listed{Objects: []*endpoint{o}})
	built, err := enforce.Build(r.program.Input, bpf.Capacity{})
	if err != nil {
		t.Fatal(err)
	}
	set := built.Image.Pods[0].Sets[flow.Ingress]
	closed, open := set == bpf.SetClosed, set == bpf.SetOpen || set == bpf.SetUnknown
	if open || closed != (len(built.Conditions) > 0) {
		t.Errorf("set %d with conditions %v", set, built.Conditions)
	}
}
