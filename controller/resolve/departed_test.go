package resolve

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

// naming makes the endpoints of s name the pods at their addresses, as the EndpointSlice controller does.
func naming(s *discoveryv1.EndpointSlice, pods ...*corev1.Pod) *discoveryv1.EndpointSlice {
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		for _, p := range pods {
			if slices.ContainsFunc(p.Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == e.Addresses[0] }) {
				e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}
			}
		}
	}
	return s
}

// followed is a follower of a cluster whose one policy is x/p with egress rules. It selects no pod of the cluster, so that
// only its rules can touch it.
func followed(t *testing.T, s *Snapshot, rules string) *follower {
	t.Helper()
	s.Policies = []*networkingv1.NetworkPolicy{policy(t, "x/p",
		`{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: `+rules+`}`)}
	f := newFollower()
	for _, happen := range f.events(&Snapshot{}, s) {
		happen()
	}
	return f
}

// egressOf writes the egress entries that were last published of x/p.
func (f *follower) egressOf(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pe := range f.published[types.NamespacedName{Namespace: "x", Name: "p"}] {
		all = append(all, egress(t, pe)...)
	}
	slices.Sort(all)
	return all
}

// TestBackendThatLeaves: a pod ends before it is taken out of the EndpointSlice. The ClusterIP stays open for the other
// backends, unless a packet to that address may still reach somebody.
func TestBackendThatLeaves(t *testing.T) {
	ended := func(change ...func(*corev1.Pod)) *corev1.Pod {
		return newTestPod("x/b", "10.0.0.2", append(change, phase(corev1.PodSucceeded))...)
	}
	b := func(change ...func(*corev1.Pod)) *corev1.Pod { return newTestPod("x/b", "10.0.0.2", change...) }
	onNode := func(p *corev1.Pod) { p.Status.HostIPs, p.Status.HostIP = nil, "10.0.0.2" }
	next := func(p *corev1.Pod) { p.UID = "next" }
	tests := map[string]struct {
		events func(f *follower) []func()
		open   bool
	}{
		"terminates": {func(f *follower) []func() { return []func(){f.set(b(terminating))} }, true},
		"ends":       {func(f *follower) []func() { return []func(){f.set(ended())} }, true},
		"fails":      {func(f *follower) []func() { return []func(){f.set(b(phase(corev1.PodFailed)))} }, true},
		"goes":       {func(f *follower) []func() { return []func(){f.remove(b())} }, true},
		"ends and goes": {func(f *follower) []func() { return []func(){f.set(ended()), f.remove(b())} },
			true},
		"is replaced under its name": {func(f *follower) []func() {
			return []func(){f.set(newTestPod("x/b", "", next))}
		}, true},
		"ends and is replaced": {func(f *follower) []func() {
			return []func(){f.set(ended()), f.set(newTestPod("x/b", "10.0.0.9", next, label("app", "other")))}
		}, true},
		"ends, and the slice is seen after that": {func(f *follower) []func() {
			return []func(){f.set(ended()), f.set(naming(slice("x/shop", "10.0.0.1 10.0.0.2", 8080), b()))}
		}, true},
		"goes, and the slice says that it is nobody's": {func(f *follower) []func() {
			return []func(){f.remove(b()), f.set(slice("x/shop", "10.0.0.1 10.0.0.2", 8080))}
		}, false},
		"has no address, and may get one": {func(f *follower) []func() {
			return []func(){f.set(newTestPod("x/b", ""))}
		}, false},
		"was never seen": {func(f *follower) []func() {
			late := newTestPod("x/late", "10.0.0.9")
			return []func(){f.set(naming(slice("x/shop", "10.0.0.1 10.0.0.9", 8080), late))}
		}, false},
		"was on the host network": {func(f *follower) []func() { return []func(){f.set(ended(hostNetwork))} }, false},
		"ends, and its address is another pod's": {func(f *follower) []func() {
			return []func(){f.set(ended()), f.set(newTestPod("x/other", "10.0.0.2"))}
		}, false},
		"ends, and its address was another pod's": {func(f *follower) []func() {
			other := newTestPod("x/other", "10.0.0.2")
			return []func(){f.set(ended()), f.set(other), f.remove(other)}
		}, true},
		"ends, and its address is a node's": {func(f *follower) []func() {
			return []func(){f.set(ended()), f.set(newTestPod("x/other", "10.0.0.8", onNode))}
		}, false},
		"leaves as the last one": {func(f *follower) []func() {
			return []func(){f.set(ended()), f.remove(newTestPod("x/a", "10.0.0.1"))}
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := shop()
			naming(s.EndpointSlices[0], s.Pods...)
			f := followed(t, s, `[{to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b]}]}}]}]`)
			for _, happen := range tt.events(f) {
				happen()
			}
			if got := f.egressOf(t); slices.Contains(got, "0: 172.20.0.1 on TCP/80") != tt.open {
				t.Errorf("egress %v, want the ClusterIP open: %v", got, tt.open)
			}
		})
	}
}

// TestServiceThatLosesEveryBackendStaysClosed: a block does not come to cover a ClusterIP because its backend ended.
func TestServiceThatLosesEveryBackendStaysClosed(t *testing.T) {
	s := shop()
	s.EndpointSlices[0] = naming(slice("x/shop", "10.0.0.2", 8080), s.Pods...)
	f := followed(t, s, `[{to: [{ipBlock: {cidr: 172.20.0.0/16}}]}]`)
	f.remove(s.Pods[1])()
	if diff := cmp.Diff([]string{"0: 172.20.0.0/16 except 172.20.0.1/32"}, f.egressOf(t)); diff != "" {
		t.Errorf("egress (-want +got):\n%s", diff)
	}
}
