package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/e2e-framework/klient/k8s"
	"sigs.k8s.io/e2e-framework/klient/wait"
	"sigs.k8s.io/e2e-framework/klient/wait/conditions"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// Where deploy/manifests put Palisade.
const namespace, agent, controller = "kube-system", "palisade-agent", "palisade-controller"

// rollout bounds a rolling restart of one workload.
const rollout = 10 * time.Minute

// restart does what kubectl rollout restart and kubectl rollout status do.
func (s *suite) restart(ctx context.Context, o k8s.Object, done func(k8s.Object) bool) error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"palisade.dev/restarted":%q}}}}}`,
		time.Now().Format(time.RFC3339Nano))
	resources := s.client.Resources(namespace)
	err := resources.Patch(ctx, o, k8s.Patch{PatchType: types.StrategicMergePatchType, Data: []byte(patch)})
	if err != nil {
		return err
	}
	return wait.For(conditions.New(resources).ResourceMatch(o, done),
		wait.WithContext(ctx), wait.WithTimeout(rollout), wait.WithInterval(500*time.Millisecond), wait.WithImmediate())
}

func (s *suite) restartAgents(ctx context.Context) error {
	d := &appsv1.DaemonSet{}
	d.Name, d.Namespace = agent, namespace
	return s.restart(ctx, d, func(o k8s.Object) bool {
		d := o.(*appsv1.DaemonSet)
		n := d.Status.DesiredNumberScheduled
		return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedNumberScheduled == n &&
			d.Status.NumberAvailable == n
	})
}

func (s *suite) restartControllers(ctx context.Context) error {
	d := &appsv1.Deployment{}
	d.Name, d.Namespace = controller, namespace
	return s.restart(ctx, d, func(o k8s.Object) bool {
		d := o.(*appsv1.Deployment)
		n := *d.Spec.Replicas
		return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas == n &&
			d.Status.AvailableReplicas == n && d.Status.Replicas == n
	})
}

// needsPalisade skips a spec about Palisade where something else enforces policies.
func (s *suite) needsPalisade(ctx context.Context) {
	GinkgoHelper()
	err := s.client.Resources(namespace).Get(ctx, agent, namespace, &appsv1.DaemonSet{})
	if apierrors.IsNotFound(err) {
		Skip("there is no DaemonSet " + namespace + "/" + agent + " to restart")
	}
	Expect(err).NotTo(HaveOccurred())
}

// guarded is a pod that a friend may call and a stranger may not.
const guarded = `apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: guarded}
description: A pod that a friend may call and a stranger may not.
families: [%s]
objects:
  - {apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: node-b}}
  - {apiVersion: v1, kind: Pod, metadata: {name: friend, labels: {role: friend}}, spec: {nodeName: node-a}}
  - {apiVersion: v1, kind: Pod, metadata: {name: stranger}, spec: {nodeName: node-a}}
steps:
  - {name: open}
  - name: guarded
    apply:
      - apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: web}
        spec:
          podSelector: {matchLabels: {app: web}}
          ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
`

// place is a session with the pods of a scenario.
type place struct {
	backend.Live
	stages []spec.Stage
}

func (s *suite) open(ctx context.Context, text string) place {
	GinkgoHelper()
	cases, err := spec.Parse("topic/guarded.yaml", []byte(text), nil)
	Expect(err).NotTo(HaveOccurred())
	stages, err := cases[0].Stages()
	Expect(err).NotTo(HaveOccurred())
	session, err := s.backend.Open(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(session.Close()).To(Succeed()) })
	return place{session.(backend.Live), stages}
}

// probe is a connection between two pods of the place, at TCP/80.
func (p place) probe(ctx context.Context, from, to string) backend.Probe {
	GinkgoHelper()
	c, _, err := p.Actual(ctx)
	Expect(err).NotTo(HaveOccurred())
	i := slices.IndexFunc(c.Pods, func(pod *corev1.Pod) bool { return pod.Name == to })
	Expect(i).To(BeNumerically(">=", 0))
	addr := netip.MustParseAddr(c.Pods[i].Status.PodIP)
	return backend.Probe{
		From: "default/" + from, To: netip.AddrPortFrom(addr, 80), Protocol: flow.TCP, Timeout: 500 * time.Millisecond,
	}
}

// becomes waits until a connection has an outcome.
func (p place) becomes(ctx context.Context, probe backend.Probe, want backend.Outcome) {
	GinkgoHelper()
	Eventually(func() (backend.Outcome, error) {
		seen, err := p.Probe(ctx, []backend.Probe{probe})
		if err != nil {
			return backend.Invalid, err
		}
		return seen[0].Outcome, nil
	}).WithTimeout(time.Minute).WithPolling(200 * time.Millisecond).Should(Equal(want))
}

func (s *suite) describeRestarts(inputs []run.Input) {
	Describe("rolling restart", Serial, Label("restart"), func() {
		It("leaks no packet and cuts no connection", func(ctx SpecContext) {
			s.needsPalisade(ctx)
			p := s.open(ctx, s.guarded(ctx))
			Expect(p.Apply(ctx, p.stages[1].Cluster)).To(Succeed())
			denied, allowed := p.probe(ctx, "stranger", "web"), p.probe(ctx, "friend", "web")
			denied.Timeout, allowed.Timeout = 100*time.Millisecond, 3*time.Second // an answer may be late on a busy machine
			p.becomes(ctx, denied, backend.Blocked)
			p.becomes(ctx, allowed, backend.Connected)
			seen, err := p.Keep(ctx, "talk", allowed)
			Expect(err).NotTo(HaveOccurred())
			Expect(seen.Outcome).To(Equal(backend.Connected), seen.Detail)

			tallies := p.blastDuring(ctx, []backend.Probe{denied, allowed}, func() {
				Expect(s.restartAgents(ctx)).To(Succeed())
				Expect(s.restartControllers(ctx)).To(Succeed())
			})
			passage, err := p.Exchange(ctx, []string{"talk"}, 5*time.Second)
			Expect(err).NotTo(HaveOccurred())
			AddReportEntry("blaster", fmt.Sprintf("denied %+v; allowed %+v", tallies[0], tallies[1]))
			Expect(passage[0].String()).To(Equal(backend.Passage{There: true, Back: true}.String()))
			Expect(tallies[0].Attempts).To(BeNumerically(">", 50))
			Expect(tallies[0].Connected).To(BeZero(), "connections that are denied succeeded")
			Expect(tallies[1].Connected).To(Equal(tallies[1].Attempts), "connections that are allowed failed")
		}, SpecTimeout(3*rollout))

		It("changes no verdict", func(ctx SpecContext) {
			s.needsPalisade(ctx)
			during, stop := context.WithCancel(ctx)
			var work sync.WaitGroup
			restarts := 0
			work.Go(func() {
				defer GinkgoRecover()
				for during.Err() == nil {
					Expect(s.restartAgents(ctx)).To(Succeed())
					Expect(s.restartControllers(ctx)).To(Succeed())
					restarts++
				}
			})
			s.replay(ctx, 4, some(inputs, "walkthrough", "stars", "union", "update", "delete", "named-port", "pod-relabel")...)
			stop()
			work.Wait()
			AddReportEntry("restarts of all agents and controllers", restarts)
			Expect(restarts).To(BeNumerically(">", 0))
		}, SpecTimeout(5*rollout))
	})
}

// blastDuring opens connections in the background, each 100 a second, while f runs, and returns what became of them.
func (p place) blastDuring(ctx context.Context, probes []backend.Probe, f func()) []wire.Tally {
	GinkgoHelper()
	blasting, stop := context.WithCancel(ctx)
	tallies := make([]wire.Tally, len(probes))
	var work sync.WaitGroup
	for i, probe := range probes {
		work.Go(func() {
			defer GinkgoRecover()
			for blasting.Err() == nil {
				t, err := p.Live.(cluster.Blaster).Blast(ctx, probe, 10*time.Millisecond, 5*time.Second)
				Expect(err).NotTo(HaveOccurred())
				tallies[i] = together(tallies[i], t)
			}
		})
	}
	f()
	stop()
	work.Wait()
	return tallies
}

// together adds tallies of one client after the other.
func together(a, b wire.Tally) wire.Tally {
	b.Attempts, b.Connected = a.Attempts+b.Attempts, a.Connected+b.Connected
	b.LongestSilence = max(a.LongestSilence, b.LongestSilence)
	return b
}

// some returns those scenarios of which a name begins with one of words, the case apart.
func some(inputs []run.Input, words ...string) []run.Input {
	return slices.DeleteFunc(slices.Clone(inputs), func(in run.Input) bool {
		name, _, _ := strings.Cut(in.Scenario.Metadata.Name, "/")
		return !slices.Contains(words, name)
	})
}

// guarded is the scenario in a family of the cluster.
func (s *suite) guarded(ctx context.Context) string {
	GinkgoHelper()
	families, err := s.backend.Families(ctx)
	Expect(err).NotTo(HaveOccurred())
	return fmt.Sprintf(guarded, families[0])
}
