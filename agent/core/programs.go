package core

import (
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/enforce"
)

// programs is where the tables stand. Runs are counted, so that a request can wait for one that knows of its pod.
type programs struct {
	dirty      bool      // something changed since the last run was asked for
	since      time.Time // when the oldest such change happened
	running    bool
	runSince   time.Time           // since, of the run under way
	runProblem []enforce.Condition // of the input of the run under way
	asked      int
	done       int // the last run that succeeded
	retry      backoff
	again      backoff             // of the attempts at what the last run that succeeded could not do
	conditions []enforce.Condition // of the last run that succeeded
	names      map[uint32]Name     // the pods that the last run that was asked for knew, by interface
}

// latest is the first run that knows of everything that is known now.
func (p *programs) latest() int {
	if p.dirty || p.asked == 0 {
		return p.asked + 1
	}
	return p.asked
}

// program asks for the next run, if there is something new and nothing stands against it. Changes during a run wait
// for its end and then make one run together.
func (s *State) program() {
	p := &s.programs
	due := p.dirty || p.again.err != nil && p.again.ready(s.now)
	if !due || !p.retry.ready(s.now) || p.running || !s.synced || !s.hostKnown {
		return
	}
	if p.done == 0 && s.policies.waiting() {
		return // what an earlier agent left stays in force until policies are complete
	}
	endpoints := s.policies.enforced()
	routed := s.host.routes.reached()
	pods, problems := s.pods(s.readClaims(endpoints, routed), routed)
	p.names = map[uint32]Name{}
	for _, pod := range pods {
		if pod.Name != "" {
			p.names[pod.Ifindex] = Name{pod.Namespace, pod.Name}
		}
	}
	p.asked++
	p.running, p.dirty, p.runSince, p.runProblem, p.since = true, false, p.since, problems, time.Time{}
	in := enforce.Input{NodeAddrs: s.cfg.NodeAddrs, NodePorts: s.cfg.NodePorts, Pods: pods, Strict: s.cfg.Strict, Endpoints: endpoints}
	s.emit(Program{Input: in, Since: p.runSince, Names: s.toldNames()})
}

// programmed takes the result of a run.
func (s *State) programmed(in Programmed) {
	p := &s.programs
	p.running = false
	if in.Err != nil {
		p.dirty, p.since = true, earlier(p.since, p.runSince)
		p.retry.fail(s.now, in.Err)
		return
	}
	p.retry.succeed()
	if in.Again != nil {
		p.again.fail(s.now, in.Again)
	} else {
		p.again.succeed()
	}
	p.done = p.asked
	p.conditions = append(in.Conditions[:len(in.Conditions):len(in.Conditions)], p.runProblem...)
}

// failure is the condition that the last run failed, or did less than it should.
func (p *programs) failure() []enforce.Condition {
	var list []enforce.Condition
	if p.retry.err != nil {
		list = append(list, enforce.Condition{Object: "node", Message: fmt.Sprintf("policies are not up to date: %v", p.retry.err)})
	}
	if p.again.err != nil {
		list = append(list, enforce.Condition{Object: "node", Message: p.again.err.Error()})
	}
	return list
}
