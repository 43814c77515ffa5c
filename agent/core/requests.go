package core

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// request is a pod that waits to be started.
type request struct {
	PodAdded
	program int  // the first run of Program that knows of the pod
	partial bool // a policy that is known in part selects the pod
}

var errLinkGone = errors.New("the pod's interface is gone")

// addPod notes a pod that the CNI plugin named, and makes its interface filtered.
func (s *State) addPod(in PodAdded) {
	if in.Link.Ifindex == in.Pod.Ifindex {
		s.seeLink(in.Link)
	}
	if !s.host.veth(in.Pod.Ifindex) {
		s.emit(Answer{Request: in.Request, Err: fmt.Errorf("interface %d is no veth of this node", in.Pod.Ifindex)})
		return
	}
	i := s.track(in.Pod.Ifindex)
	if i.isAnothers(&in.Pod) {
		i = s.giveAgain(i)
	}
	if i.pod == nil || !samePod(*i.pod, in.Pod) {
		i.pod, i.name = &in.Pod, Name{in.Pod.Namespace, in.Pod.Name}
		s.touch()
	}
	i.named = s.host.links[i.ifindex]
	s.requests[in.Request] = &request{PodAdded: in, program: s.programs.latest()}
}

// isAnothers says whether an interface is known as that of another pod, or of another sandbox of the pod: one that has none of
// its addresses.
func (i *iface) isAnothers(pod *Pod) bool {
	known := i.addrs
	if i.pod != nil {
		if i.pod.Namespace != pod.Namespace || i.pod.Name != pod.Name || i.pod.UID != pod.UID {
			return true
		}
		known = i.pod.Addrs
	}
	return len(known) > 0 && len(pod.Addrs) > 0 && len(common(known, pod.Addrs)) == 0
}

// giveAgain notes that another interface has the index of one that must be gone: nothing is done for it yet.
func (s *State) giveAgain(former *iface) *iface {
	s.refuse(former.ifindex, errLinkGone)
	i := s.newIface(former.ifindex)
	i.owed = former.owed + 1
	return i
}

func samePod(a, b Pod) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name && a.UID == b.UID && slices.Equal(a.Addrs, b.Addrs)
}

// checkPod answers whether a pod's interface is filtered by what was known last.
func (s *State) checkPod(in PodChecked) {
	a := Answer{Request: in.Request, Programmed: s.Ready()}
	if i := s.ifaces[in.Ifindex]; i == nil || !i.filtered() {
		a.Err = fmt.Errorf("interface %d is not filtered", in.Ifindex)
	}
	s.emit(a)
}

// refuse answers the requests for an interface with an error.
func (s *State) refuse(ifindex uint32, err error) {
	for _, id := range slices.Sorted(maps.Keys(s.requests)) {
		if s.requests[id].Pod.Ifindex == ifindex {
			delete(s.requests, id)
			s.emit(Answer{Request: id, Err: err})
		}
	}
}

// answer answers the requests that have what they wait for, and those that waited too long. In strict mode a pod may
// start when it is closed; in standard mode only the policies can close it, so it waits for those that are known,
// and for those that are known in part until they are complete or overdue.
func (s *State) answer() {
	for _, id := range slices.Sorted(maps.Keys(s.requests)) {
		r := s.requests[id]
		i := s.ifaces[r.Pod.Ifindex]
		s.await(r)
		programmed := !r.partial && s.programs.done >= r.program
		switch {
		case i.filtered() && (programmed || s.cfg.Strict):
			s.emit(Answer{Request: id, Programmed: programmed})
		case !s.now.Before(r.Deadline):
			s.emit(Answer{Request: id, Err: s.lacks(i)})
		default:
			continue
		}
		delete(s.requests, id)
	}
}

// await notes whether the pod waits for a policy to be complete, and afterwards the run that knows of that policy.
func (s *State) await(r *request) {
	was := r.partial
	r.partial = s.policies.awaits(&r.Pod)
	if was || r.partial {
		r.program = s.programs.latest()
	}
}

// lacks says what a pod on an interface still waits for.
func (s *State) lacks(i *iface) error {
	switch {
	case i.retry.err != nil:
		return fmt.Errorf("its interface cannot be filtered: %w", i.retry.err)
	case !i.filtered():
		return errors.New("its interface is not filtered in time")
	case !s.synced:
		return errors.New("the policies are not known yet: the API server has not answered")
	case s.policies.awaits(i.pod):
		return errors.New("some PolicyEndpoints of a policy that selects it are missing")
	case s.programs.retry.err != nil:
		return fmt.Errorf("policies cannot be put in force: %w", s.programs.retry.err)
	}
	return errors.New("policies are not in force in time")
}
