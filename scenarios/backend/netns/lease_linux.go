package netns

import (
	"context"
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

// take returns a cluster, nil if there is none.
func (i *idle) take() *session {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.sessions) == 0 {
		return nil
	}
	s := i.sessions[len(i.sessions)-1]
	i.sessions = i.sessions[:len(i.sessions)-1]
	return s
}

// put keeps a cluster unless there are enough, which it reports.
func (i *idle) put(s *session, most int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.sessions) >= most {
		return false
	}
	i.sessions = append(i.sessions, s)
	return true
}

// lease is the use of a cluster. One that had an error is not used again.
type lease struct {
	*session
	idle   *idle
	most   int
	broken bool
}

func (l *lease) Outside(ctx context.Context, hosts []backend.Host) error {
	return l.note(l.session.Outside(ctx, hosts))
}

func (l *lease) Apply(ctx context.Context, c *model.Cluster) error {
	return l.note(l.session.Apply(ctx, c))
}

func (l *lease) Probe(ctx context.Context, probes []backend.Probe) ([]backend.Observation, error) {
	seen, err := l.session.Probe(ctx, probes)
	return seen, l.note(err)
}

func (l *lease) Keep(ctx context.Context, name string, p backend.Probe) (backend.Observation, error) {
	seen, err := l.session.Keep(ctx, name, p)
	return seen, l.note(err)
}

func (l *lease) Exchange(ctx context.Context, names []string, timeout time.Duration) ([]backend.Passage, error) {
	seen, err := l.session.Exchange(ctx, names, timeout)
	return seen, l.note(err)
}

func (l *lease) note(err error) error {
	l.broken = l.broken || err != nil
	return err
}

// Close empties the cluster and hands it back.
func (l *lease) Close() error {
	if l.broken || l.session.clear(context.Background()) != nil || !l.idle.put(l.session, l.most) {
		return l.session.Close()
	}
	return nil
}
