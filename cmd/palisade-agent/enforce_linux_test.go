package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// ingressTo is the only PolicyEndpoint of a policy that isolates the server's ingress and allows some peers.
func ingressTo(policy string, peers ...string) *v1alpha1.PolicyEndpoint {
	o := &v1alpha1.PolicyEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: policy + "-abcde"}}
	o.Spec = v1alpha1.PolicyEndpointSpec{
		PolicyRef:    v1alpha1.PolicyReference{Namespace: namespace, Name: policy},
		PodIsolation: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
		PodSelectorEndpoints: []v1alpha1.PodEndpoint{{
			Namespace: namespace, Name: "server", PodIP: v1alpha1.NetworkAddress(serverIP.String()),
			HostIP: v1alpha1.NetworkAddress(nodeIP.String()),
		}},
	}
	for _, p := range peers {
		o.Spec.Ingress = append(o.Spec.Ingress, v1alpha1.EndpointInfo{CIDR: v1alpha1.NetworkAddress(p)})
	}
	return o
}

// selectClient is the only PolicyEndpoint of a policy that isolates the client's ingress, by which the client gets a name.
func selectClient() *v1alpha1.PolicyEndpoint {
	o := ingressTo("client")
	o.Spec.PodSelectorEndpoints[0].Name = "client"
	o.Spec.PodSelectorEndpoints[0].PodIP = v1alpha1.NetworkAddress(clientIP.String())
	return o
}

// marked marks an object as all that a policy has.
func marked(t *testing.T, o *v1alpha1.PolicyEndpoint) *v1alpha1.PolicyEndpoint {
	t.Helper()
	if err := v1alpha1.MarkComplete([]*v1alpha1.PolicyEndpoint{o}); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestAgentEnforcesWhatTheAPIServerSays(t *testing.T) {
	b := newTestbed(t)
	b.start()
	b.awaitReady()
	t.Run("it has only the capabilities that it needs", func(t *testing.T) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.agent.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if want := capabilities(needed); !strings.Contains(string(status), want) {
			t.Errorf("want %s, have:\n%s", want, status)
		}
	})
	if !b.connects("client", serverIP, 80) {
		t.Fatal("without a policy the server cannot be reached")
	}
	for _, style := range []string{"of our controller", "of another controller"} {
		mark := func(o *v1alpha1.PolicyEndpoint) *v1alpha1.PolicyEndpoint { return o }
		if style == "of our controller" {
			mark = func(o *v1alpha1.PolicyEndpoint) *v1alpha1.PolicyEndpoint { return marked(t, o) }
		}
		b.put(mark(ingressTo("web")))
		b.await("a policy "+style+" that allows nothing closes", func() bool { return !b.connects("client", serverIP, 80) })
		b.put(mark(ingressTo("web", clientIP.String())))
		b.await("a policy "+style+" that allows the client opens", func() bool { return b.connects("client", serverIP, 80) })
		b.put(mark(ingressTo("web", "192.0.2.0/24")))
		b.await("a policy "+style+" that allows others closes", func() bool { return !b.connects("client", serverIP, 80) })
		b.remove("web-abcde")
		b.await("no policy opens", func() bool { return b.connects("client", serverIP, 80) })
	}
	if m := b.metric("palisade_agent_event_to_kernel_seconds_count"); m == "" || strings.HasSuffix(m, " 0") {
		t.Errorf("latency %q, want some measurements", m)
	}
	if m := b.metric(`palisade_agent_packets_total{direction="ingress",reason="no-rule",verdict="deny"}`); m == "" {
		t.Error("no packets counted that no rule allows")
	}
}
