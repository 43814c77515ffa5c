package netns

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/service"
)

// session is one running cluster.
type session struct {
	control control

	mu      sync.Mutex // one call at a time
	fabric  *fabric.Fabric
	pins    *pinfs.FS
	prober  *prober.Prober
	nodes   map[string]*node  // by name
	pods    map[string]*pod   // by title
	sources map[string]string // as in layout
	outside map[string]*fabric.Node
	last    []*corev1.Node // of the last cluster
	made    int            // nodes made so far: names their pins
}

// Apply compares the cluster with what runs and changes the difference.
func (s *session) Apply(ctx context.Context, c *model.Cluster) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := newLayout(c)
	if err != nil {
		return err
	}
	if err := s.remove(ctx, l); err != nil {
		return err
	}
	s.sources, s.last = l.sources, c.Nodes
	if err := s.add(l); err != nil {
		return err
	}
	if err := s.control.apply(ctx, c, s.allNodes(), s.allPods()); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	return s.serve(c)
}

// remove takes away what is not in the layout, pods before nodes.
func (s *session) remove(ctx context.Context, l *layout) error {
	var errs []error
	for _, name := range sorted(s.nodes) {
		n := s.nodes[name]
		errs = append(errs, wrap(n.spec.title(), s.removePods(ctx, l, n)))
		if !l.hasNode(n.spec) {
			errs = append(errs, wrap(n.spec.title(), s.removeNode(n)))
		}
	}
	return errors.Join(errs...)
}

func (s *session) removePods(ctx context.Context, l *layout, n *node) error {
	var errs []error
	var wires []*fabric.Pod
	for _, p := range podsOn(n, s.allPods()) {
		if l.hasPod(p.spec) && l.hasNode(n.spec) {
			continue
		}
		s.prober.Remove(p.spec.title())
		delete(s.pods, p.spec.title())
		errs = append(errs, s.control.leave(ctx, p))
		wires = append(wires, p.wire)
	}
	return errors.Join(append(errs, n.wire.RemovePods(wires))...)
}

func (s *session) removeNode(n *node) error {
	s.prober.Remove(n.spec.title())
	delete(s.nodes, n.spec.name)
	return errors.Join(s.control.drop(n), n.close(), n.wire.Remove())
}

// add makes what is missing, nodes before pods. The links of new pods stay down.
func (s *session) add(l *layout) error {
	for _, spec := range l.nodes {
		if s.nodes[spec.name] != nil {
			continue
		}
		if err := s.addNode(spec); err != nil {
			return fmt.Errorf("%s: %w", spec.title(), err)
		}
	}
	for _, spec := range l.pods {
		if s.pods[spec.title()] != nil {
			continue
		}
		if err := s.addPod(spec); err != nil {
			return fmt.Errorf("%s: %w", spec.title(), err)
		}
	}
	return nil
}

func (s *session) addNode(spec nodeSpec) error {
	s.made++
	pins, err := s.pins.Mkdir(fmt.Sprintf("node-%d", s.made))
	if err != nil {
		return err
	}
	n, err := newNode(s.fabric, spec, pins)
	if err != nil {
		return err
	}
	s.nodes[spec.name] = n
	s.prober.Add(spec.title(), n.wire.NS(), spec.addrs)
	return nil
}

func (s *session) addPod(spec podSpec) error {
	n := s.nodes[spec.node]
	wire, err := n.wire.AddPod(fabric.LinkName(spec.namespace, spec.name), spec.addrs)
	if err != nil {
		return err
	}
	s.pods[spec.title()] = &pod{spec: spec, node: n, wire: wire}
	s.prober.Add(spec.title(), wire.NS(), spec.addrs)
	return nil
}

// connect sets the links of new pods up.
func (s *session) connect() error {
	for _, title := range sorted(s.pods) {
		if err := s.pods[title].connect(); err != nil {
			return fmt.Errorf("%s: %w", title, err)
		}
	}
	return nil
}

// serve makes every node translate what nobody else there does.
func (s *session) serve(c *model.Cluster) error {
	return eachNode(s.allNodes(), func(n *node) error {
		proxy := service.Proxy{
			Node: n.spec.name, Addrs: n.spec.addrs, Pods: c.Pods, Services: c.Services, Slices: c.EndpointSlices,
		}
		return n.serve(proxy, s.control.proxies())
	})
}

// allNodes are the nodes, sorted.
func (s *session) allNodes() []*node {
	var out []*node
	for _, name := range sorted(s.nodes) {
		out = append(out, s.nodes[name])
	}
	return out
}

// allPods are the pods, sorted.
func (s *session) allPods() []*pod {
	var out []*pod
	for _, title := range sorted(s.pods) {
		out = append(out, s.pods[title])
	}
	return out
}

// podsOn are those of pods that run on a node.
func podsOn(n *node, pods []*pod) []*pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p *pod) bool { return p.node != n })
}

// Outside hangs hosts beside the nodes. Nothing filters their packets.
func (s *session) Outside(_ context.Context, hosts []backend.Host) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range hosts {
		wire, err := s.fabric.AddNode(h.Name, h.Addrs)
		if err != nil {
			return err
		}
		s.outside[h.Name] = wire
		s.prober.Add(h.Name, wire.NS(), h.Addrs)
	}
	return nil
}

// Probe translates names and Services for the prober.
func (s *session) Probe(ctx context.Context, probes []backend.Probe) ([]backend.Observation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]prober.Probe, len(probes))
	for i, p := range probes {
		var err error
		if out[i], err = s.probe(p); err != nil {
			return nil, err
		}
	}
	return s.prober.Probe(ctx, out)
}

// Keep opens a connection that stays.
func (s *session) Keep(ctx context.Context, name string, p backend.Probe) (backend.Observation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	probe, err := s.probe(p)
	if err != nil {
		return backend.Observation{}, err
	}
	return s.prober.Keep(ctx, name, probe)
}

// Exchange sends over connections that stay.
func (s *session) Exchange(
	ctx context.Context, names []string, timeout time.Duration,
) ([]backend.Passage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prober.Exchange(ctx, names, timeout)
}

func (s *session) probe(p backend.Probe) (prober.Probe, error) {
	space, ok := s.sources[p.From]
	if s.outside[p.From] != nil {
		space, ok = p.From, true
	}
	if !ok {
		return prober.Probe{}, fmt.Errorf("probe from %s: there is no such pod, node or host, or it has no network", p.From)
	}
	to := netip.AddrPortFrom(p.To.Addr().Unmap(), p.To.Port())
	return prober.Probe{
		From: space, To: to, Targets: s.targets(space, p.Protocol, to), Protocol: p.Protocol, Timeout: p.Timeout,
	}, nil
}

// targets are where a connection arrives: what the client's own node has not translated, the node it is sent to does.
func (s *session) targets(space string, proto flow.Protocol, to netip.AddrPort) []netip.AddrPort {
	if n := s.nodeOf(space); n != nil {
		if found := n.targets(proto, to); !slices.Equal(found, []netip.AddrPort{to}) {
			return found
		}
	}
	for _, n := range s.nodes {
		if slices.Contains(n.spec.addrs, to.Addr()) {
			return n.targets(proto, to)
		}
	}
	return []netip.AddrPort{to}
}

// nodeOf is the node of a namespace, which is a pod's or a node's own.
func (s *session) nodeOf(space string) *node {
	if p := s.pods[space]; p != nil {
		return p.node
	}
	for _, n := range s.nodes {
		if n.spec.title() == space {
			return n
		}
	}
	return nil
}

// clear takes everything away but the nodes.
func (s *session) clear(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	empty := &model.Cluster{Nodes: s.last}
	l, err := newLayout(empty)
	if err != nil {
		return err
	}
	if err := s.remove(ctx, l); err != nil {
		return err
	}
	s.sources = l.sources
	if err := errors.Join(s.control.clear(ctx, empty, s.allNodes()), s.serve(empty)); err != nil {
		return err
	}
	var errs []error
	for _, name := range sorted(s.outside) {
		s.prober.Remove(name)
		errs = append(errs, s.outside[name].Remove())
	}
	clear(s.outside)
	return errors.Join(errs...)
}

// Close lets go of everything. The kernel removes it in moments, faster than if it were taken apart.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prober.Close()
	var errs []error
	for _, title := range sorted(s.pods) {
		errs = append(errs, s.pods[title].wire.Release())
	}
	for _, name := range sorted(s.nodes) {
		n := s.nodes[name]
		errs = append(errs, s.control.drop(n), n.close(), n.wire.Release())
	}
	for _, name := range sorted(s.outside) {
		errs = append(errs, s.outside[name].Release())
	}
	clear(s.outside)
	clear(s.pods)
	clear(s.nodes)
	clear(s.sources)
	return errors.Join(append(errs, s.control.close(), s.fabric.Close(), s.pins.Close())...)
}

// eachNode runs f for nodes side by side and returns their errors in the order of the nodes.
func eachNode(nodes []*node, f func(*node) error) error {
	errs := make([]error, len(nodes))
	var work sync.WaitGroup
	for i, n := range nodes {
		work.Go(func() { errs[i] = wrap(n.spec.title(), f(n)) })
	}
	work.Wait()
	return errors.Join(errs...)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func wrap(title string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", title, err)
}
