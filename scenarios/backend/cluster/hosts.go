package cluster

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// hosts are probes in the nodes' own networks, one per node that a scenario calls or calls from. All sessions share
// them.
type hosts struct {
	backend *Backend

	mu    sync.Mutex
	made  bool // there is a namespace for them
	links map[string]*link
}

// namespace is where they live.
func (h *hosts) namespace() string {
	return fmt.Sprintf("%s-%s-nodes", h.backend.opts.Prefix, h.backend.id)
}

// link returns the way to the probe of a node, which is started with the first call.
func (h *hosts) link(ctx context.Context, node string) (*link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l := h.links[node]; l != nil {
		return l, nil
	}
	if err := h.start(ctx, node); err != nil {
		return nil, fmt.Errorf("start a probe on node %s: %w", node, err)
	}
	if h.links == nil {
		h.links = map[string]*link{}
	}
	h.links[node] = h.backend.dial(target{h.namespace(), node, probeName})
	return h.links[node], nil
}

// probeName is the container of a node's probe.
const probeName = "probe"

func (h *hosts) start(ctx context.Context, node string) error {
	core := h.backend.client.CoreV1()
	if !h.made {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.namespace(), Labels: map[string]string{
			runLabel: h.backend.id, podSecurity: "privileged",
		}}}
		if _, err := core.Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
		h.made = true
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: node, Namespace: h.namespace()},
		Spec: corev1.PodSpec{
			HostNetwork: true, NodeName: node, RestartPolicy: corev1.RestartPolicyNever,
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers:                    []corev1.Container{probeContainer(probeName, h.backend.opts.Image, nodePrefix+node)},
			TerminationGracePeriodSeconds: ptr.To[int64](grace),
			AutomountServiceAccountToken:  ptr.To(false),
		},
	}
	pods := core.Pods(h.namespace())
	err := again(ctx, func() error { _, err := pods.Create(ctx, pod, metav1.CreateOptions{}); return err })
	if err != nil && !apierrors.IsAlreadyExists(err) { // as it does after an attempt that took too long
		return err
	}
	return again(ctx, func() error {
		real, err := pods.Get(ctx, node, metav1.GetOptions{})
		if err == nil && real.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("%w: it is %s%s", errNotYet, real.Status.Phase, why(real))
		}
		return err
	})
}

// close removes all probes and their namespace.
func (h *hosts) close(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.links {
		l.close()
	}
	h.links = nil
	if !h.made {
		return nil
	}
	h.made = false
	if err := h.backend.client.CoreV1().Namespaces().Delete(ctx, h.namespace(), metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete namespace %s: %w", h.namespace(), err)
	}
	return h.backend.untilNamespaceGone(ctx, h.namespace())
}
