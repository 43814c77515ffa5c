package publish

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/controller/resolve"
	"github.com/palisade-netpol/palisade/sim/random"
)

// TestTrimKeepsWhatPoliciesDependOn: resolving trimmed objects gives what resolving whole ones gives.
func TestTrimKeepsWhatPoliciesDependOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := random.Cluster(t)
		whole := &resolve.Snapshot{Namespaces: c.Namespaces, Pods: append(c.Pods, ended()), Policies: c.Policies,
			Services: services(), EndpointSlices: endpointSlices()}
		want, wantErrs := resolve.All(whole, resolve.Options{})
		got, gotErrs := resolve.All(&resolve.Snapshot{
			Namespaces: trimmed(t, whole.Namespaces), Pods: trimmed(t, whole.Pods), Policies: trimmed(t, whole.Policies),
			Services: trimmed(t, whole.Services), EndpointSlices: trimmed(t, whole.EndpointSlices),
		}, resolve.Options{})
		if diff := cmp.Diff(want, got); diff != "" || len(wantErrs) != len(gotErrs) {
			t.Errorf("from trimmed objects (-want +got):\n%s\nerrors %v, want %v", diff, gotErrs, wantErrs)
		}
	})
}

func services() []*corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns0", Name: "web"}}
	s.Spec = corev1.ServiceSpec{ClusterIP: "10.1.0.200", Ports: []corev1.ServicePort{{Port: 80}}}
	return []*corev1.Service{s}
}

// ended is a pod that the EndpointSlice still lists.
func ended() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns0", Name: "ended", UID: "ended"},
		Status:     corev1.PodStatus{Phase: corev1.PodSucceeded, PodIP: "10.1.0.100"},
	}
}

func endpointSlices() []*discoveryv1.EndpointSlice {
	return []*discoveryv1.EndpointSlice{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns0", Name: "web-1",
			Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Port: new(int32(80))}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.1"}}, {
			Addresses: []string{"10.1.0.100"},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "ns0", Name: "ended", UID: ended().UID},
		}},
	}}
}

func trimmed[T any](t *rapid.T, list []T) []T {
	var all []T
	for _, o := range list {
		once, err := trim(o)
		twice, again := trim(once)
		if err != nil || again != nil || !cmp.Equal(once, twice) {
			t.Fatalf("trimming %T: %v, %v", o, err, again)
		}
		all = append(all, once.(T))
	}
	return all
}

// TestTrimDrops: what makes objects big, and changes often, is gone.
func TestTrimDrops(t *testing.T) {
	fields := []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	kept := metav1.ObjectMeta{Name: "a", CreationTimestamp: metav1.Unix(1, 0)}
	meta := *kept.DeepCopy()
	meta.Annotations, meta.ManagedFields = map[string]string{"big": "text"}, fields
	pod := &corev1.Pod{ObjectMeta: meta}
	pod.Spec.Containers = []corev1.Container{{Name: "main", Image: "i", Env: []corev1.EnvVar{{Name: "E"}}}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady}}
	for want, object := range map[any]any{
		&corev1.Pod{ObjectMeta: kept}:                 pod,
		&corev1.Namespace{ObjectMeta: kept}:           &corev1.Namespace{ObjectMeta: meta},
		&networkingv1.NetworkPolicy{ObjectMeta: kept}: &networkingv1.NetworkPolicy{ObjectMeta: meta},
	} {
		got, err := trim(object)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%T (-want +got), error %v:\n%s", object, err, diff)
		}
	}
	chunk, _ := trim(&v1alpha1.PolicyEndpoint{ObjectMeta: meta})
	if m := chunk.(*v1alpha1.PolicyEndpoint); m.ManagedFields != nil || m.Annotations["big"] == "" {
		t.Errorf("a PolicyEndpoint keeps %v and %v; want no managed fields, and the annotations to write back",
			m.ManagedFields, m.Annotations)
	}
}
