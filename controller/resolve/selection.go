package resolve

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// selection is the pods that a pod selector matches in a scope. Policies that select alike share one, and it is kept up
// to date pod by pod, so that resolving a policy costs what it selects and not what there is.
type selection struct {
	scope    *scope
	selector labels.Selector
	places   []bucket
	pods     []*pod // sorted by namespace and name
	users    map[types.NamespacedName]*parsed
}

// scope is a set of namespaces: those that a selector matches or, where that is nil, one by its name.
type scope struct {
	name       string          // of the one namespace
	selector   labels.Selector // of namespaces
	places     []bucket
	namespaces map[string]*namespace
	selections map[string]*selection // by selector
	table      *selectorTable[*selection]
}

// selection returns the pods of sc that s matches, and computes them if no policy asked before.
func (x *Index) selection(sc *scope, s labels.Selector) *selection {
	key := s.String()
	if known := sc.selections[key]; known != nil {
		return known
	}
	made := &selection{scope: sc, selector: s, users: map[types.NamespacedName]*parsed{}}
	made.places = sc.table.add(s, made)
	sc.selections[key] = made
	for _, n := range sc.namespaces {
		made.join(n)
	}
	return made
}

// join adds the pods of n that are selected, and reports whether there are any.
func (s *selection) join(n *namespace) bool {
	found := slices.DeleteFunc(slices.Clone(n.pods), func(p *pod) bool { return !s.selector.Matches(p.labels) })
	for _, p := range found {
		p.selections = append(p.selections, s)
	}
	byNamespace := func(p *pod, name string) int { return cmp.Compare(p.namespace, name) }
	at, _ := slices.BinarySearchFunc(s.pods, n.name, byNamespace)
	s.pods = slices.Insert(s.pods, at, found...)
	return len(found) > 0
}

// leave takes out the pods of n, and reports whether there are any.
func (s *selection) leave(n *namespace) bool {
	before := len(s.pods)
	s.pods = slices.DeleteFunc(s.pods, func(p *pod) bool { return p.namespace == n.name })
	if len(s.pods) == before {
		return false
	}
	for _, p := range n.pods {
		p.selections = slices.DeleteFunc(p.selections, func(o *selection) bool { return o == s })
	}
	return true
}

// release forgets s, and its scope, if no policy uses it any more. It may be called twice.
func (x *Index) release(s *selection) {
	sc, key := s.scope, s.selector.String()
	if len(s.users) > 0 || sc.selections[key] != s {
		return
	}
	for _, p := range s.pods {
		p.selections = slices.DeleteFunc(p.selections, func(o *selection) bool { return o == s })
	}
	sc.table.remove(s.places, s)
	delete(sc.selections, key)
	if len(sc.selections) == 0 {
		x.removeScope(sc)
	}
}

// scopeOf returns the scope of one namespace.
func (x *Index) scopeOf(name string) *scope {
	n := x.namespaceOf(name)
	if n.own == nil {
		n.own = x.newScope()
		n.own.name = name
		n.own.namespaces[name] = n
	}
	return n.own
}

// scopeMatching returns the scope of the namespaces that s matches.
func (x *Index) scopeMatching(s labels.Selector) *scope {
	key := s.String()
	if known := x.scopes[key]; known != nil {
		return known
	}
	made := x.newScope()
	made.selector = s
	made.places = x.scopeTable.add(s, made)
	x.scopes[key] = made
	for _, n := range x.namespaces {
		if s.Matches(n.labels) {
			made.namespaces[n.name], n.scopes[made] = n, true
		}
	}
	return made
}

func (x *Index) newScope() *scope {
	return &scope{
		namespaces: map[string]*namespace{},
		selections: map[string]*selection{},
		table:      newSelectorTable[*selection](&x.asked),
	}
}

func (x *Index) removeScope(sc *scope) {
	if sc.selector == nil {
		n := x.namespaces[sc.name]
		n.own = nil
		x.tidy(n)
		return
	}
	x.scopeTable.remove(sc.places, sc)
	delete(x.scopes, sc.selector.String())
	for _, n := range sc.namespaces {
		delete(n.scopes, sc)
	}
}
