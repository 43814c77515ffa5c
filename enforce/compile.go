package enforce

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Compile reads the PolicyEndpoints and works out what each pod of the node is isolated by.
func Compile(in Input) *Program {
	policies, conditions := readPolicies(in.Endpoints, in.Memory)
	c := compiler{
		policies: policies,
		strict:   in.Strict,
		node:     nodeRule(in.NodeAddrs, cmp.Or(in.NodePorts, DefaultNodePorts)),
		selects:  map[podAddr][]*policy{},
		sets:     map[digest]*Set{},
		combined: map[string]*Set{},
		closedBy: map[*policy][]string{},
	}
	for i, p := range policies {
		p.number = uint64(i)
		for a := range p.selected {
			c.selects[a] = append(c.selects[a], p)
		}
	}
	prog := &Program{}
	for _, pod := range in.Pods {
		prog.Pods = append(prog.Pods, c.pod(pod))
	}
	slices.SortFunc(prog.Pods, func(a, b PodProgram) int { return cmp.Compare(a.Ifindex, b.Ifindex) })
	prog.Conditions = append(conditions, c.conditions()...)
	slices.SortFunc(prog.Conditions, func(a, b Condition) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Message, b.Message))
	})
	prog.collect()
	return prog
}

type compiler struct {
	policies []*policy
	strict   bool
	node     *Rule
	selects  map[podAddr][]*policy
	sets     map[digest]*Set
	combined map[string]*Set      // by direction and numbers of policies
	closedBy map[*policy][]string // what the broken policies closed
}

// nodeRule is the right of every pod to reach its own node, but for what is not there, as a rule of its own in each egress set. (The way
// back, from the node to its pods, is recognised by the kernel without any address.)
func nodeRule(addrs []netip.Addr, except PortRange) *Rule {
	if len(addrs) == 0 {
		return nil
	}
	var blocks []Block
	for _, a := range addrs {
		a = a.Unmap()
		blocks = append(blocks, Block{Prefix: netip.PrefixFrom(a, a.BitLen())})
	}
	return &Rule{Origin: Origin{Direction: flow.Egress, Index: -1}, Peers: newPeers(blocks), Ports: allBut(except)}
}

func (c *compiler) pod(pod Pod) PodProgram {
	p := PodProgram{Pod: pod}
	if pod.Unknown {
		return p
	}
	selected := c.selecting(pod)
	if c.strict && len(selected) == 0 && !pod.Closed {
		p.Unknown = true
		return p
	}
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		p.Sets[dir] = c.set(pod, dir, selected)
	}
	return p
}

// selecting returns the policies that select the pod by any of its addresses, or by one that cannot be read, in the order
// of all policies.
func (c *compiler) selecting(pod Pod) []*policy {
	found := slices.Clone(c.selects[podAddr{pod.Namespace, pod.Name, netip.Addr{}}])
	for _, a := range pod.Addrs {
		found = append(found, c.selects[podAddr{pod.Namespace, pod.Name, a.Unmap()}]...)
	}
	slices.SortFunc(found, func(a, b *policy) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	return slices.Compact(found)
}

// set returns the rules for a pod in one direction, nil where no policy isolates it. One rule that cannot be read closes
// the direction: what it would have said is not known, and what the others allow may rest on it.
func (c *compiler) set(pod Pod, dir flow.Direction, selected []*policy) *Set {
	var isolating []*policy
	isolated, closed := pod.Closed, pod.Closed
	for _, p := range selected {
		if !p.isolates[dir] {
			continue
		}
		isolated, isolating = true, append(isolating, p)
		if p.broken[dir] != nil || p.selected[podAddr{pod.Namespace, pod.Name, netip.Addr{}}] {
			closed = true
			c.closedBy[p] = append(c.closedBy[p], fmt.Sprintf("%s of pod %s/%s", dir, pod.Namespace, pod.Name))
		}
	}
	if !isolated {
		return nil
	}
	if closed {
		isolating = nil
	}
	return c.combine(dir, isolating)
}

// combine returns the set of the rules of policies. Pods with the same policies, which most are, cost one set.
func (c *compiler) combine(dir flow.Direction, policies []*policy) *Set {
	key := []byte{byte(dir)}
	for _, p := range policies {
		key = binary.AppendUvarint(key, p.number)
	}
	if s := c.combined[string(key)]; s != nil {
		return s
	}
	var rules []Rule
	for _, p := range policies {
		rules = append(rules, p.rules[dir]...)
	}
	if dir == flow.Egress && c.node != nil {
		rules = append(rules, *c.node)
	}
	s := newSet(dir, rules)
	if have := c.sets[s.id]; have != nil {
		s = have
	}
	c.sets[s.id], c.combined[string(key)] = s, s
	return s
}

func (c *compiler) conditions() []Condition {
	var list []Condition
	for _, p := range c.policies {
		if closed := c.closedBy[p]; len(closed) > 0 {
			list = append(list, Condition{p.namespace + "/" + p.name,
				"closed because of what cannot be read: " + strings.Join(closed, ", ")})
		}
	}
	return list
}

// collect lists the sets and peers that the pods use.
func (prog *Program) collect() {
	sets, peers := map[digest]*Set{}, map[digest]*Peers{}
	for _, pod := range prog.Pods {
		for _, s := range pod.Sets {
			if s == nil || sets[s.id] != nil {
				continue
			}
			sets[s.id] = s
			for _, r := range s.Rules {
				peers[r.Peers.id] = r.Peers
			}
		}
	}
	prog.Sets, prog.Peers = nil, nil
	for _, s := range sets {
		prog.Sets = append(prog.Sets, s)
	}
	for _, p := range peers {
		prog.Peers = append(prog.Peers, p)
	}
	slices.SortFunc(prog.Sets, func(a, b *Set) int { return a.id.compare(b.id) })
	slices.SortFunc(prog.Peers, func(a, b *Peers) int { return a.id.compare(b.id) })
}
