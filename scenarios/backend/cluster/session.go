package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/model"
)

// session is one scenario on the cluster.
type session struct {
	backend *Backend
	facts   *facts
	prefix  string

	mu       sync.Mutex // one call at a time
	names    *names     // known from the first Apply on
	have     map[key]*record
	now      *model.Cluster     // the scenario's, as last applied
	settled  map[key]string     // pods as they were when they last had been waited for
	changed  time.Time          // when the last change was about to be written
	view     *model.Cluster     // the same as the API server returns it, under the scenario's names; nil where a change failed
	links    map[string]*link   // to the probes of pods, by the scenario's name
	lines    map[string]*line   // kept connections
	linkMu   sync.Mutex         // guards links and open
	outside  []outsider         // hosts outside, which do not change
	external addresses          // theirs
	hostPort bool               // it is this session that uses ports of nodes
	open     map[listening]bool // where somebody listens by now
	spares   map[key]*sparePod  // pods of former scenarios in the session's namespaces
}

func newSession(b *Backend, f *facts, prefix string) *session {
	return &session{
		backend: b, facts: f, prefix: prefix, have: map[key]*record{}, links: map[string]*link{},
		lines: map[string]*line{}, open: map[listening]bool{}, external: addresses{}, spares: map[key]*sparePod{},
	}
}

// patience bounds how long one change may take until pods run and Services lead to them. At load 100 on two cores three
// minutes did not suffice.
const patience = 10 * time.Minute

// Apply makes the namespaces of the session hold what the scenario's cluster holds, and returns when pods are as they
// should be and Services lead to them. Whether policies are enforced by then cannot be known.
func (s *session) Apply(ctx context.Context, c *model.Cluster) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.begin(ctx, c); err != nil {
		return err
	}
	s.view = nil
	if err := s.meet(ctx, c); err != nil {
		return err
	}
	wanted := s.records(c)
	if err := s.remove(ctx, wanted); err != nil {
		return err
	}
	for _, kind := range []string{kindNamespace, kindService, kindPolicy, kindPod} {
		if err := s.put(ctx, kind, wanted); err != nil {
			return err
		}
	}
	if err := s.settlePods(ctx); err != nil {
		return err
	}
	known, err := s.addresses(ctx, c)
	if err != nil {
		return err
	}
	s.addressed(c, known, wanted)
	for _, kind := range []string{kindSlice, kindPolicy} {
		if err := s.put(ctx, kind, wanted); err != nil {
			return err
		}
	}
	s.now = c
	return s.look(ctx)
}

// begin gives the scenario's nodes real ones, and waits for a turn where it needs ports of nodes for itself.
func (s *session) begin(ctx context.Context, c *model.Cluster) error {
	if s.names == nil {
		nodes := map[string]string{}
		for i, n := range c.Nodes {
			if i >= len(s.facts.nodes) {
				return fmt.Errorf("the scenario has %d nodes, the cluster %d", len(c.Nodes), len(s.facts.nodes))
			}
			nodes[n.Name] = s.facts.nodes[i].Name
		}
		s.names = newNames(s.prefix, nodes)
		if err := s.adopt(ctx, c); err != nil {
			return err
		}
	}
	if s.hostPort || !usesHostPorts(c) {
		return nil
	}
	select {
	case s.backend.hostPort <- struct{}{}:
		s.hostPort = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// usesHostPorts reports whether pods want ports of their nodes, which two scenarios cannot have at once.
func usesHostPorts(c *model.Cluster) bool {
	for _, p := range c.Pods {
		for _, container := range p.Spec.Containers {
			for _, port := range container.Ports {
				if port.HostPort != 0 || p.Spec.HostNetwork {
					return true
				}
			}
		}
	}
	return false
}

// Actual returns the cluster as the API server has it, under the scenario's names, and when it was changed.
func (s *session) Actual(context.Context) (*model.Cluster, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return nil, time.Time{}, errors.New("nothing is applied")
	}
	return s.view, s.changed, nil
}

// Close deletes the namespaces of the session, which are gone a little later, but for those that later sessions can go on
// with.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	errs := []error{s.leaveSpares(ctx), each(kindPod, s.have, func(r *record) error { return s.release(ctx, r) })}
	for _, l := range s.links {
		l.close()
	}
	for _, one := range s.spares {
		one.link.close()
	}
	s.leaveOutside()
	for k := range s.have {
		if k.kind == kindNamespace {
			errs = append(errs, s.backend.endNamespace(ctx, k.name))
		}
	}
	if s.hostPort {
		errs = append(errs, s.untilPodsGone(ctx))
		<-s.backend.hostPort
	}
	return errors.Join(errs...)
}

// addresses returns what the scenario's addresses of pods, nodes and Services are in the cluster.
func (s *session) addresses(ctx context.Context, c *model.Cluster) (addresses, error) {
	known := maps.Clone(s.external)
	for _, n := range c.Nodes {
		known.pair(nodeAddrs(n), nodeAddrs(s.realNode(n.Name)))
	}
	core := s.backend.client.CoreV1()
	for _, p := range c.Pods {
		real, err := core.Pods(s.names.namespace(p.Namespace)).Get(ctx, s.names.pod(p.Namespace, p.Name), metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read pod %s/%s: %w", p.Namespace, p.Name, err)
		}
		known.pair(podAddrs(p), podAddrs(real))
	}
	for _, svc := range c.Services {
		real, err := core.Services(s.names.namespace(svc.Namespace)).Get(ctx, svc.Name, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("read Service %s/%s: %w", svc.Namespace, svc.Name, err)
		}
		known.pair(serviceAddrs(svc), serviceAddrs(real))
	}
	return known, nil
}

// realNode returns the real node of one of the scenario's.
func (s *session) realNode(name string) *corev1.Node {
	for _, n := range s.facts.nodes {
		if n.Name == s.names.node[name] {
			return n
		}
	}
	return &corev1.Node{}
}

// nodeAt returns the scenario's name of the node that has an address.
func (s *session) nodeAt(a netip.Addr) (string, bool) {
	for _, n := range s.view.Nodes {
		for _, own := range nodeAddrs(n) {
			if own == a {
				return n.Name, true
			}
		}
	}
	return "", false
}
