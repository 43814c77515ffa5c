package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// servicePrefix tells a Service from a pod of the same name; no name of the API holds a colon.
const servicePrefix = "service:"

// resolver turns the expectations of one step into cells of its cluster.
type resolver struct {
	scenario *Scenario
	ends     map[string][]netip.Addr // by the name that expectations use; names of Services behind servicePrefix
	idle     map[string]string       // pods that cannot be asked, and why
	ports    map[string][]string     // of Services
	exits    map[string]bool         // Services that have node ports
	said     map[Expectation]*strict.Node
	cells    []Expectation
	errs     strict.Errors
}

func resolveAll(s *Scenario, expect []Expect, c *model.Cluster) ([]Expectation, strict.Errors) {
	r := newResolver(s, c)
	for i := range expect {
		r.entry(&expect[i])
	}
	return r.cells, r.errs
}

func newResolver(s *Scenario, c *model.Cluster) *resolver {
	r := &resolver{
		scenario: s,
		ends:     map[string][]netip.Addr{},
		idle:     map[string]string{},
		ports:    map[string][]string{},
		exits:    map[string]bool{},
		said:     map[Expectation]*strict.Node{},
	}
	for _, n := range c.Nodes {
		r.ends["node/"+n.Name] = addrs(internalAddrs(n))
	}
	for _, h := range s.outside {
		r.ends[h.Name] = h.Addrs
	}
	for _, p := range c.Pods {
		name := p.Namespace + "/" + p.Name
		r.ends[name] = addrs(podIPs(p))
		if !hasNetwork(p) {
			r.idle[name] = string(p.Status.Phase)
		}
	}
	for _, s := range c.Services {
		name := servicePrefix + s.Namespace + "/" + s.Name
		r.ends[name] = addrs(s.Spec.ClusterIPs)
		r.exits[name] = hasNodePorts(s)
		for _, p := range s.Spec.Ports {
			r.ports[name] = append(r.ports[name], fmt.Sprintf("%s/%d", p.Protocol, p.Port))
		}
	}
	return r
}

// hasNetwork reports whether a pod can send and be called: a pending one can as soon as it has an address, since its
// init containers run then.
func hasNetwork(p *corev1.Pod) bool {
	switch p.Status.Phase {
	case corev1.PodRunning:
		return true
	case corev1.PodPending:
		return len(podIPs(p)) > 0
	}
	return false
}

func addrs(texts []string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, a)
		}
	}
	return all
}

func (r *resolver) fail(n *strict.Node, format string, args ...any) {
	r.errs = append(r.errs, n.Errorf(format, args...))
}

// entry resolves one expectation to the product of its lists. After a mistake in a list there is no product.
func (r *resolver) entry(e *Expect) {
	before := len(r.errs)
	verdict, family := r.words(e)
	from := r.names(e, "from", e.From, "")
	to := append(r.names(e, "to", e.To, ""), r.names(e, "service", e.Service, servicePrefix)...)
	ports := r.portList(e)
	switch {
	case len(e.From) == 0:
		r.fail(e.Origin.Node().At("from"), "from is missing")
	case len(e.To) > 0 == (len(e.Service) > 0):
		r.fail(e.Origin.Node(), "exactly one of to and service must be given")
	case e.Node != "":
		r.checkNode(e)
	}
	if len(r.errs) > before {
		return
	}
	cell := Expectation{Node: e.Node, Verdict: verdict, Line: e.Origin.Node().Line, Col: e.Origin.Node().Col}
	for _, cell.From = range from {
		for _, target := range to {
			if cell.From == target && len(from)+len(to) > 2 {
				continue
			}
			for _, cell.PortProto = range ports {
				r.cell(e, cell, target, family)
			}
		}
	}
}

// checkNode checks that Services can be called at a node.
func (r *resolver) checkNode(e *Expect) {
	at := e.Origin.Node().At("node")
	if len(e.Service) == 0 {
		r.fail(at, "node says at which node a service is called; call a node itself as to: node/%s", e.Node)
	}
	if r.ends["node/"+e.Node] == nil {
		r.fail(at, "node: there is no node %s at this step", e.Node)
	}
	for _, name := range e.Service {
		if !r.exits[servicePrefix+name] {
			r.fail(at, "node: Service %s has no node ports: its type is neither NodePort nor LoadBalancer", name)
		}
	}
}

func (r *resolver) words(e *Expect) (flow.Verdict, flow.Family) {
	var verdict flow.Verdict
	if err := verdict.UnmarshalText([]byte(e.Verdict)); err != nil || verdict == flow.Undefined {
		r.fail(e.Origin.Node().At("verdict"), "verdict must be allow or deny, not %q", e.Verdict)
	}
	family, err := flow.ParseFamily(e.Family)
	if err != nil {
		r.fail(e.Origin.Node().At("family"), "%s", err)
	}
	return verdict, family
}

// names checks that every name of a list is that of an end which exists at this step and can be asked.
func (r *resolver) names(e *Expect, field string, list []string, prefix string) []string {
	var names []string
	for i, name := range list {
		at := e.Origin.Node().At(item(field, i, e.Origin.Node()))
		switch _, ok := r.ends[prefix+name]; {
		case strings.Count(name, "/") != 1:
			r.fail(at, "%s: %q is not of the form namespace/name", field, name)
		case !ok:
			r.fail(at, "%s: there is no %s%s at this step", field, kindOf(name, prefix), name)
		case r.idle[prefix+name] != "":
			r.fail(at, "%s: pod %s cannot be asked, it is %s", field, name, r.idle[name])
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

// item is the path of the ith item of a field that may hold one value instead of a list.
func item(field string, i int, n *strict.Node) string {
	if v := n.Get(field); v == nil || v.Kind != strict.List {
		return field
	}
	return fmt.Sprintf("%s[%d]", field, i)
}

func kindOf(name, prefix string) string {
	switch {
	case prefix != "":
		return "Service "
	case strings.HasPrefix(name, "node/"), strings.HasPrefix(name, externalPrefix):
		return ""
	}
	return "pod "
}

func (r *resolver) portList(e *Expect) []flow.PortProto {
	if len(e.Port) == 0 {
		r.fail(e.Origin.Node().At("port"), "port is missing")
	}
	var ports []flow.PortProto
	for i, text := range e.Port {
		p, err := flow.ParsePortProto(text)
		if err != nil {
			r.fail(e.Origin.Node().At(item("port", i, e.Origin.Node())), "port: %s", err)
			continue
		}
		ports = append(ports, p)
	}
	return ports
}

// cell adds one cell per family that both ends have and the expectation means.
func (r *resolver) cell(e *Expect, cell Expectation, target string, family flow.Family) {
	name, isService := strings.CutPrefix(target, servicePrefix)
	if isService {
		cell.Service = name
	} else {
		cell.To = name
	}
	port := cell.PortProto
	if isService && !slices.Contains(r.ports[target], port.String()) {
		r.fail(e.Origin.Node().At("port"), "Service %s has no port %s, only %s", name, port,
			strings.Join(r.ports[target], ", "))
		return
	}
	found := false
	for _, f := range familiesOf(r.ends[cell.From]) {
		if (family == 0 || family == f) && r.answers(target, f) && (e.Node == "" || r.answers("node/"+e.Node, f)) {
			cell.Family, found = f, true
			r.add(e, cell)
		}
	}
	if !found && !r.scenario.lacks(family) {
		r.fail(e.Origin.Node(), "%s and %s have no address of the same family", cell.From, name)
	}
}

func (r *resolver) answers(name string, f flow.Family) bool {
	return slices.Contains(familiesOf(r.ends[name]), f)
}

// lacks reports whether f is only a family of other cases of the same file.
func (s *Scenario) lacks(f flow.Family) bool {
	return s.variant.family != "" && f != 0 && !slices.Contains(s.families, f)
}

// add refuses a cell that an earlier expectation of the step contradicts.
func (r *resolver) add(e *Expect, cell Expectation) {
	opposite := cell
	opposite.Line, opposite.Col = 0, 0
	opposite.Verdict = flow.Allow + flow.Deny - cell.Verdict
	if other := r.said[opposite]; other != nil {
		r.fail(e.Origin.Node(), "%s to %s at %s contradicts line %d",
			cell.From, cell.To+cell.Service, cell.PortProto, other.Line)
		return
	}
	same := opposite
	same.Verdict = cell.Verdict
	if r.said[same] == nil {
		r.said[same] = e.Origin.Node()
		r.cells = append(r.cells, cell)
	}
}

func familiesOf(addrs []netip.Addr) []flow.Family {
	var families []flow.Family
	for _, a := range addrs {
		if f := flow.FamilyOf(a); !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	return families
}
