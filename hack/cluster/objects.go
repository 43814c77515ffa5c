package cluster

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Node describes a node as its kubelet would.
type Node struct {
	Name      string
	Labels    map[string]string
	Addresses []netip.Addr   // InternalIPs, the primary family first
	PodCIDRs  []netip.Prefix // at most one per family
}

// CreateNode creates a node that is ready. Nothing has to renew its Lease, as no controller watches for that.
func CreateNode(ctx context.Context, client kubernetes.Interface, n Node) (*corev1.Node, error) {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.Labels},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: n.Name}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Simulated"}},
		},
	}
	for _, a := range n.Addresses {
		node.Status.Addresses = append(node.Status.Addresses,
			corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	for _, p := range n.PodCIDRs {
		node.Spec.PodCIDRs = append(node.Spec.PodCIDRs, p.String())
	}
	if len(node.Spec.PodCIDRs) > 0 {
		node.Spec.PodCIDR = node.Spec.PodCIDRs[0]
	}
	created, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create node: %w", err)
	}
	return created, nil
}

// CreatePod creates a pod and gives it the status that it holds, which the API server drops at creation. See Running.
func CreatePod(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) (*corev1.Pod, error) {
	created, err := client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create pod: %w", err)
	}
	created.Status = pod.Status
	return UpdatePodStatus(ctx, client, created)
}

// UpdatePodStatus writes the status of a pod, as its kubelet would.
func UpdatePodStatus(ctx context.Context, client kubernetes.Interface, pod *corev1.Pod) (*corev1.Pod, error) {
	updated, err := client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("write status of pod: %w", err)
	}
	return updated, nil
}

// Running is the status of a ready pod with the given addresses, the primary family first.
func Running(host netip.Addr, pod ...netip.Addr) corev1.PodStatus {
	status := corev1.PodStatus{
		Phase:   corev1.PodRunning,
		HostIP:  host.String(),
		HostIPs: []corev1.HostIP{{IP: host.String()}},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue},
			{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
		},
	}
	for i, a := range pod {
		if i == 0 {
			status.PodIP = a.String()
		}
		status.PodIPs = append(status.PodIPs, corev1.PodIP{IP: a.String()})
	}
	return status
}

// DeletePod deletes a pod at once, without the grace period in which a kubelet would stop it.
func DeletePod(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	now := int64(0)
	err := client.CoreV1().Pods(namespace).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if err != nil {
		return fmt.Errorf("delete pod: %w", err)
	}
	return nil
}
