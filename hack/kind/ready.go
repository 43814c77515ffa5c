package kind

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// readyTimeout is how long nodes, kube-proxy and CoreDNS may take after they can.
const readyTimeout = 10 * time.Minute

// awaitReady returns when the cluster does what a cluster does. kind returns before that, and also when kubelets crash
// and are started again for ever.
func (c *Cluster) awaitReady(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return poll(ctx, readyTimeout, func(ctx context.Context) error { return notReady(ctx, client) })
}

// notReady says what is not ready.
func notReady(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		if err := nodeNotReady(node); err != nil {
			return err
		}
	}
	proxy, err := client.AppsV1().DaemonSets(metav1.NamespaceSystem).Get(ctx, "kube-proxy", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := proxyNotReady(proxy, len(nodes.Items)); err != nil {
		return err
	}
	dns, err := client.AppsV1().Deployments(metav1.NamespaceSystem).Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	return dnsNotReady(dns)
}

func nodeNotReady(node corev1.Node) error {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return nil
		}
		if c.Type == corev1.NodeReady {
			return fmt.Errorf("node %s is not ready: %s", node.Name, c.Message)
		}
	}
	return fmt.Errorf("node %s has not said that it is ready", node.Name)
}

func proxyNotReady(proxy *appsv1.DaemonSet, nodes int) error {
	if ready := int(proxy.Status.NumberReady); ready < nodes {
		return fmt.Errorf("kube-proxy is ready on %d of %d nodes", ready, nodes)
	}
	return nil
}

func dnsNotReady(dns *appsv1.Deployment) error {
	if ready, want := dns.Status.ReadyReplicas, dns.Status.Replicas; ready < want || want == 0 {
		return fmt.Errorf("CoreDNS has %d of %d pods ready", ready, want)
	}
	return nil
}
