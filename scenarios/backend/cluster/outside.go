package cluster

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// Outside makes hosts outside the cluster, which the cluster itself cannot give. They are told apart by numbers from 0 on.
type Outside interface {
	// Host makes the host with the first call, and returns its addresses. A probe serves there that is called
	// "external/NUMBER".
	Host(ctx context.Context, number int) ([]netip.Addr, error)
	// Probe runs palisade-probe with some arguments there until it ends. in may be nil.
	Probe(ctx context.Context, number int, args []string, in io.Reader, out, log io.Writer) error
}

// externalPrefix is what names of hosts outside begin with where pods could stand too.
const externalPrefix = "external/"

// outsiders are the hosts outside that sessions take turns in: each has its own for as long as it lives.
type outsiders struct {
	mu   sync.Mutex
	made int
	free []int
}

// lease returns so many hosts that nobody else has.
func (o *outsiders) lease(n int) []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	var numbers []int
	for range n {
		if last := len(o.free) - 1; last >= 0 {
			numbers, o.free = append(numbers, o.free[last]), o.free[:last]
			continue
		}
		numbers, o.made = append(numbers, o.made), o.made+1
	}
	return numbers
}

func (o *outsiders) giveBack(numbers []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.free = append(o.free, numbers...)
}

// outsider is a host outside of a session.
type outsider struct {
	number int
	backend.Host
}

func (o outsider) owner() string { return externalPrefix + strconv.Itoa(o.number) }

// Outside gives the scenario's hosts real ones, at addresses of their own.
func (s *session) Outside(ctx context.Context, hosts []backend.Host) error {
	if len(hosts) == 0 {
		return nil
	}
	source := s.backend.opts.Outside
	if source == nil {
		return fmt.Errorf("the scenario %s", needsOutside)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, number := range s.backend.outsiders.lease(len(hosts)) {
		s.outside = append(s.outside, outsider{number, hosts[i]})
	}
	for i, host := range hosts {
		addrs, err := source.Host(ctx, s.outside[i].number)
		if err != nil {
			return fmt.Errorf("%s: %w", host.Name, err)
		}
		s.outside[i].Addrs = nil
		for _, a := range host.Addrs {
			real := addrLike(addrs, a)
			if !real.IsValid() {
				return fmt.Errorf("%s: no host outside has an address like %s", host.Name, a)
			}
			s.outside[i].Addrs = append(s.outside[i].Addrs, real)
		}
		s.external.pair(host.Addrs, s.outside[i].Addrs)
	}
	return nil
}

// Hosts returns the hosts outside with their real addresses.
func (s *session) Hosts() []backend.Host {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hosts []backend.Host
	for _, o := range s.outside {
		hosts = append(hosts, o.Host)
	}
	return hosts
}

// outsiderCalled finds a host outside by the scenario's name, and outsiderOf by its owner.
func (s *session) outsiderCalled(name string) (outsider, bool) {
	return s.outsider(func(o outsider) bool { return o.Name == name })
}

func (s *session) outsiderOf(owner string) (outsider, bool) {
	return s.outsider(func(o outsider) bool { return o.owner() == owner })
}

func (s *session) outsider(wanted func(outsider) bool) (outsider, bool) {
	for _, o := range s.outside {
		if wanted(o) {
			return o, true
		}
	}
	return outsider{}, false
}

// dialOutside makes a link to the probe of a host outside.
func (s *session) dialOutside(o outsider) *link {
	run := func(ctx context.Context, _ target, args []string, in io.Reader, out, log io.Writer) error {
		return s.backend.opts.Outside.Probe(ctx, o.number, args, in, out, log)
	}
	return &link{target: target{pod: o.owner()}, run: run}
}

// leaveOutside gives the hosts outside back to others.
func (s *session) leaveOutside() {
	var numbers []int
	for _, o := range s.outside {
		numbers = append(numbers, o.number)
	}
	s.outside = nil
	s.backend.outsiders.giveBack(numbers)
}

// answeredBy is the scenario's name of who answered: nodes and hosts outside answer with their real one.
func (s *session) answeredBy(real string) string {
	if node, ok := strings.CutPrefix(real, nodePrefix); ok {
		return nodePrefix + s.names.nodeOf(node)
	}
	if o, ok := s.outsiderOf(real); ok {
		return o.Name
	}
	return s.owner(real)
}

// owner is who answers under a name: that of a pod has the real namespace in it.
func (s *session) owner(real string) string {
	if namespace, pod, ok := strings.Cut(real, "/"); ok && s.names.scenario[namespace] != "" {
		return s.names.scenario[namespace] + "/" + s.names.podOf(namespace, pod)
	}
	return real
}
