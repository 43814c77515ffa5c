package netns

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/model"
)

// anyPod is a running pod of namespace default on node n1.
func anyPod(name, addr string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid of " + name)}}
	p.Spec.NodeName = "n1"
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: addr}}}
	return p
}

// oneNode is a cluster of node n1 and pods b and a.
func oneNode() *model.Cluster {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	n.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "192.168.7.1"}, {Type: corev1.NodeHostName, Address: "n1"},
	}
	return &model.Cluster{
		Nodes: []*corev1.Node{n}, Pods: []*corev1.Pod{anyPod("b", "10.0.0.2"), anyPod("a", "::ffff:10.0.0.1")},
	}
}

func TestLayoutHoldsWhatHasANetwork(t *testing.T) {
	c := oneNode()
	host, pending, ended := anyPod("host", "192.168.7.1"), anyPod("pending", ""), anyPod("ended", "10.0.0.1")
	host.Spec.HostNetwork = true
	pending.Status.PodIPs, pending.Spec.NodeName = nil, ""
	ended.Status.Phase = corev1.PodFailed
	old := anyPod("old", "")
	old.Status.PodIPs, old.Status.PodIP = nil, "10.0.0.3"
	c.Pods = append(c.Pods, host, pending, ended, old)
	got, err := newLayout(c)
	if err != nil {
		t.Fatal(err)
	}
	addr := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	want := &layout{
		nodes: []nodeSpec{{"n1", addr("192.168.7.1")}},
		pods: []podSpec{
			{"default", "a", "uid of a", "n1", addr("10.0.0.1")},
			{"default", "b", "uid of b", "n1", addr("10.0.0.2")},
			{"default", "old", "uid of old", "n1", addr("10.0.0.3")},
		},
		sources: map[string]string{
			"node/n1": "node/n1", "default/a": "default/a", "default/b": "default/b", "default/old": "default/old",
			"default/host": "node/n1",
		},
	}
	diff := cmp.Diff(want, got, cmp.AllowUnexported(layout{}, nodeSpec{}, podSpec{}), cmpopts.EquateComparable(netip.Addr{}))
	if diff != "" {
		t.Error(diff)
	}
}

func TestAPodIsAnotherPodWhenItsIdentityOrPlaceChanges(t *testing.T) {
	pod := podSpec{"default", "a", "1", "n1", []netip.Addr{netip.MustParseAddr("10.0.0.1")}}
	l := &layout{pods: []podSpec{pod}}
	if !l.hasPod(pod) {
		t.Error("a pod is not the same as itself")
	}
	for name, change := range map[string]func(*podSpec){
		"UID": func(p *podSpec) { p.uid = "2" }, "node": func(p *podSpec) { p.node = "n2" },
		"name": func(p *podSpec) { p.name = "b" }, "addresses": func(p *podSpec) { p.addrs = nil },
	} {
		other := pod
		change(&other)
		if l.hasPod(other) {
			t.Errorf("another %s makes no other pod", name)
		}
	}
}

func TestAClusterThatCannotBeWiredIsAnError(t *testing.T) {
	for name, change := range map[string]func(*model.Cluster){
		"two pods with one address":          func(c *model.Cluster) { c.Pods[1].Status.PodIPs[0].IP = "10.0.0.2" },
		"a pod with the address of a node":   func(c *model.Cluster) { c.Pods[1].Status.PodIPs[0].IP = "192.168.7.1" },
		"a pod on a node that is not there":  func(c *model.Cluster) { c.Pods[1].Spec.NodeName = "n3" },
		"an address that is none":            func(c *model.Cluster) { c.Pods[1].Status.PodIPs[0].IP = "x" },
		"a pod called like a node's process": func(c *model.Cluster) { c.Pods[1].Namespace, c.Pods[1].Name = "node", "n1" },
		"two pods with one name":             func(c *model.Cluster) { c.Pods[1].Name = "b" },
	} {
		t.Run(name, func(t *testing.T) {
			c := oneNode()
			change(c)
			if l, err := newLayout(c); err == nil {
				t.Errorf("laid out as %+v", l)
			}
		})
	}
}
