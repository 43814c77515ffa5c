package core

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

// phase is how far an interface is on its way to being filtered.
type phase uint8

const (
	unseen      phase = iota // nothing done yet
	introducing              // its entry is being written
	introduced
	attaching
	attached // filtered by the programs of this version
)

// iface is an interface that is, or is taken to be, a pod's.
type iface struct {
	ifindex   uint32
	instance  uint32
	phase     phase
	inherited bool         // an earlier agent attached programs, perhaps of another version: it is filtered
	half      bool         // those are left in one direction, and are to stay until something is in force in the tables of this version
	entered   bool         // its entry is in force in these, as an earlier agent left it
	addrs     []netip.Addr // that it led to, or that an earlier agent knew: the pod's, whatever becomes of the routes
	pod       *Pod         // as the CNI plugin said, nil if it said nothing
	name      Name         // of that pod, also if the plugin said it to an earlier agent
	named     Link         // what the plugin found it to be, if it said something
	owed      int          // earlier interfaces of this index of which nobody has told yet that they are gone
	retry     backoff
	lost      time.Time // when its programs were found removed or replaced, zero while they are not
	others    Others    // programs of others on it
	link      shutter
}

// filtered says that no packet passes the interface unjudged.
func (i *iface) filtered() bool { return i.phase == attached || i.inherited }

// newInstance returns a number that an interface of this index never had and will not have. An index may be given again at
// once, but not by two agents at the same nanosecond; n tells those of one agent apart.
func newInstance(now time.Time, ifindex uint32, n int) uint32 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d %d %d", now.UnixNano(), ifindex, n)
	return max(1, h.Sum32())
}

// restore notes what an earlier agent left. An entry whose interface has no programs is worth nothing: the interface
// may be another one with the same index. One that has half of them is the same, and attached to at once, by what its
// entry says. Without an entry in these tables, standard mode would open the direction that is filtered, and waits.
func (s *State) restore(in Restored) {
	for _, ifindex := range in.Attached {
		i := s.newIface(ifindex)
		i.phase, i.inherited = introduced, true
	}
	for _, ifindex := range in.Half {
		s.newIface(ifindex)
	}
	for _, c := range in.Closed {
		i := s.ifaces[c.Ifindex]
		if i == nil {
			i = s.newIface(c.Ifindex)
		}
		i.link.closed = true
		i.addrs = append(i.addrs, c.Addrs...)
	}
	for _, p := range slices.Concat(in.Former, in.Pods) {
		if i := s.ifaces[p.Ifindex]; i != nil {
			i.instance = p.Instance
			for _, a := range []netip.Addr{p.IP4, p.IP6} {
				if a.IsValid() {
					i.addrs = append(i.addrs, a)
				}
			}
			if n := in.Names[p.Ifindex]; n.Instance == p.Instance {
				i.name = Name{n.Namespace, n.Name}
			}
		}
	}
	for _, p := range in.Pods {
		if i := s.ifaces[p.Ifindex]; i != nil {
			i.entered = true
		}
	}
	for _, ifindex := range in.Half {
		i := s.ifaces[ifindex]
		if i.half = s.wouldOpen(i); i.half || i.entered {
			i.phase = introduced
		}
	}
	for _, ifindex := range in.Pinned {
		if s.ifaces[ifindex] == nil {
			s.leave(ifindex)
		}
	}
}

// newIface adds an interface for which nothing is done yet.
func (s *State) newIface(ifindex uint32) *iface {
	s.instances++
	i := &iface{
		ifindex: ifindex, instance: newInstance(s.now, ifindex, s.instances),
		retry: s.cfg.backoff(), link: shutter{retry: s.cfg.backoff()},
	}
	s.ifaces[ifindex] = i
	return i
}

// track begins to filter an interface, if it is not filtered yet.
func (s *State) track(ifindex uint32) *iface {
	i := s.ifaces[ifindex]
	if i == nil {
		i = s.newIface(ifindex)
		s.touch()
	}
	return i
}

// listHost replaces what is known of the node's network, but for interfaces that the CNI plugin named while it was
// read.
func (s *State) listHost(in HostListed) {
	former, begun := s.host, in.Begun
	if begun.IsZero() {
		begun = s.now
	}
	s.host = newHost()
	for _, r := range in.Routes {
		s.host.routes.add(r, false)
	}
	for _, l := range in.Links {
		s.seeLink(l)
	}
	s.host.keep(former, begun)
	known := append(slices.Collect(maps.Keys(s.ifaces)), s.leftovers.living()...)
	slices.Sort(known)
	for _, ifindex := range known {
		if _, ok := s.host.links[ifindex]; !ok {
			s.loseLink(ifindex)
		}
	}
	s.hostKnown = true
	s.touch()
}

func (s *State) seeLink(l Link) {
	same := s.host.links[l.Ifindex] == l
	if s.host.addLink(s.now, l); same {
		return
	}
	s.consider(l.Ifindex)
	if l.Veth {
		s.touch() // a policy may have waited for it
	}
}

// consider begins to filter an interface that shows that it is a pod's, so that what the pod opens is known when a first
// policy comes.
func (s *State) consider(ifindex uint32) {
	if s.isPods(s.host.links[ifindex]) {
		s.track(ifindex)
	}
}

// isPods says whether an interface is a pod's by what it is, whoever made it: a veth that ends in another network
// namespace, to which the host has a route of its own. The VPC CNI may keep that route in a table for itself, but its
// names say enough.
func (s *State) isPods(l Link) bool {
	if prefixes := s.cfg.LinkPrefixes; len(prefixes) > 0 {
		return l.Veth && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(l.Name, p) })
	}
	return l.Veth && l.Leaf && (isVPCLinkName(l.Name) || s.host.routes.leadTo(l.Ifindex))
}

// linkGone takes what the kernel told. The CNI plugin may have named the next interface of that index before: then nothing
// that is known of it goes, but its programs are put on it once more, which fails if it is the one that is gone.
func (s *State) linkGone(in LinkGone) {
	i := s.ifaces[in.Ifindex]
	if i == nil || i.pod == nil || i.owed == 0 && (in.Name == "" || in.Name == i.named.Name) {
		s.loseLink(in.Ifindex)
		return
	}
	i.owed = max(0, i.owed-1)
	i.inherited, i.half, i.addrs = false, false, nil // what was found, and where routes led, was before
	if i.phase == attached {
		i.phase = introduced
	}
	s.touchIf(s.host.routes.forget(in.Ifindex))
	s.host.addLink(s.now, i.named)
}

func (s *State) loseLink(ifindex uint32) {
	s.host.removeLink(ifindex)
	s.touchIf(s.host.routes.forget(ifindex)) // the kernel tells of none that goes with its interface
	if s.ifaces[ifindex] != nil {
		delete(s.ifaces, ifindex)
		s.refuse(ifindex, errLinkGone)
		s.touch()
	} else if s.leftovers.gone[ifindex] == nil {
		return
	}
	s.leave(ifindex)
}

// reroute changes the routes to an address, which is of interest if a pod's interface led to it or does now.
func (s *State) reroute(r Route, change func()) {
	before, _ := s.host.routes.best(r.Addr.Unmap())
	change()
	after, _ := s.host.routes.best(r.Addr.Unmap())
	s.touchIf(before != after && (s.host.veth(before) || s.host.veth(after)))
}

// advance asks for the next step of each interface that can go one.
func (s *State) advance() {
	for _, i := range s.sortedIfaces() {
		if !i.retry.ready(s.now) {
			continue
		}
		switch i.phase {
		case unseen:
			i.phase = introducing
			s.emit(Introduce{bpf.Pod{Ifindex: i.ifindex, Instance: i.instance, MayRoute: true}})
		case introduced:
			// A program of another version may use other tables: ours are filled before this one's goes on an interface
			// that is filtered already, or half of which is.
			if !i.inherited && !i.half || s.programs.done > 0 {
				i.phase, i.half = attaching, false
				s.emit(Attach{i.ifindex, i.instance})
			}
		}
	}
}

// filtering says whether an interface is on its way to being filtered by the programs of this version: those of another one may judge by
// tables that nobody writes any more. One that cannot be filtered is not waited for.
func (s *State) filtering() bool {
	for _, i := range s.ifaces {
		if i.phase != attached && i.retry.failures < closeAfter {
			return true
		}
	}
	return false
}

// stepped takes the result of an Introduce or Attach: on to the next phase, or back and again later. One for an interface
// that had the index before counts for nothing.
func (s *State) stepped(ifindex, instance uint32, from, ok, failed phase, err error) {
	i := s.ifaces[ifindex]
	if i == nil || i.instance != instance || i.phase != from {
		return
	}
	if err != nil {
		i.phase = failed
		i.retry.fail(s.now, err)
		i.link.again = true
		return
	}
	i.phase = ok
	i.retry.succeed()
}

func (s *State) attached(in Attached) {
	if i := s.ifaces[in.Ifindex]; in.Gone && i != nil && i.instance == in.Instance {
		s.loseLink(in.Ifindex)
		return
	}
	s.stepped(in.Ifindex, in.Instance, attaching, attached, introduced, in.Err)
	s.regained(in.Ifindex)
}

func (s *State) ifaceConditions() []enforce.Condition {
	var list []enforce.Condition
	for ifindex, i := range s.ifaces {
		if i.retry.err != nil {
			state := "not filtered yet"
			if i.filtered() {
				state = "filtered by the programs of another version, which these cannot replace"
			}
			list = append(list, enforce.Condition{
				Object: s.describe(ifindex), Message: fmt.Sprintf("%s: %v", state, i.retry.err),
			})
		}
		if i.half {
			list = append(list, enforce.Condition{
				Object: s.describe(ifindex), Message: "open in one direction until policies are known: another version filters the other one only",
			})
		}
		if i.others.Before != "" {
			list = append(list, enforce.Condition{
				Object: s.describe(ifindex), Message: "no policy sees what these let pass before: " + i.others.Before,
			})
		}
		if i.others.Behind != "" {
			list = append(list, enforce.Condition{
				Object: s.describe(ifindex), Message: "these see no packet, as -final-verdict lets none go on: " + i.others.Behind,
			})
		}
	}
	return list
}

// describe names an interface for people.
func (s *State) describe(ifindex uint32) string {
	if i := s.ifaces[ifindex]; i != nil && i.name != (Name{}) {
		return i.name.String()
	}
	if pod, ok := s.programs.names[ifindex]; ok {
		return pod.String()
	}
	return fmt.Sprintf("interface %d %s", ifindex, s.host.links[ifindex].Name)
}
