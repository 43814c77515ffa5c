package netns

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// idle holds clusters that nobody uses. Loading the programs of a node takes far longer than anything else does, so its
// nodes and agents go on to the next user, who must not notice: what he had not asked for would be a leak of his
// predecessor, and exactly what an agent must not let through.
type idle struct {
	mu       sync.Mutex
	sessions []*session
}

// take returns a cluster with these nodes and no others, nil if there is none.
func (i *idle) take(nodes []nodeSpec) *session {
	i.mu.Lock()
	defer i.mu.Unlock()
	fits := func(s *session) bool { return len(s.nodes) == len(nodes) && !slices.ContainsFunc(nodes, s.lacks) }
	at := slices.IndexFunc(i.sessions, fits)
	if at < 0 {
		return nil
	}
	s := i.sessions[at]
	i.sessions = slices.Delete(i.sessions, at, at+1)
	return s
}

// takeAny returns the cluster that has waited longest, nil if there is none.
func (i *idle) takeAny() *session {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.sessions) == 0 {
		return nil
	}
	s := i.sessions[0]
	i.sessions = slices.Delete(i.sessions, 0, 1)
	return s
}

// takeAll returns all clusters.
func (i *idle) takeAll() []*session {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.sessions
	i.sessions = nil
	return all
}

// put keeps a cluster and returns the one that has waited longest, if there are more than most now.
func (i *idle) put(s *session, most int) *session {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.sessions = append(i.sessions, s)
	if len(i.sessions) <= most {
		return nil
	}
	oldest := i.sessions[0]
	i.sessions = slices.Delete(i.sessions, 0, 1)
	return oldest
}

// lacks reports whether there is no node of exactly this kind.
func (s *session) lacks(n nodeSpec) bool {
	known := s.nodes[n.name]
	return known == nil || !known.spec.equal(n)
}

// lease is the use of a cluster that may have been used before. One that had an error is not used again.
type lease struct {
	backend *namespaces
	session *session // nil until the first Apply
	hosts   []backend.Host
	broken  bool
}

// Outside waits for the cluster to be chosen.
func (l *lease) Outside(_ context.Context, hosts []backend.Host) error {
	l.hosts = hosts
	return nil
}

func (l *lease) Apply(ctx context.Context, c *model.Cluster) error {
	if l.session == nil {
		if err := l.begin(ctx, c); err != nil {
			return err
		}
	}
	return l.note(l.session.Apply(ctx, c))
}

// find takes a cluster with these nodes, or starts one. A real control plane takes longer to start than nodes do, so
// any cluster with one will do.
func (b *namespaces) find(ctx context.Context, nodes []nodeSpec) (*session, error) {
	s := b.idle.take(nodes)
	if s == nil && b.opts.ControlPlane == Processes {
		s = b.idle.takeAny()
	}
	if s != nil {
		return s, nil
	}
	return b.start(ctx)
}

// begin takes a cluster for c.
func (l *lease) begin(ctx context.Context, c *model.Cluster) error {
	wanted, err := newLayout(c)
	if err != nil {
		return err
	}
	if err := l.backend.wait(ctx); err != nil {
		return err
	}
	if l.session, err = l.backend.find(ctx, wanted.nodes); err != nil {
		l.backend.pass()
		return err
	}
	return l.note(l.session.Outside(ctx, l.hosts))
}

func (l *lease) Probe(ctx context.Context, probes []backend.Probe) ([]backend.Observation, error) {
	if l.session == nil {
		return nil, errNoCluster
	}
	seen, err := l.session.Probe(ctx, probes)
	return seen, l.note(err)
}

func (l *lease) Keep(ctx context.Context, name string, p backend.Probe) (backend.Observation, error) {
	if l.session == nil {
		return backend.Observation{}, errNoCluster
	}
	seen, err := l.session.Keep(ctx, name, p)
	return seen, l.note(err)
}

func (l *lease) Exchange(ctx context.Context, names []string, timeout time.Duration) ([]backend.Passage, error) {
	if l.session == nil {
		return nil, errNoCluster
	}
	seen, err := l.session.Exchange(ctx, names, timeout)
	return seen, l.note(err)
}

var errNoCluster = errors.New("no cluster was applied")

func (l *lease) note(err error) error {
	l.broken = l.broken || err != nil
	return err
}

// Close empties the cluster and hands it back. A cluster that cannot be emptied is taken down.
func (l *lease) Close() error {
	if l.session == nil {
		return nil
	}
	defer l.backend.pass()
	switch {
	case l.broken || l.session.clear(context.Background()) != nil:
		return l.session.Close()
	}
	if oldest := l.backend.idle.put(l.session, l.backend.opts.Idle); oldest != nil {
		return oldest.Close()
	}
	return nil
}
