package flowlog

import (
	"net/netip"
	"slices"
	"sync"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

// remembered is how many epochs a Tables knows: a denial is read a moment after it was decided, and perhaps after the next
// change of a policy.
const remembered = 16

// name is the namespace and name of an object.
type name struct{ namespace, name string }

// tables say who is who in an epoch.
type tables struct {
	in       enforce.Input
	pods     map[uint32]name // by interface
	addrs    map[netip.Addr]name
	policies [2]map[name][]string // that isolate a pod, by flow.Direction
}

// Tables say what the kernel enforced in the latest epochs. Its methods may be called from several goroutines.
type Tables struct {
	mu     sync.Mutex
	epochs map[uint32]*tables
	order  []uint32 // the latest last
}

// NewTables knows no epoch.
func NewTables() *Tables { return &Tables{epochs: map[uint32]*tables{}} }

// Enforced notes what is in force in an epoch. The input must not be modified afterwards.
func (t *Tables) Enforced(epoch uint32, in enforce.Input) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = append(slices.DeleteFunc(t.order, func(e uint32) bool { return e == epoch }), epoch)
	t.epochs[epoch] = &tables{in: in}
	if len(t.order) > remembered {
		delete(t.epochs, t.order[0])
		t.order = t.order[1:]
	}
}

// at returns the tables of an epoch, or, with known false, the latest ones.
func (t *Tables) at(epoch uint32) (found *tables, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, known = t.epochs[epoch]
	if !known && len(t.order) > 0 {
		found = t.epochs[t.order[len(t.order)-1]]
	}
	if found == nil {
		return &tables{}, false
	}
	found.index()
	return found, known
}

// index prepares for look-ups, when the first one comes.
func (t *tables) index() {
	if t.pods != nil {
		return
	}
	t.pods, t.addrs = map[uint32]name{}, map[netip.Addr]name{}
	for _, p := range t.in.Pods {
		if p.Name == "" {
			continue
		}
		pod := name{p.Namespace, p.Name}
		t.pods[p.Ifindex] = pod
		for _, a := range p.Addrs {
			t.addrs[a] = pod
		}
	}
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		t.policies[dir] = isolating(t.in.Endpoints, dir)
	}
	t.in = enforce.Input{}
}

// isolating lists the policies that isolate each pod in a direction, sorted. The pods of a policy may be spread over several
// PolicyEndpoints, each of which says what it isolates.
func isolating(endpoints []*v1alpha1.PolicyEndpoint, dir flow.Direction) map[name][]string {
	kind := networkingv1.PolicyTypeEgress
	if dir == flow.Ingress {
		kind = networkingv1.PolicyTypeIngress
	}
	all := map[name][]string{}
	for _, e := range endpoints {
		if !slices.Contains(e.Spec.PodIsolation, kind) {
			continue
		}
		policy := e.Spec.PolicyRef.Namespace + "/" + v1alpha1.PolicyName(e)
		for _, p := range e.Spec.PodSelectorEndpoints {
			pod := name{p.Namespace, p.Name}
			all[pod] = append(all[pod], policy)
		}
	}
	for pod, policies := range all {
		slices.Sort(policies)
		all[pod] = slices.Compact(policies)
	}
	return all
}
