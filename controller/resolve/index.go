package resolve

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Index knows the objects that PolicyEndpoints depend on, and keeps up with them one by one. Each Set and Delete
// returns the policies that are to be resolved anew because of it, sorted, and costs what the object matches and not
// how many policies there are. What an Index says depends on the objects it has, never on the order in which they came,
// but for pods that it saw go while an EndpointSlice still lists them.
//
// Objects are never modified, but must not be modified by the caller afterwards either. An Index must not be used from
// several goroutines at once.
type Index struct {
	namespaces map[string]*namespace
	pods       map[types.NamespacedName]*pod // that can be peers or subjects
	byAddr     map[netip.Addr][]*pod
	hosts      map[string]int // addresses of nodes, and how many addresses of pods there are on each
	departed   departures
	declaring  map[portName][]*pod // sorted by namespace and name

	scopes     map[string]*scope // by selector of namespaces
	scopeTable *selectorTable[*scope]

	policies     map[types.NamespacedName]*parsed
	namedInBlock map[portName]map[types.NamespacedName]bool // policies with egress rules of named ports and ipBlocks
	blocks       blockTable                                 // ipBlocks of egress rules

	services *serviceTable

	asked uint64
}

// New returns an empty Index.
func New() *Index {
	x := &Index{
		namespaces:   map[string]*namespace{},
		pods:         map[types.NamespacedName]*pod{},
		byAddr:       map[netip.Addr][]*pod{},
		hosts:        map[string]int{},
		departed:     newDepartures(),
		declaring:    map[portName][]*pod{},
		scopes:       map[string]*scope{},
		policies:     map[types.NamespacedName]*parsed{},
		namedInBlock: map[portName]map[types.NamespacedName]bool{},
		blocks:       newBlockTable(),
		services:     newServiceTable(),
	}
	x.scopeTable = newSelectorTable[*scope](&x.asked)
	return x
}

// NewIndex takes in s, but not its policies. The errors name addresses that could not be understood and are ignored.
func NewIndex(s *Snapshot) (*Index, []error) {
	x := New()
	var errs, problems []error
	for _, n := range s.Namespaces {
		x.SetNamespace(n)
	}
	for _, p := range slices.SortedFunc(slices.Values(s.Pods), byName[*corev1.Pod]) {
		_, err := x.SetPod(p)
		errs = append(errs, err)
	}
	for _, o := range slices.SortedFunc(slices.Values(s.Services), byName[*corev1.Service]) {
		_, err := x.SetService(o)
		problems = append(problems, err)
	}
	for _, o := range slices.SortedFunc(slices.Values(s.EndpointSlices), byName[*discoveryv1.EndpointSlice]) {
		_, err := x.SetEndpointSlice(o)
		problems = append(problems, err)
	}
	return x, slices.DeleteFunc(append(errs, problems...), func(err error) bool { return err == nil })
}

// SelectorsAsked returns how many selectors have been compared with the labels of an object because of an event: a
// measure of the work that events cause.
func (x *Index) SelectorsAsked() uint64 { return x.asked }

// named is what all objects have.
type named interface {
	GetNamespace() string
	GetName() string
	GetUID() types.UID
}

func byName[T named](a, b T) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()),
		cmp.Compare(a.GetUID(), b.GetUID()))
}

// touchedSet collects policies that are to be resolved anew.
type touchedSet map[types.NamespacedName]bool

// usersOf adds the policies that use s, if changed.
func (t touchedSet) usersOf(s *selection, changed bool) {
	if !changed {
		return
	}
	for key := range s.users {
		t[key] = true
	}
}

// through applies change to every selection of sc and adds the users of those that it changes.
func (t touchedSet) through(sc *scope, change func(*selection) bool) {
	for _, s := range sc.selections {
		t.usersOf(s, change(s))
	}
}

func (t touchedSet) sorted() []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(t), compareKeys)
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
