package cluster

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/palisade-netpol/palisade/model"
)

// before is a scenario whose pods others can go on with.
const before = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: before}
description: Two pods, a Service and a policy.
objects:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: blue}}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}}
- {apiVersion: v1, kind: Pod, metadata: {name: client, namespace: shop, labels: {app: client}}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: web, namespace: shop}
  spec: {podSelector: {}}
steps:
- name: closed
  expect: [{from: shop/client, to: shop/web, port: TCP/80, verdict: deny}]
`

// after needs the pods of before under other names, and once more than those.
const after = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: after}
description: Other names and labels, and another namespace.
objects:
- {apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {team: red}}}
- {apiVersion: v1, kind: Pod, metadata: {name: caller, namespace: other, labels: {role: caller}}, spec: {nodeName: node-b}}
steps:
- name: alone
  expect: [{from: other/caller, to: node/node-a, port: TCP/80, verdict: allow}]
- name: two more pods
  apply:
  - {apiVersion: v1, kind: Pod, metadata: {name: client, namespace: other, labels: {role: late}}, spec: {nodeName: node-a}}
  - {apiVersion: v1, kind: Pod, metadata: {name: db, namespace: other}, spec: {nodeName: node-b}}
  expect: [{from: other/caller, to: other/db, port: TCP/80, verdict: allow}]
- name: the namespace goes
  delete: [{kind: Namespace, name: other}]
- name: it comes again
  apply:
  - {apiVersion: v1, kind: Namespace, metadata: {name: other}}
  - {apiVersion: v1, kind: Pod, metadata: {name: caller, namespace: other}, spec: {nodeName: node-b}}
`

// play replays stages of a scenario in a new session.
func play(t *testing.T, b *Backend, text string, stagesToPlay int) *session {
	t.Helper()
	opened, err := b.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, _ := stages(t, text)
	for _, stage := range all[:stagesToPlay] {
		if err := opened.Apply(t.Context(), stage.Cluster); err != nil {
			t.Fatal(err)
		}
	}
	return opened.(*session)
}

func shut(t *testing.T, s *session) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// alive lists the addresses of the pods that the cluster has, by their real names.
func alive(t *testing.T, c *fakeCluster) map[string]string {
	t.Helper()
	pods, err := c.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range pods.Items {
		if !p.Spec.HostNetwork {
			found[p.Name] = p.Status.PodIP
		}
	}
	return found
}

// TestAScenarioGoesOnWithThePodsOfAnother: under the names, labels and policies of its own.
func TestAScenarioGoesOnWithThePodsOfAnother(t *testing.T) {
	c := newFakeCluster(t)
	b := c.backend()
	first := play(t, b, before, 1)
	real, made := first.names.namespace("shop"), alive(t, c)
	web := podAddrs(first.podCalled("shop/web"))[0]
	if got := probeFrom(t, first, "shop/client", web); got.Answered != "shop/web" {
		t.Fatalf("before: %+v", got)
	}
	shut(t, first)

	second := play(t, b, after, 1)
	if got := second.names.namespace("other"); got != real {
		t.Fatalf("in namespace %s, not in %s", got, real)
	}
	if now := alive(t, c); !maps.Equal(now, made) {
		t.Errorf("pods %v, before %v", now, made)
	}
	view, _, err := second.Actual(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := podNames(view); !slices.Equal(got, []string{"caller"}) {
		t.Errorf("the scenario sees pods %v", got)
	}
	if len(view.Policies)+len(view.Services) > 0 || view.Namespaces[0].Labels["team"] != "red" {
		t.Errorf("something is left: %v %v %v", view.Policies, view.Services, view.Namespaces[0].Labels)
	}
	if got := view.Pods[0].Labels; len(got) != 1 || got["role"] != "caller" {
		t.Errorf("labels %v of the pod that stayed", got)
	}
	if got := labels(t, c, real, "web"); len(got) > 0 {
		t.Errorf("a pod that the scenario does not know has labels %v", got)
	}

	if err := second.Apply(t.Context(), nth(t, after, 1)); err != nil {
		t.Fatal(err)
	}
	// client is the former web, since there is a client already, and db is new.
	if now := alive(t, c); len(now) != 3 || now["web"] != web.String() || now["db"] == "" {
		t.Errorf("pods %v, before %v", now, made)
	}
	if got := labels(t, c, real, "web"); got["role"] != "late" || len(got) != 1 {
		t.Errorf("labels %v of the pod that came later", got)
	}
	db := podAddrs(second.podCalled("other/db"))[0]
	if got := probeFrom(t, second, "other/caller", db); got.Answered != "other/db" {
		t.Errorf("after: %+v", got)
	}
	if got := probeFrom(t, second, "other/db", web); got.Answered != "other/client" {
		t.Errorf("after, under the other name: %+v", got)
	}
	if n := c.started[target{real, "client", "main"}]; n != 1 {
		t.Errorf("the program in the pod that stayed was started %d times", n)
	}
	shut(t, second)

	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := c.client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("left behind: %v, error %v", left.Items, err)
	}
}

// TestSparePodsAreTakenWhereTheyStand: of the two, the one on the node that the scenario names.
func TestSparePodsAreTakenWhereTheyStand(t *testing.T) {
	for node, name := range map[string]string{"node-a": "web", "node-b": "client"} {
		c := newFakeCluster(t)
		b := c.backend()
		shut(t, play(t, b, before, 1))
		made := alive(t, c)
		second := play(t, b, strings.ReplaceAll(after, "node-b", node), 1)
		p := second.podCalled("other/caller")
		if at := podAddrs(p)[0].String(); at != made[name] || p.Spec.NodeName != node {
			t.Errorf("on %s: %s on %s, pods %v", node, at, p.Spec.NodeName, made)
		}
		shut(t, second)
	}
}

// TestSparePodsGoWithTheirNamespace: what a scenario deletes is not offered to later ones.
func TestSparePodsGoWithTheirNamespace(t *testing.T) {
	c := newFakeCluster(t)
	b := c.backend()
	shut(t, play(t, b, before, 1))
	second := play(t, b, after, 1)
	for _, stage := range []int{2, 3} { // while one of the pods is a spare one
		if err := second.Apply(t.Context(), nth(t, after, stage)); err != nil {
			t.Fatal(err)
		}
	}
	real := second.names.namespace("other")
	if now := alive(t, c); len(now) != 1 {
		t.Fatalf("pods %v", now)
	}
	shut(t, second)
	third := play(t, b, before, 1)
	if got := third.names.namespace("shop"); got != real {
		t.Errorf("in namespace %s, not in %s", got, real)
	}
	if now := alive(t, c); len(now) != 2 {
		t.Errorf("pods %v", now)
	}
	shut(t, third)
}

// TestSparePodsAreLookedAt: a pod that has gone meanwhile is not relied on.
func TestSparePodsAreLookedAt(t *testing.T) {
	c := newFakeCluster(t)
	b := c.backend()
	first := play(t, b, before, 1)
	real := first.names.namespace("shop")
	shut(t, first)
	if err := c.client.CoreV1().Pods(real).Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	second := play(t, b, before, 1)
	if got := second.names.namespace("shop"); got == real {
		t.Errorf("goes on in %s", got)
	}
	shut(t, second)
}

// TestOnlyOrdinaryPodsAreKept: whatever may have left something behind goes with its namespace.
func TestOnlyOrdinaryPodsAreKept(t *testing.T) {
	for name, spoil := range map[string]func(*session, *Backend){
		"asked for pods of its own": func(_ *session, b *Backend) { b.opts.Fresh = true },
		"a change has failed": func(s *session, b *Backend) {
			b.client.(*fake.Clientset).PrependReactor("list", "endpointslices", func(ktesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewBadRequest("refused")
			})
			if err := s.Apply(t.Context(), nth(t, before, 0)); err == nil {
				t.Error("a change succeeded that could not be looked at")
			}
		},
		"all pods have ended": func(s *session, _ *Backend) {
			end(s, "web", "client")
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFakeCluster(t)
			b := c.backend()
			s := play(t, b, before, 1)
			spoil(s, b)
			shut(t, s)
			if left := alive(t, c); len(left) > 0 || len(b.spares) > 0 {
				t.Errorf("kept: %v", left)
			}
		})
	}
}

// end makes pods of a session some that have ended.
func end(s *session, names ...string) {
	for k, r := range s.have {
		if k.kind == kindPod && slices.Contains(names, k.name) {
			r.pod = r.pod.DeepCopy()
			r.pod.Status.Phase = corev1.PodSucceeded
		}
	}
}

// TestOddPodsGoAndTheOthersStay: with what else they leave behind, kept connections.
func TestOddPodsGoAndTheOthersStay(t *testing.T) {
	c := newFakeCluster(t)
	b := c.backend()
	first := play(t, b, before, 1)
	real, made := first.names.namespace("shop"), alive(t, c)
	first.lines["talk"] = &line{owner: "shop/client"}
	end(first, "web")
	shut(t, first)
	if err := b.cleaning.Wait(); err != nil {
		t.Fatal(err)
	}
	if now := alive(t, c); len(now) != 1 || now["client"] != made["client"] {
		t.Errorf("pods %v, before %v", now, made)
	}
	asked := c.requests[target{real, "client", "main"}]
	if last := asked[len(asked)-1]; !slices.Equal(last.HangUp, []string{first.lineName("talk")}) {
		t.Errorf("last asked for %+v", last)
	}
	second := play(t, b, before, 1)
	if now := alive(t, c); second.names.namespace("shop") != real || len(now) != 2 || now["client"] != made["client"] {
		t.Errorf("in namespace %s with pods %v", second.names.namespace("shop"), now)
	}
	shut(t, second)
}

// nth is the cluster of a stage.
func nth(t *testing.T, text string, n int) *model.Cluster {
	t.Helper()
	all, _ := stages(t, text)
	return all[n].Cluster
}

func podNames(c *model.Cluster) (names []string) {
	for _, p := range c.Pods {
		names = append(names, p.Name)
	}
	return names
}

func labels(t *testing.T, c *fakeCluster, namespace, pod string) map[string]string {
	t.Helper()
	p, err := c.client.CoreV1().Pods(namespace).Get(t.Context(), pod, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Labels
}
