package spec

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// change finds the pod namespace/name and stores what f makes of a copy of it.
func (w *world) change(name string, at *strict.Node, f func(*corev1.Pod)) {
	namespace, pod, ok := strings.Cut(name, "/")
	if !ok {
		w.fail(at, "%q is not namespace/pod", name)
		return
	}
	o, ok := w.find("Pod", namespace, pod, at)
	if !ok {
		return
	}
	o.Value = o.Value.DeepCopyObject().(manifest.KubeObject)
	f(o.Value.(*corev1.Pod))
	w.set(o)
}

// restart gives a pod a new life under its old name, on its old node and with its old addresses.
func (w *world) restart(name string, at *strict.Node) {
	w.change(name, at, func(p *corev1.Pod) {
		key := manifest.Key{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
		w.births[key]++
		p.UID = w.uid(key)
	})
}

// terminate marks a pod as the API server does when it is asked to delete it. When is of no importance, only that it
// has been asked.
func (w *world) terminate(name string, at *strict.Node) {
	w.change(name, at, func(p *corev1.Pod) {
		asked, grace := metav1.NewTime(time.Unix(0, 0).UTC()), int64(corev1.DefaultTerminationGracePeriodSeconds)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &asked, &grace
	})
}

// phase moves a pod on. What it says of its readiness is decided anew.
func (w *world) phase(c *PhaseChange) {
	phases := []corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed}
	to := corev1.PodPhase(c.To)
	if !slices.Contains(phases, to) {
		w.fail(c.Node().At("to"), "phase: %q is none of Pending, Running, Succeeded, Failed", c.To)
		return
	}
	w.change(c.Pod, c.Node().At("pod"), func(p *corev1.Pod) {
		p.Status.Phase, p.Status.Conditions = to, nil
		if msg := w.assign.assign(p, w.nodes()); msg != "" {
			w.fail(c.Node(), "Pod %s: %s", c.Pod, msg)
		}
	})
}
