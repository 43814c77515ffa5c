package enforce

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model/flow"
)

// policy is what one PolicyEndpoint says, or all those with one policyRef: whatever part of it selects a pod, all its rules
// apply.
type policy struct {
	namespace, name string
	number          uint64 // among the policies of a Program
	isolates        [2]bool
	broken          [2]error // a direction in which something cannot be read
	selected        map[podAddr]bool
	rules           [2][]Rule
	conditions      []Condition
}

// podAddr is a pod as a PolicyEndpoint names it.
type podAddr struct {
	namespace, name string
	addr            netip.Addr
}

// Memory keeps what PolicyEndpoints say from one Build to the next, which then reads only the new ones: they are told apart by
// their address, so an object must not change once it was given. The zero Memory is empty; a nil one keeps nothing. Not for use by
// several Builds at a time.
type Memory struct {
	read map[*v1alpha1.PolicyEndpoint]*policy
}

// endpoints reads objects, in their order, and forgets all others.
func (m *Memory) endpoints(list []*v1alpha1.PolicyEndpoint) []*policy {
	if m == nil {
		m = &Memory{}
	}
	policies, read := make([]*policy, 0, len(list)), make(map[*v1alpha1.PolicyEndpoint]*policy, len(list))
	for _, pe := range list {
		p := m.read[pe]
		if p == nil {
			p = readEndpoint(pe)
		}
		policies, read[pe] = append(policies, p), p
	}
	m.read = read
	return policies
}

// readPolicies groups PolicyEndpoints by policyRef and reads them. The result is sorted by namespace and name.
func readPolicies(endpoints []*v1alpha1.PolicyEndpoint, memory *Memory) (order []*policy, conditions []Condition) {
	endpoints = slices.Clone(endpoints)
	slices.SortFunc(endpoints, compareEndpoints)
	policies, peers := map[[2]string]*policy{}, map[digest]*Peers{}
	for _, part := range memory.endpoints(endpoints) {
		key := [2]string{part.namespace, part.name}
		p := policies[key]
		if p == nil {
			p = newPolicy(part.namespace, part.name)
			policies[key], order = p, append(order, p)
		}
		p.join(part, peers)
		conditions = append(conditions, part.conditions...)
	}
	return order, conditions
}

func newPolicy(namespace, name string) *policy {
	return &policy{namespace: namespace, name: name, selected: map[podAddr]bool{}}
}

// join adds what another part of the policy says, whose Peers become those of all policies that are equal.
func (p *policy) join(part *policy, all map[digest]*Peers) {
	maps.Copy(p.selected, part.selected)
	for dir := range p.rules {
		p.isolates[dir] = p.isolates[dir] || part.isolates[dir]
		p.broken[dir] = errors.Join(p.broken[dir], part.broken[dir])
		for _, rule := range part.rules[dir] {
			if have := all[rule.Peers.id]; have != nil {
				rule.Peers = have
			}
			all[rule.Peers.id] = rule.Peers
			p.rules[dir] = append(p.rules[dir], rule)
		}
	}
}

func compareEndpoints(a, b *v1alpha1.PolicyEndpoint) int {
	for _, c := range [][2]string{
		{a.Spec.PolicyRef.Namespace, b.Spec.PolicyRef.Namespace}, {a.Spec.PolicyRef.Name, b.Spec.PolicyRef.Name},
		{a.Namespace, b.Namespace}, {a.Name, b.Name},
	} {
		if c[0] != c[1] {
			if c[0] < c[1] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// errForeign says that an object speaks for another namespace than its own.
var errForeign = errors.New("policyRef names another namespace than the object's own")

func readEndpoint(pe *v1alpha1.PolicyEndpoint) *policy {
	p := newPolicy(pe.Namespace, pe.Spec.PolicyRef.Name)
	foreign := pe.Spec.PolicyRef.Namespace != pe.Namespace
	if foreign {
		// Its rules count for nothing; the pods that it selects in its own namespace are closed, under a name that no
		// policy can have.
		p.name = "!" + pe.Name
	}
	errs := []error{p.isolate(pe.Spec.PodIsolation), p.selectPods(pe.Spec.PodSelectorEndpoints)}
	if foreign {
		p.broken = [2]error{errForeign, errForeign}
		errs = append(errs, errForeign)
	} else {
		errs = append(errs, p.readRules(pe, flow.Egress, pe.Spec.Egress), p.readRules(pe, flow.Ingress, pe.Spec.Ingress))
	}
	if err := errors.Join(errs...); err != nil {
		p.conditions = append(p.conditions, Condition{Object: pe.Namespace + "/" + pe.Name, Message: err.Error()})
	}
	return p
}

// isolate reads podIsolation. A type that is not known closes both directions.
func (p *policy) isolate(types []networkingv1.PolicyType) error {
	for _, t := range types {
		switch t {
		case networkingv1.PolicyTypeEgress:
			p.isolates[flow.Egress] = true
		case networkingv1.PolicyTypeIngress:
			p.isolates[flow.Ingress] = true
		default:
			err := fmt.Errorf("podIsolation: unknown policy type %q", t)
			p.isolates, p.broken = [2]bool{true, true}, [2]error{err, err}
			return err
		}
	}
	return nil
}

// selectPods notes the pods by namespace, name and address, and by no address where that cannot be read: such a pod is
// closed. Those of another namespace, which no policy can select, and those on the host network are none.
func (p *policy) selectPods(pods []v1alpha1.PodEndpoint) error {
	var errs []error
	for _, pod := range pods {
		a, err := netip.ParseAddr(string(pod.PodIP))
		switch {
		case pod.Namespace != p.namespace:
			errs = append(errs, fmt.Errorf("podSelectorEndpoints: pod %s/%s is not in the policy's namespace %s",
				pod.Namespace, pod.Name, p.namespace))
		case err != nil:
			errs = append(errs, fmt.Errorf("podSelectorEndpoints: pod %s/%s: %w", pod.Namespace, pod.Name, err))
			p.selected[podAddr{pod.Namespace, pod.Name, netip.Addr{}}] = true
		case pod.PodIP != pod.HostIP:
			p.selected[podAddr{pod.Namespace, pod.Name, a.Unmap()}] = true
		}
	}
	return errors.Join(errs...)
}

// readRules turns the entries of one direction into rules: entries of the same rule of the policy with the same ports
// are one rule. An entry that cannot be read opens nothing, and its error closes the direction.
func (p *policy) readRules(pe *v1alpha1.PolicyEndpoint, dir flow.Direction, list []v1alpha1.EndpointInfo) error {
	indexes, err := ruleIndexes(pe, dir, len(list))
	errs := []error{err}
	type key struct {
		index int
		ports string
	}
	blocks, allowed := map[key][]Block{}, map[key]*Ports{}
	var order []key
	var ports portsReader
	for i, e := range list {
		if e.DomainName != "" && e.CIDR == "" {
			p.conditions = append(p.conditions, Condition{pe.Namespace + "/" + pe.Name,
				fmt.Sprintf("%s: domain name %q allows nothing: names are not resolved here", dir, e.DomainName)})
			continue
		}
		b, blockErr := readBlock(e)
		portsErr := ports.read(e.Ports)
		if err := errors.Join(blockErr, portsErr); err != nil {
			errs = append(errs, fmt.Errorf("entry %d: %w", i, err))
			continue
		}
		k := key{indexes[i], ports.text}
		if allowed[k] == nil {
			allowed[k], order = ports.ports, append(order, k)
		}
		blocks[k] = append(blocks[k], b)
	}
	for _, k := range order {
		origin := Origin{pe.Spec.PolicyRef.Namespace, v1alpha1.PolicyName(pe), dir, k.index}
		p.rules[dir] = append(p.rules[dir], Rule{Origin: origin, Peers: newPeers(blocks[k]), Ports: allowed[k]})
	}
	if err = errors.Join(errs...); err == nil {
		return nil
	}
	p.broken[dir] = errors.Join(p.broken[dir], err)
	return fmt.Errorf("%s: %w", dir, err)
}

// ruleIndexes returns for each entry the index of the rule it came from, -1 where the object does not tell.
func ruleIndexes(pe *v1alpha1.PolicyEndpoint, dir flow.Direction, n int) ([]int, error) {
	key := v1alpha1.EgressRulesAnnotation
	if dir == flow.Ingress {
		key = v1alpha1.IngressRulesAnnotation
	}
	text, ok := pe.Annotations[key]
	if ok {
		indexes, err := v1alpha1.DecodeRules(text, n)
		if err == nil {
			return indexes, nil
		}
		return slices.Repeat([]int{-1}, n), fmt.Errorf("annotation %s: %w", key, err)
	}
	return slices.Repeat([]int{-1}, n), nil
}

// readBlock reads the address or prefix of an entry and its exceptions. Host bits are masked: old objects have them.
func readBlock(e v1alpha1.EndpointInfo) (Block, error) {
	p, err := readPrefix(e.CIDR)
	if err != nil {
		return Block{}, fmt.Errorf("cidr: %w", err)
	}
	var except []netip.Prefix
	for _, text := range e.Except {
		x, err := readPrefix(text)
		if err != nil {
			return Block{}, fmt.Errorf("except: %w", err)
		}
		except = append(except, x)
	}
	return Block{p, disjoint(except)}, nil
}

// readPrefix reads "10.0.0.1" as a prefix of one address and masks "10.0.0.5/8" to 10.0.0.0/8.
func readPrefix(text v1alpha1.NetworkAddress) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(string(text))
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a prefix", text)
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is an IPv4-mapped prefix: no packet carries such an address", text)
	}
	return p.Masked(), nil
}

// disjoint sorts prefixes and drops those that lie in another one.
func disjoint(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, comparePrefix)
	var out []netip.Prefix
	for _, p := range list {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

// portsReader reads the ports of one entry after another: most are those of the one before.
type portsReader struct {
	list  []v1alpha1.Port
	ports *Ports
	text  string
}

func (r *portsReader) read(list []v1alpha1.Port) error {
	if r.ports != nil && slices.EqualFunc(r.list, list, samePort) {
		return nil
	}
	r.ports = nil
	ports, err := readPorts(list)
	if err == nil {
		*r = portsReader{list, ports, ports.String()}
	}
	return err
}

func samePort(a, b v1alpha1.Port) bool {
	return same(a.Protocol, b.Protocol) && same(a.Port, b.Port) && same(a.EndPort, b.EndPort)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func readPorts(list []v1alpha1.Port) (*Ports, error) {
	p := &Ports{All: len(list) == 0}
	for i, e := range list {
		if err := p.read(e); err != nil {
			return nil, fmt.Errorf("ports[%d]: %w", i, err)
		}
	}
	p.normalize()
	return p, nil
}

func (p *Ports) read(e v1alpha1.Port) error {
	proto := flow.TCP
	if e.Protocol != nil && *e.Protocol != corev1.ProtocolTCP {
		var err error
		if proto, err = flow.ParseProtocol(string(*e.Protocol)); err != nil {
			return err
		}
	}
	if e.Port == nil {
		if e.EndPort != nil {
			return errors.New("endPort without port")
		}
		p.add(proto, 0, 65535)
		return nil
	}
	first, last := *e.Port, *e.Port
	if e.EndPort != nil {
		last = *e.EndPort
	}
	if first < 1 || last > 65535 || last < first {
		return fmt.Errorf("%d to %d is no range of ports", first, last)
	}
	p.add(proto, uint16(first), uint16(last))
	return nil
}
