package cluster

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// podLike is a pod of a scenario on node-a that runs and is ready, changed.
func podLike(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "one", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			NodeName: "node-a",
			Containers: []corev1.Container{{
				Name: "main", Image: "nginx", Command: []string{"nginx"},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}},
			}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.240.1.2"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	change(p)
	return p
}

func real(p *corev1.Pod) *corev1.Pod {
	s := newSession(&Backend{opts: Options{Image: "probe:1"}}, nil, "run-")
	s.names = newNames(s.prefix, map[string]string{"node-a": "worker"})
	return s.podOf(p)
}

func TestAPodRunsProbesInAllItsContainers(t *testing.T) {
	p := real(podLike(func(p *corev1.Pod) {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "second"})
		p.Spec.InitContainers = []corev1.Container{
			{Name: "prepare"}, {Name: "sidecar", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
		}
	}))
	if p.Namespace != "run-shop" || p.Name != "web" || p.Labels["app"] != "web" || p.UID != "" {
		t.Errorf("metadata %+v", p.ObjectMeta)
	}
	serve := []string{"serve", "--stay", "--name", "run-shop/web"}
	for _, c := range []struct {
		container corev1.Container
		name      string
		args      []string
	}{
		{p.Spec.Containers[0], "main", serve}, {p.Spec.Containers[1], "second", serve},
		{p.Spec.InitContainers[0], "prepare", []string{"exit"}}, {p.Spec.InitContainers[1], "sidecar", serve},
	} {
		if c.container.Name != c.name || c.container.Image != "probe:1" || c.container.Command != nil ||
			!slices.Equal(c.container.Args, c.args) {
			t.Errorf("container %s: %+v, want arguments %q", c.name, c.container, c.args)
		}
	}
	if port := p.Spec.Containers[0].Ports[0]; port.Name != "http" || port.ContainerPort != 80 {
		t.Errorf("port %+v", port)
	}
	if p.Spec.InitContainers[1].RestartPolicy == nil {
		t.Error("the sidecar has become an init container")
	}
	term := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0]
	if !slices.Equal(term.MatchFields[0].Values, []string{"worker"}) {
		t.Errorf("it is sent to %+v", term)
	}
}

func TestAPodIsHeldWhereTheScenarioHasIt(t *testing.T) {
	waits := real(podLike(func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} }))
	if len(waits.Spec.SchedulingGates) != 1 || len(waits.Spec.InitContainers) != 0 {
		t.Errorf("pending without an address: gates %v, init containers %v", waits.Spec.SchedulingGates, waits.Spec.InitContainers)
	}
	starts := real(podLike(func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }))
	if len(starts.Spec.SchedulingGates) != 0 || starts.Spec.InitContainers[0].Name != starting {
		t.Errorf("pending with an address: gates %v, init containers %v", starts.Spec.SchedulingGates, starts.Spec.InitContainers)
	}
	unready := real(podLike(func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }))
	if len(unready.Spec.ReadinessGates) != 1 {
		t.Error("a pod that is never ready has no gate")
	}
	if runs := real(podLike(func(*corev1.Pod) {})); len(runs.Spec.ReadinessGates)+len(runs.Spec.SchedulingGates) != 0 {
		t.Error("a pod that runs is held by a gate")
	}
}

func TestArrival(t *testing.T) {
	now := func(phase corev1.PodPhase, ready corev1.ConditionStatus, ips ...corev1.PodIP) *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{
			Phase: phase, PodIPs: ips, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		}}
	}
	ip := corev1.PodIP{IP: "10.244.1.2"}
	running := podLike(func(*corev1.Pod) {})
	unready := podLike(func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })
	dying := podLike(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} })
	waiting := podLike(func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} })
	starts := podLike(func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending })
	failed := podLike(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
	inits := now(corev1.PodPending, corev1.ConditionFalse, ip)
	inits.Status.InitContainerStatuses = []corev1.ContainerStatus{
		{Name: starting, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
	}
	for name, c := range map[string]struct {
		want, is *corev1.Pod
		arrived  bool
	}{
		"running and ready":               {running, now(corev1.PodRunning, corev1.ConditionTrue, ip), true},
		"running, not ready yet":          {running, now(corev1.PodRunning, corev1.ConditionFalse, ip), false},
		"running without an address":      {running, now(corev1.PodRunning, corev1.ConditionTrue), false},
		"still pending":                   {running, now(corev1.PodPending, corev1.ConditionFalse, ip), false},
		"never ready":                     {unready, now(corev1.PodRunning, corev1.ConditionFalse, ip), true},
		"never to be ready, but is":       {unready, now(corev1.PodRunning, corev1.ConditionTrue, ip), false},
		"terminating, ready or not":       {dying, now(corev1.PodRunning, corev1.ConditionFalse, ip), true},
		"to wait":                         {waiting, now(corev1.PodPending, corev1.ConditionFalse), true},
		"to start, and its init does":     {starts, inits, true},
		"to start, and its init does not": {starts, now(corev1.PodPending, corev1.ConditionFalse, ip), false},
		"to fail, and has":                {failed, now(corev1.PodFailed, corev1.ConditionFalse, ip), true},
		"to fail, and has succeeded":      {failed, now(corev1.PodSucceeded, corev1.ConditionFalse, ip), false},
	} {
		if got := hasArrived(c.want, c.is); got != c.arrived {
			t.Errorf("%s: arrived %v, want %v", name, got, c.arrived)
		}
	}
}
