package enforce_test

import (
	"math/rand/v2"
	"reflect"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
)

// TestMemoryChangesNothing: whatever objects come and go, what is built with a memory is what is built without.
func TestMemoryChangesNothing(t *testing.T) {
	foreign, sideways := endpoint("a", "0.0.0.0/0"), endpoint("b", "10.0.0.0/8 TCP/80")
	foreign.Spec.PolicyRef.Namespace = "other"
	sideways.Spec.PodIsolation = []networkingv1.PolicyType{"Sideways"}
	named := endpoint("c")
	named.Spec.Ingress = []v1alpha1.EndpointInfo{{DomainName: "example.org"}}
	pool := []*v1alpha1.PolicyEndpoint{
		foreign, sideways, named,
		endpoint("a", "10.0.0.0/8!10.1.0.0/16 TCP/80", "10.9.0.1 TCP/80 UDP/53", "10.9.0.2 TCP/80 UDP/53"),
		rulesOnly("a", "10.0.0.0/8!10.1.0.0/16 TCP/80", "fd00::/8"),
		endpoint("b", "10.9.0.1 TCP/80 UDP/53", "10.9.0.2 TCP/80 UDP/53"), // the peers of a part of policy a
		endpoint("c", "10.0.0.0/33"),
		rulesOnly("c", "10.7.0.0/16 TCP/1-9", "10.7.0.0/16 UDP/1-9", "10.7.0.0/16 UDP/1-10", "10.8.0.1 UDP"),
	}
	random := rand.New(rand.NewPCG(1, 2))
	memory := &enforce.Memory{}
	for range 200 {
		in := enforce.Input{Pods: []enforce.Pod{pod()}}
		for _, i := range random.Perm(len(pool)) {
			if random.IntN(3) > 0 {
				in.Endpoints = append(in.Endpoints, pool[i])
			}
		}
		want, err := enforce.Build(in, bpf.Capacity{})
		if err != nil {
			t.Fatal(err)
		}
		in.Memory = memory
		got, err := enforce.Build(in, bpf.Capacity{})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Image, want.Image) || !reflect.DeepEqual(got.Conditions, want.Conditions) {
			t.Fatalf("with %d objects:\n%+v\n%+v, want\n%+v\n%+v", len(in.Endpoints), got.Image, got.Conditions, want.Image, want.Conditions)
		}
	}
}

// TestMemoryIsOfTheLastBuild: an object is read once for as long as each Build has it, and anew after one that had not.
func TestMemoryIsOfTheLastBuild(t *testing.T) {
	object, memory := endpoint("a", "10.0.0.0/8"), &enforce.Memory{}
	allows := func(objects ...*v1alpha1.PolicyEndpoint) bool {
		t.Helper()
		r, err := enforce.Build(enforce.Input{Pods: []enforce.Pod{pod()}, Endpoints: objects, Memory: memory}, bpf.Capacity{})
		if err != nil {
			t.Fatal(err)
		}
		return reason(t, r.Image, 1, "10.1.0.2 TCP/80").Reason == bpf.ReasonPolicy
	}
	if !allows(object) {
		t.Fatal("the policy allows nothing")
	}
	object.Spec.Ingress = nil // only here: objects do not change
	if !allows(object) {
		t.Error("the object was read again")
	}
	if allows(object.DeepCopy()) {
		t.Error("a new object was not read")
	}
	if allows(object) {
		t.Error("an object is remembered from before the last Build")
	}
}
