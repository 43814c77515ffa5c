package cluster

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

const shop = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: shop}
description: Two namespaces, a Service and nodes.
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}}
- {apiVersion: v1, kind: Pod, metadata: {name: client, labels: {app: client}}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}
steps:
- name: open
  expect:
  - {from: default/client, service: shop/web, port: TCP/80, verdict: allow}
  - {from: node/node-b, to: shop/web, port: TCP/8080, verdict: allow}
  - {from: default/client, to: node/node-b, port: TCP/80, verdict: allow}
- name: a policy that selects a namespace by name and an address
  apply:
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: web, namespace: shop}
    spec:
      podSelector: {}
      ingress:
      - from:
        - {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}
        - {ipBlock: {cidr: 10.240.0.2/32}}
- name: the client is made again
  restart: [default/client]
`

func stages(t *testing.T, text string) ([]spec.Stage, run.Input) {
	t.Helper()
	cases, err := spec.Parse("topic/shop.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := cases[0].Stages()
	if err != nil {
		t.Fatal(err)
	}
	return all, run.Input{Scenario: cases[0], File: "shop.yaml"}
}

// TestAScenarioOnAFakeCluster goes the whole way with a cluster that enforces nothing, which these policies do not
// notice.
func TestAScenarioOnAFakeCluster(t *testing.T) {
	c := newFakeCluster(t)
	b := c.backend()
	_, in := stages(t, shop)
	result, err := run.Run(t.Context(), run.Options{Backend: b, Pause: time.Millisecond, Looks: 2}, []run.Input{in})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range result.Scenarios {
		for _, step := range s.Steps {
			for _, m := range step.Mismatches {
				t.Errorf("%s: %s", step.Name, m)
			}
		}
		if s.Error != "" || len(s.Steps) != 3 {
			t.Fatalf("%d steps, error %q", len(s.Steps), s.Error)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := c.client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("left behind: %v, error %v", left.Items, err)
	}
	for target, n := range c.started {
		if lives := map[bool]int{false: 1, true: 2}[target.pod == "client"]; n != lives {
			t.Errorf("the program in %s was started %d times in %d lives of the pod", target, n, lives)
		}
	}
}

// open returns a session that holds the first stage.
func open(t *testing.T, c *fakeCluster) (*session, []spec.Stage) {
	t.Helper()
	s, err := c.backend().Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	all, _ := stages(t, shop)
	if err := s.Apply(t.Context(), all[0].Cluster); err != nil {
		t.Fatal(err)
	}
	return s.(*session), all
}

func TestWritesAreTranslated(t *testing.T) {
	c := newFakeCluster(t)
	s, all := open(t, c)
	if err := s.Apply(t.Context(), all[1].Cluster); err != nil {
		t.Fatal(err)
	}
	p, err := c.client.NetworkingV1().NetworkPolicies(s.prefix+"shop").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	from := p.Spec.Ingress[0].From
	name := from[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]
	if name != s.prefix+"default" || from[1].IPBlock.CIDR != "172.18.0.4/32" {
		t.Errorf("namespace %s and block %s: the second node without taints has 172.18.0.4", name, from[1].IPBlock.CIDR)
	}
	actual, changed, err := s.Actual(t.Context())
	if err != nil || time.Since(changed) > time.Minute {
		t.Fatalf("changed %s, error %v", changed, err)
	}
	seen := actual.Policies[0]
	if seen.Namespace != "shop" || seen.Spec.Ingress[0].From[1].IPBlock.CIDR != "172.18.0.4/32" {
		t.Errorf("the oracle is asked about a policy in %s with %s", seen.Namespace, seen.Spec.Ingress[0].From[1].IPBlock.CIDR)
	}
	if got := actual.Pods[0].Spec.NodeName; !strings.HasPrefix(got, "node-") {
		t.Errorf("the oracle is asked about node %q", got)
	}
}

// probeOne probes from default/client to an address at TCP/80.
func probeOne(t *testing.T, s *session, to netip.Addr) backend.Observation {
	t.Helper()
	return probeFrom(t, s, "default/client", to)
}

func probeFrom(t *testing.T, s *session, from string, to netip.Addr) backend.Observation {
	t.Helper()
	seen, err := s.Probe(t.Context(), []backend.Probe{{
		From: from, To: netip.AddrPortFrom(to, 80), Protocol: flow.TCP, Timeout: time.Second,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return seen[0]
}

func TestOutcomesOfProbes(t *testing.T) {
	c := newFakeCluster(t)
	s, _ := open(t, c)
	web, client := podAddrs(s.podCalled("shop/web"))[0], podAddrs(s.podCalled("default/client"))[0]
	if got := probeOne(t, s, web); got.Outcome != backend.Connected || got.Answered != "shop/web" {
		t.Errorf("an open port: %+v", got)
	}
	if got := probeOne(t, s, netip.MustParseAddr("172.18.0.4")); got.Answered != "node/node-b" {
		t.Errorf("a node answers under its real name: %+v", got)
	}
	if got := probeOne(t, s, netip.MustParseAddr("10.9.9.9")); got.Outcome != backend.Refused {
		t.Errorf("nobody: %+v", got)
	}
	c.denied[s.names.namespace("default")+"/client "+web.String()] = true
	if got := probeOne(t, s, web); got.Outcome != backend.Blocked {
		t.Errorf("a lost packet: %+v", got)
	}
	c.denied["arrives "+client.String()] = true
	if got := probeOne(t, s, web); got.Outcome != backend.OneWay {
		t.Errorf("a lost answer: %+v", got)
	}
}

func TestALinkThatBreaksIsMadeAgain(t *testing.T) {
	c := newFakeCluster(t)
	s, _ := open(t, c)
	web := podAddrs(s.podCalled("shop/web"))[0]
	probeOne(t, s, web)
	c.broken = 1
	if got := probeOne(t, s, web); got.Outcome != backend.Connected {
		t.Errorf("after one break: %+v", got)
	}
	c.broken = 2
	probe := backend.Probe{From: "default/client", To: netip.AddrPortFrom(web, 80), Protocol: flow.TCP, Timeout: time.Second}
	_, err := s.Probe(t.Context(), []backend.Probe{probe})
	if err == nil || !strings.Contains(err.Error(), "the kubelet went away") {
		t.Errorf("after two breaks: error %v", err)
	}
}

func TestARequestEndsWithItsContext(t *testing.T) {
	c := newFakeCluster(t)
	s, _ := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	probe := backend.Probe{
		From: "default/client", To: netip.MustParseAddrPort("10.9.9.9:80"), Protocol: flow.TCP, Timeout: time.Second,
	}
	if _, err := s.Probe(ctx, []backend.Probe{probe}); err == nil {
		t.Error("a probe whose context has ended was made")
	}
}
