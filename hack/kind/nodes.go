package kind

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Node is a node of a cluster. It is also a container of that name.
type Node struct {
	Name      string
	Addresses []netip.Addr   // at which the other nodes reach it
	Pods      []netip.Prefix // of which its pods have addresses; none before the control plane has given it some
}

// client talks to the cluster's API server.
func (c *Cluster) client() (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig of %s: %w", c.name, err)
	}
	config.Timeout = requestTimeout
	config.QPS = -1 // no limit: poll has its own
	return kubernetes.NewForConfig(config)
}

// requestTimeout is how long the API server may take for an answer.
const requestTimeout = time.Minute

// readNodes asks the API server for the nodes.
func (c *Cluster) readNodes(ctx context.Context) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes of %s: %w", c.name, err)
	}
	nodes := make([]Node, len(list.Items))
	for i, object := range list.Items {
		if nodes[i], err = newNode(object); err != nil {
			return err
		}
	}
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	c.nodes = nodes
	return nil
}

func newNode(object corev1.Node) (Node, error) {
	node := Node{Name: object.Name}
	for _, a := range object.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		address, err := netip.ParseAddr(a.Address)
		if err != nil {
			return node, fmt.Errorf("address of node %s: %w", node.Name, err)
		}
		node.Addresses = append(node.Addresses, address)
	}
	for _, cidr := range object.Spec.PodCIDRs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return node, fmt.Errorf("pod CIDR of node %s: %w", node.Name, err)
		}
		node.Pods = append(node.Pods, prefix)
	}
	return node, nil
}
