package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// writePod creates a pod, or changes what may change while it lives: labels, annotations, and that it may be scheduled.
func (s *session) writePod(ctx context.Context, p *corev1.Pod, old *record) error {
	client := s.backend.client.CoreV1().Pods(p.Namespace)
	if old == nil {
		return createOrUpdate(ctx, client, p, false)
	}
	was := old.object.(*corev1.Pod)
	change := map[string]any{"metadata": map[string]any{
		"labels": difference(was.Labels, p.Labels), "annotations": difference(was.Annotations, p.Annotations),
	}}
	if len(was.Spec.SchedulingGates) > 0 && len(p.Spec.SchedulingGates) == 0 {
		change["spec"] = map[string]any{"schedulingGates": nil}
	}
	patch, err := json.Marshal(change)
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// difference is the merge patch from one map to another.
func difference(was, is map[string]string) map[string]any {
	patch := map[string]any{}
	for k := range was {
		patch[k] = nil
	}
	for k, v := range is {
		patch[k] = v
	}
	return patch
}

// settlePods brings pods to where the scenario has them in their lives, and waits until they are there. A pod that was
// changed counts as changed then: before, nobody could have called it.
func (s *session) settlePods(ctx context.Context) error {
	all, before := map[key]*record{}, s.settled
	s.settled = map[key]string{}
	for k, r := range s.have {
		if k.kind == kindPod {
			all[k], s.settled[k] = r, r.sum
		}
	}
	defer func() {
		if !maps.Equal(before, s.settled) {
			s.changed = time.Now()
		}
	}()
	for _, phase := range []func(context.Context, *record) error{s.lead, s.await, s.end} {
		if err := each(kindPod, all, func(r *record) error { return phase(ctx, r) }); err != nil {
			return err
		}
	}
	return nil
}

// lead ends what keeps a pod from the phase it is to be in.
func (s *session) lead(ctx context.Context, r *record) error {
	real, err := s.realPod(ctx, r.key)
	if err != nil {
		return err
	}
	switch {
	case isPending(r.pod):
		return nil
	case isRunning(real.Status.InitContainerStatuses):
		return s.exit(ctx, r, starting, 0)
	case !hasEnded(r.pod) || hasEnded(real):
		return nil
	}
	running := r.pod.DeepCopy()
	running.Status.Phase = corev1.PodRunning
	if err := s.until(ctx, r.key, running); err != nil {
		return err
	}
	if r.pod.Status.Phase == corev1.PodFailed {
		return s.exitAll(ctx, r, 1)
	}
	return s.exitAll(ctx, r, 0)
}

// exitAll ends all containers of a pod.
func (s *session) exitAll(ctx context.Context, r *record, code int) error {
	var errs []error
	for _, container := range r.object.(*corev1.Pod).Spec.Containers {
		errs = append(errs, s.exit(ctx, r, container.Name, code))
	}
	return errors.Join(errs...)
}

func hasEnded(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// exit ends a container.
func (s *session) exit(ctx context.Context, r *record, container string, code int) error {
	l := s.backend.dial(target{r.namespace, r.name, container})
	defer l.close()
	_, err := l.ask(ctx, wire.Request{Exit: &code})
	s.forget(r)
	return err
}

func (s *session) await(ctx context.Context, r *record) error { return s.until(ctx, r.key, r.pod) }

// until waits until a real pod is where want is.
func (s *session) until(ctx context.Context, k key, want *corev1.Pod) error {
	return again(ctx, func() error {
		real, err := s.realPod(ctx, k)
		if err == nil && !hasArrived(want, real) {
			err = fmt.Errorf("%w: it is %s, wanted %s%s", errNotYet, real.Status.Phase, want.Status.Phase, why(real))
		}
		return err
	})
}

// why says what a pod waits for.
func why(p *corev1.Pod) string {
	for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if w := c.State.Waiting; w != nil {
			return fmt.Sprintf(" (container %s: %s %s)", c.Name, w.Reason, w.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			return fmt.Sprintf(" (%s: %s)", c.Type, c.Message)
		}
	}
	return ""
}

func (s *session) realPod(ctx context.Context, k key) (*corev1.Pod, error) {
	return s.backend.client.CoreV1().Pods(k.namespace).Get(ctx, k.name, metav1.GetOptions{})
}

// end asks a pod to stop that is to be seen terminating: it goes on as long as the grace period lasts.
func (s *session) end(ctx context.Context, r *record) error {
	if r.pod.DeletionTimestamp == nil {
		return nil
	}
	real, err := s.realPod(ctx, r.key)
	if err != nil || real.DeletionTimestamp != nil {
		return err
	}
	options := metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](longGrace)}
	return s.backend.client.CoreV1().Pods(r.namespace).Delete(ctx, r.name, options)
}

// release ends a pod that terminates: its kubelet waits for as long as it was told at first, however short the grace
// period has become since.
func (s *session) release(ctx context.Context, r *record) error {
	if r.pod == nil || r.pod.DeletionTimestamp == nil {
		return nil
	}
	return s.exitAll(ctx, r, 0)
}

// deletePod deletes a pod and returns when it is gone.
func (s *session) deletePod(ctx context.Context, r *record) error {
	if err := s.release(ctx, r); err != nil {
		return err
	}
	client := s.backend.client.CoreV1().Pods(r.namespace)
	options := metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](grace)}
	if err := ignoreGone(client.Delete(ctx, r.name, options)); err != nil {
		return err
	}
	return s.untilPodGone(ctx, r.key)
}

func (s *session) untilPodGone(ctx context.Context, k key) error {
	return again(ctx, func() error {
		_, err := s.realPod(ctx, k)
		return stillThere(err)
	})
}

// untilPodsGone waits until the pods of the session are gone with their namespaces.
func (s *session) untilPodsGone(ctx context.Context) error {
	for k := range s.have {
		if k.kind != kindPod {
			continue
		}
		if err := s.untilPodGone(ctx, k); err != nil {
			return err
		}
	}
	return nil
}
