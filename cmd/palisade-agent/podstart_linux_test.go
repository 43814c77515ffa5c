package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/socket"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
)

var thirdIP = netip.MustParseAddr("10.1.0.3")

// addAndAsk connects a pod and asks the agent to let it start, as the CNI plugin does.
func (b *testbed) addAndAsk(name string, addr netip.Addr) socket.Response {
	b.Helper()
	b.addPod(name, addr)
	resp, err := socket.Call(b.Context(), b.socket(), socket.Request{
		Command: socket.Add, Namespace: namespace, Name: name, UID: "u-" + name,
		HostInterfaces: []string{fabric.LinkName(namespace, name)}, Addresses: []netip.Addr{addr},
	})
	b.must(err)
	b.must(b.pods[name].Up())
	return resp
}

func TestPodStartsWithItsPoliciesInForce(t *testing.T) {
	b := newTestbed(t)
	o := ingressTo("third")
	o.Spec.PodSelectorEndpoints[0].Name, o.Spec.PodSelectorEndpoints[0].PodIP = "third", "10.1.0.3"
	b.put(marked(t, o))
	b.start()
	b.awaitReady()
	resp := b.addAndAsk("third", thirdIP)
	if !resp.Programmed || resp.Took <= 0 || resp.Took > 5*time.Second {
		t.Errorf("answer %+v, want programmed within seconds", resp)
	}
	t.Logf("pod start waited %s", resp.Took)
	if b.connects("client", thirdIP, 80) {
		t.Error("reached although a policy known before the start denies it")
	}
	resp, err := socket.Call(t.Context(), b.socket(), socket.Request{
		Command: socket.Check, Namespace: namespace, Name: "third",
		HostInterfaces: []string{fabric.LinkName(namespace, "third")},
	})
	if err != nil || !resp.Programmed {
		t.Errorf("check: %+v, %v", resp, err)
	}
}

func TestStrictPodStartsClosed(t *testing.T) {
	b := newTestbed(t)
	b.start("-mode", "strict")
	b.awaitReady()
	b.addAndAsk("third", thirdIP)
	if b.connects("third", serverIP, 80) || b.connects("client", thirdIP, 80) {
		t.Error("a pod that no policy selects is open in strict mode")
	}
	o := ingressTo("third", clientIP.String())
	o.Spec.PodSelectorEndpoints[0].Name, o.Spec.PodSelectorEndpoints[0].PodIP = "third", "10.1.0.3"
	b.put(marked(t, o))
	// The client is closed too until a policy says what it may send.
	c := ingressTo("client", clientIP.String())
	c.Spec.PodSelectorEndpoints[0].Name, c.Spec.PodSelectorEndpoints[0].PodIP = "client", "10.1.0.1"
	b.put(marked(t, c))
	b.await("a policy opens", func() bool { return b.connects("client", thirdIP, 80) })
}

// TestFlowsFromBeforeTheFirstPolicyGoOn: an interface is tracked from the moment it exists.
func TestFlowsFromBeforeTheFirstPolicyGoOn(t *testing.T) {
	b := newTestbed(t)
	b.start()
	b.awaitReady()
	out, back := b.stream("server", "client", serverIP, clientIP, 6000)
	if err := out.roundTrip(back); err != nil {
		t.Fatal(err)
	}
	b.put(marked(t, ingressTo("web")))
	b.await("the policy is in force", func() bool { return !b.connects("client", serverIP, 80) })
	if err := out.roundTrip(back); err != nil {
		t.Errorf("the server's own connection broke: %v", err)
	}
}
