package resolve

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// TestLastOwnerWins: rule 67, weave#3177: a pod that still reports an address which another one has by now gives that
// one none of its rights, whichever is heard of last, and has them again when it is alone with the address.
func TestLastOwnerWins(t *testing.T) {
	old := newTestPod("x/old", "10.0.0.5 fd00::5", created(100), terminating, port("http", "TCP", 8080))
	next := newTestPod("x/next", "10.0.0.5", created(200), port("http", "TCP", 80))
	tests := map[string]struct {
		egress    string
		old, next []string // what is open while only one of the pods is there
		both      []string
	}{
		"the old one may be reached": {`[{to: [{podSelector: {matchLabels: {app: old}}}]}]`,
			[]string{"0: 10.0.0.5", "0: fd00::5"}, nil, []string{"0: fd00::5"}},
		"the new one may be reached": {`[{to: [{podSelector: {matchLabels: {app: next}}}]}]`,
			nil, []string{"0: 10.0.0.5"}, []string{"0: 10.0.0.5"}},
		"each on a port of its own": {`[{to: [{podSelector: {}}], ports: [{port: http}]}]`,
			[]string{"0: 10.0.0.5 on TCP/8080", "0: fd00::5 on TCP/8080"}, []string{"0: 10.0.0.5 on TCP/80"},
			[]string{"0: 10.0.0.5 on TCP/80", "0: fd00::5 on TCP/8080"}},
		"each on a port of its own in a block": {`[{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{port: http}]}]`,
			[]string{"0: 10.0.0.5 on TCP/8080"}, []string{"0: 10.0.0.5 on TCP/80"}, []string{"0: 10.0.0.5 on TCP/80"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := followed(t, &Snapshot{}, tt.egress)
			steps := []struct {
				event func()
				want  []string
			}{
				{f.set(old), tt.old}, {f.set(next), tt.both}, {f.remove(old), tt.next}, {f.set(old), tt.both},
				{f.remove(next), tt.old}, {f.remove(old), nil},
			}
			for i, step := range steps {
				step.event()
				if diff := cmp.Diff(step.want, f.egressOf(t)); diff != "" {
					t.Errorf("egress after step %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

// TestLastOwnerWinsAsSource: nobody is let in for the pod that had the address before. Both stay isolated.
func TestLastOwnerWinsAsSource(t *testing.T) {
	pe := only(t, &Snapshot{
		Pods: []*corev1.Pod{
			newTestPod("x/trusted", "10.0.0.5", created(100), terminating), newTestPod("x/stranger", "10.0.0.5", created(200)),
		},
		Policies: []*networkingv1.NetworkPolicy{
			policy(t, "x/p", `{ingress: [{from: [{podSelector: {matchLabels: {app: trusted}}}]}]}`)},
	})
	if got := ingress(t, pe); len(got) > 0 {
		t.Errorf("ingress %v, want none: 10.0.0.5 is the stranger's", got)
	}
	want := []string{"x/stranger 10.0.0.5@192.168.0.1", "x/trusted 10.0.0.5@192.168.0.1"}
	if got := pods(pe); !slices.Equal(got, want) {
		t.Errorf("pods %v, want %v", got, want)
	}
}

// TestOneAge: of two pods that were created in the same second, the name decides, as in the model.
func TestOneAge(t *testing.T) {
	pe := only(t, &Snapshot{
		Pods: []*corev1.Pod{newTestPod("x/b", "10.0.0.5"), newTestPod("x/a", "10.0.0.5"), newTestPod("x/c", "10.0.0.6")},
		Policies: []*networkingv1.NetworkPolicy{
			policy(t, "x/p", `{ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]}`)},
	})
	if got := ingress(t, pe); len(got) > 0 {
		t.Errorf("ingress %v, want none: 10.0.0.5 is x/b's", got)
	}
}
