package core

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// endpoint shortens the type's name.
type endpoint = v1alpha1.PolicyEndpoint

// maxSettles bounds how long an entry that disappeared stays in force while its policy keeps changing, in settle times.
const maxSettles = 10

// group are the PolicyEndpoints of one policy.
//
// Where they say which of them belong together, the last set that was complete is in force. Where they do not, all are
// in force as they come; but an entry that disappears from one may be about to appear in another, so it stays in force
// beside them until no object of the policy has changed for a while.
//
// A set that stays incomplete for longer than the grace period closes the pods that it names and that nothing in force
// does, since nobody knows yet what they may do.
type group struct {
	objects map[string]*endpoint // by name, as seen last
	inForce []*endpoint          // sorted by name
	kept    []kept               // unmarked: what disappeared, oldest first
	losses  int                  // how often something did
	partial time.Time            // since when the set is incomplete; zero if it is not
	overdue bool                 // incomplete for longer than the grace period
	closed  []*endpoint          // overdue: the pods that nothing in force names, without rules, under a name of its own
	marked  bool                 // the objects said which belong together
}

// kept is what disappeared at one time, with what applied to it or what it applied to.
type kept struct {
	objects []*endpoint // under a name of its own
	at, to  time.Time   // since when, and when it is dropped unless something changes before
}

// timing are the durations of Config that a group needs.
type timing struct{ settle, grace time.Duration }

// empty says that nothing is left of the policy.
func (g *group) empty() bool { return len(g.objects) == 0 && len(g.kept) == 0 }

// local says whether the policy selects a pod of this node, as far as it is in force.
func (g *group) local() bool {
	return slices.ContainsFunc(g.enforced(), func(o *endpoint) bool { return len(o.Spec.PodSelectorEndpoints) > 0 })
}

// enforced are the objects in force.
func (g *group) enforced() []*endpoint {
	if len(g.kept) == 0 && len(g.closed) == 0 {
		return g.inForce
	}
	all := slices.Concat(g.inForce, g.closed)
	for _, k := range g.kept {
		all = append(all, k.objects...)
	}
	return all
}

// waiting says whether the set is incomplete, and may still become complete soon.
func (g *group) waiting() bool { return !g.partial.IsZero() && !g.overdue }

// awaits says whether the set may still become complete soon, and selects a pod that nothing in force names.
func (g *group) awaits(pod *Pod) bool {
	return g.waiting() && selects(maps.Values(g.objects), pod) && !selects(slices.Values(g.enforced()), pod)
}

// selects says whether objects name a pod. Where its addresses are not known, its name decides.
func selects(objects iter.Seq[*endpoint], pod *Pod) bool {
	for o := range objects {
		for _, p := range o.Spec.PodSelectorEndpoints {
			addr, _ := netip.ParseAddr(string(p.PodIP)) // the zero address, which is any, where it cannot be read
			if len(pod.Addrs) == 0 {
				addr = netip.Addr{}
			}
			if pod.is(Name{p.Namespace, p.Name}, addr.Unmap()) {
				return true
			}
		}
	}
	return false
}

// update works out what is in force after an object of the group changed.
func (g *group) update(now time.Time, t timing) {
	objects := make([]*endpoint, 0, len(g.objects))
	for _, name := range slices.Sorted(maps.Keys(g.objects)) {
		objects = append(objects, g.objects[name])
	}
	completeness := v1alpha1.CompletenessOf(objects)
	if len(objects) > 0 {
		g.marked = completeness != v1alpha1.Unmarked
	}
	if completeness == v1alpha1.Partial {
		g.wait(now)
		return
	}
	if !g.marked {
		g.keep(objects, now, t)
	}
	g.inForce, g.partial, g.overdue, g.closed = objects, time.Time{}, false, nil
}

// wait leaves in force what is, until the set is complete.
func (g *group) wait(now time.Time) {
	if g.partial.IsZero() {
		g.partial = now
	}
	if g.overdue {
		g.giveUp()
	}
}

// giveUp waits no longer: the pods that are known to be selected, and that nothing complete in force names, close.
func (g *group) giveUp() {
	g.overdue, g.closed = true, nil
	known := map[v1alpha1.PodEndpoint]bool{}
	for _, o := range g.inForce {
		for _, pod := range o.Spec.PodSelectorEndpoints {
			known[pod] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.objects)) {
		o := *g.objects[name]
		o.Spec.PolicyRef.Name += ":closed"
		o.Annotations = map[string]string{v1alpha1.PolicyAnnotation: v1alpha1.PolicyName(g.objects[name])}
		o.Spec.Ingress, o.Spec.Egress = nil, nil
		o.Spec.PodSelectorEndpoints = slices.DeleteFunc(slices.Clone(o.Spec.PodSelectorEndpoints),
			func(pod v1alpha1.PodEndpoint) bool { return known[pod] })
		g.closed = append(g.closed, &o)
	}
}

// keep remembers what is in force and missing from objects, also if something else is kept already.
func (g *group) keep(objects []*endpoint, now time.Time, t timing) {
	if lost := missing(g.inForce, objects); len(lost) > 0 {
		g.losses++
		for _, o := range lost {
			o.Spec.PolicyRef.Name += fmt.Sprintf(":kept%d", g.losses)
		}
		g.kept = append(g.kept, kept{objects: lost, at: now})
	}
	for i := range g.kept {
		g.kept[i].to = earlier(now.Add(t.settle), g.kept[i].at.Add(maxSettles*t.settle))
	}
}

// due lets time pass, and returns whether what is in force may have changed.
func (g *group) due(now time.Time, t timing) bool {
	before := len(g.kept)
	g.kept = slices.DeleteFunc(g.kept, func(k kept) bool { return !now.Before(k.to) })
	changed := len(g.kept) < before
	if g.waiting() && !now.Before(g.partial.Add(t.grace)) {
		g.giveUp()
		changed = true
	}
	return changed
}

// next is when due has something to do, zero for never.
func (g *group) next(t timing) time.Time {
	var at time.Time
	for _, k := range g.kept {
		at = earlier(at, k.to)
	}
	if g.waiting() {
		at = earlier(at, g.partial.Add(t.grace))
	}
	return at
}

// earlier returns the earlier of two times, of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// missing returns what old objects say and new ones do not, as copies of the old ones: pods that are missing keep all
// rules of old, rules that are missing keep all its pods. It is empty if nothing is missing.
func missing(old, new []*endpoint) []*endpoint {
	said := says(new)
	var lost []*endpoint
	var pods, rules bool // some are missing
	for _, o := range old {
		l := *o
		l.Spec.PodSelectorEndpoints = unsaid(said, o.Spec.PodSelectorEndpoints, podText)
		l.Spec.Ingress = unsaid(said, o.Spec.Ingress, ingressText)
		l.Spec.Egress = unsaid(said, o.Spec.Egress, egressText)
		all := len(unsaid(said, o.Spec.PodIsolation, isolationText)) > 0
		pods = pods || all || len(l.Spec.PodSelectorEndpoints) > 0
		rules = rules || all || len(l.Spec.Ingress)+len(l.Spec.Egress) > 0
		lost = append(lost, &l)
	}
	if !pods && !rules {
		return nil
	}
	for i, o := range old {
		if rules {
			lost[i].Spec.PodSelectorEndpoints = o.Spec.PodSelectorEndpoints
		}
		if pods || len(o.Annotations) > 0 { // they count the rules
			lost[i].Spec.Ingress, lost[i].Spec.Egress = o.Spec.Ingress, o.Spec.Egress
		}
	}
	return lost
}

// says are the entries of objects, each in words that no other entry has.
func says(objects []*endpoint) map[string]bool {
	said := map[string]bool{}
	for _, o := range objects {
		say(said, o.Spec.PodIsolation, isolationText)
		say(said, o.Spec.PodSelectorEndpoints, podText)
		say(said, o.Spec.Ingress, ingressText)
		say(said, o.Spec.Egress, egressText)
	}
	return said
}

func say[T any](said map[string]bool, list []T, text func(T) string) {
	for _, x := range list {
		said[text(x)] = true
	}
}

func unsaid[T any](said map[string]bool, list []T, text func(T) string) (left []T) {
	for _, x := range list {
		if !said[text(x)] {
			left = append(left, x)
		}
	}
	return left
}

func isolationText(t networkingv1.PolicyType) string { return "isolates " + string(t) }

func podText(p v1alpha1.PodEndpoint) string {
	return fmt.Sprintf("pod %q %q %q", p.Namespace, p.Name, p.PodIP)
}

func ingressText(e v1alpha1.EndpointInfo) string { return "ingress " + entryText(e) }

func egressText(e v1alpha1.EndpointInfo) string { return "egress " + entryText(e) }

func entryText(e v1alpha1.EndpointInfo) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q", e.CIDR, e.Except, e.DomainName)
	for _, p := range e.Ports {
		fmt.Fprintf(&b, " %s/%s-%s", text(p.Protocol), text(p.Port), text(p.EndPort))
	}
	return b.String()
}

func text[T any](p *T) string {
	if p == nil {
		return ""
	}
	return fmt.Sprint(*p)
}
