// Package random draws small clusters that are dense in what implementations get wrong: overlapping selectors and
// blocks, exceptions, named ports that mean different numbers, ranges that touch, both families, pods in every phase of
// their life, nodes and namespaces that nobody listed. What it draws is always valid, and shrinks towards the empty
// cluster.
package random

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/model"
)

// The vocabulary is small on purpose: selectors shall match, and blocks overlap.
var (
	keys      = []string{"app", "tier"}
	values    = []string{"", "a", "b"}
	portNames = []string{"web", "dns"}
	protocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
	ports     = []int32{1, 53, 79, 80, 81, 255, 256, 443, 8080, 65535}
)

// ghost is a namespace that pods and policies may be in and that is never listed.
const ghost = "ghost"

// Cluster draws a cluster of one or two nodes, up to three namespaces and one that is not listed, seven pods, two
// Services and five policies.
func Cluster(t *rapid.T) *model.Cluster {
	d := &Drawing{T: t, Cluster: &model.Cluster{}}
	d.drawNodes()
	d.drawNamespaces()
	for i := range rapid.IntRange(2, 7).Draw(t, "pods") {
		d.Pods = append(d.Pods, d.Pod(i))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "services") {
		d.drawService(i)
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "policies") {
		d.Policies = append(d.Policies, d.Policy(i))
	}
	return d.Cluster
}

// Example returns the cluster of a seed: the same one in every process.
func Example(seed int) *model.Cluster { return rapid.Custom(Cluster).Example(seed) }

// Drawing is a cluster that is being drawn: what is drawn next fits to what is there.
type Drawing struct {
	*rapid.T
	*model.Cluster
	hosts []*corev1.Node // all nodes, listed or not
	homes []string       // names of namespaces, listed or not
}

// Continue draws more for a cluster that was drawn before. (Nothing is added to c.)
func Continue(t *rapid.T, c *model.Cluster) *Drawing {
	d := &Drawing{T: t, Cluster: c, hosts: []*corev1.Node{node(0), node(1)}}
	for _, ns := range c.Namespaces {
		d.homes = append(d.homes, ns.Name)
	}
	d.homes = append(d.homes, ghost)
	return d
}

// drawNodes lists a node, or leaves it to its pods to tell its addresses.
func (d *Drawing) drawNodes() {
	for i := range rapid.IntRange(1, 2).Draw(d.T, "nodes") {
		n := node(i)
		d.hosts = append(d.hosts, n)
		if rapid.IntRange(0, 3).Draw(d.T, n.Name+" is listed") < 3 {
			d.Nodes = append(d.Nodes, n)
		}
	}
}

func node(i int) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node%d", i)},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.0.0.%d", i+1)},
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fd00::%d", i+1)},
		}},
	}
}

// drawNamespaces makes namespaces with the label that the API server puts there, and some where a tool took it away.
func (d *Drawing) drawNamespaces() {
	for i := range rapid.IntRange(1, 3).Draw(d.T, "namespaces") {
		name := fmt.Sprintf("ns%d", i)
		labels := labelSet().Draw(d.T, name)
		if rapid.IntRange(0, 4).Draw(d.T, name+" has its name label") < 4 {
			labels[corev1.LabelMetadataName] = name
		}
		d.Namespaces = append(d.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
		d.homes = append(d.homes, name)
	}
	d.homes = append(d.homes, ghost)
}

func labelSet() *rapid.Generator[map[string]string] {
	return rapid.MapOfN(rapid.SampledFrom(keys), rapid.SampledFrom(values), 0, len(keys))
}
