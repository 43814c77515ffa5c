package core

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

// claim is what PolicyEndpoints say of an interface: which pod is behind it, with which addresses.
type claim struct {
	pod   Name
	addrs []netip.Addr // without duplicates
}

// claims are the claims on each interface, of one or, where PolicyEndpoints contradict each other, of several pods.
type claims map[uint32][]*claim

// readClaims finds the interfaces of the pods that policies select. One that nobody claims by what is known of the host
// now is claimed for the address that it once led to, so that a pod stays isolated for as long as its interface lives,
// whatever becomes of routes.
func (s *State) readClaims(endpoints []*endpoint, routed map[uint32][]netip.Addr) claims {
	all, former, ledTo := claims{}, claims{}, s.ledTo(routed)
	for _, o := range endpoints {
		for _, p := range o.Spec.PodSelectorEndpoints {
			if p.PodIP == p.HostIP {
				continue // on the host network
			}
			addr, err := netip.ParseAddr(string(p.PodIP))
			if err != nil {
				addr = netip.Addr{} // package enforce reports it, and closes the pod if its name tells which it is
			}
			pod := Name{p.Namespace, p.Name}
			if ifindex, ok := s.find(pod, addr.Unmap()); ok {
				all.add(ifindex, pod, addr.Unmap())
			}
			for _, ifindex := range ledTo[addr.Unmap()] {
				former.add(ifindex, pod, addr.Unmap())
			}
		}
	}
	maps.Copy(former, all)
	return former
}

// ledTo lists the interfaces that are known by an address, but for those of which the CNI plugin said whose they are.
func (s *State) ledTo(routed map[uint32][]netip.Addr) map[netip.Addr][]uint32 {
	to := map[netip.Addr][]uint32{}
	for _, i := range s.sortedIfaces() {
		for _, a := range i.addrs {
			if i.pod == nil && !s.passedOn(a, i.ifindex, routed[i.ifindex]) {
				to[a] = append(to[a], i.ifindex)
			}
		}
	}
	return to
}

// passedOn says whether an address that an interface led to is another pod's beyond doubt: its packets take another
// pod's interface, and those to some other address take this one.
func (s *State) passedOn(a netip.Addr, ifindex uint32, routed []netip.Addr) bool {
	now, ok := s.host.routes.best(a)
	return ok && now != ifindex && s.ifaces[now] != nil &&
		slices.ContainsFunc(routed, func(own netip.Addr) bool { return own.Is4() == a.Is4() })
}

func (c claims) add(ifindex uint32, pod Name, addr netip.Addr) {
	i := slices.IndexFunc(c[ifindex], func(x *claim) bool { return x.pod == pod })
	if i < 0 {
		i = len(c[ifindex])
		c[ifindex] = append(c[ifindex], &claim{pod: pod})
	}
	if addr.IsValid() && !slices.Contains(c[ifindex][i].addrs, addr) {
		c[ifindex][i].addrs = append(c[ifindex][i].addrs, addr)
	}
}

// find returns the interface of a pod that a policy selects. What the CNI plugin said counts most: a policy that was
// resolved before an address went to another pod claims that pod's interface in vain.
func (s *State) find(pod Name, addr netip.Addr) (uint32, bool) {
	ifindex, ok := s.cfg.Finder.Find(s.host, pod, addr)
	if !ok {
		ifindex, ok = s.findNamed(pod, addr)
	}
	if i := s.ifaces[ifindex]; ok && i != nil && i.pod != nil {
		return ifindex, i.pod.is(pod, addr)
	}
	return ifindex, ok
}

// is says whether p is the pod of that name with that address, or, where the address could not be read, of that name.
func (p *Pod) is(pod Name, addr netip.Addr) bool {
	return p.Namespace == pod.Namespace && p.Name == pod.Name && (!addr.IsValid() || slices.Contains(p.Addrs, addr))
}

// findNamed looks among the pods that the CNI plugin named.
func (s *State) findNamed(pod Name, addr netip.Addr) (uint32, bool) {
	for _, i := range s.sortedIfaces() {
		if i.pod != nil && i.pod.is(pod, addr) {
			return i.ifindex, true
		}
	}
	return 0, false
}

// pods lists the pods of the node by interface, and what is contradictory about them.
func (s *State) pods(all claims, routed map[uint32][]netip.Addr) ([]enforce.Pod, []enforce.Condition) {
	for _, ifindex := range slices.Sorted(maps.Keys(all)) {
		s.track(ifindex)
	}
	var pods []enforce.Pod
	var conditions []enforce.Condition
	for _, i := range s.sortedIfaces() {
		pod, problem := s.podOf(i, all[i.ifindex], routed[i.ifindex])
		i.remember(pod.Addrs, routed[i.ifindex])
		pods = append(pods, pod)
		if problem != "" {
			conditions = append(conditions, enforce.Condition{Object: s.describe(i.ifindex), Message: problem})
		}
	}
	return pods, conditions
}

// remember notes which of a pod's addresses are sure: its interface leads to them, or did. What policies say may be
// about another pod.
func (i *iface) remember(addrs, routed []netip.Addr) {
	sure := append(slices.Clone(i.addrs), routed...)
	i.addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !slices.Contains(sure, a) })
}

// podOf says which pod is behind an interface, as far as that is known. A pod without addresses is left to the mode.
func (s *State) podOf(i *iface, claimed []*claim, routed []netip.Addr) (enforce.Pod, string) {
	pod := enforce.Pod{Ifindex: i.ifindex, Instance: i.instance}
	var claimedAddrs []netip.Addr
	problem := ""
	switch {
	case i.pod != nil:
		pod.Namespace, pod.Name, pod.UID = i.pod.Namespace, i.pod.Name, i.pod.UID
	case len(claimed) == 1:
		pod.Namespace, pod.Name, claimedAddrs = claimed[0].pod.Namespace, claimed[0].pod.Name, claimed[0].addrs
	case len(claimed) > 1:
		pod.Closed = true
		problem = fmt.Sprintf("closed because policies say that it belongs to %s and to %s", claimed[0].pod, claimed[1].pod)
	}
	if i.pod != nil && len(i.pod.Addrs) > 0 {
		pod.Addrs = i.pod.Addrs
	} else {
		pod.Addrs = chooseAddrs(claimedAddrs, routed, i.addrs)
	}
	pod.MayRoute = len(pod.Addrs) == 0
	pod.Unknown = !pod.Closed && pod.MayRoute && len(claimed) == 0
	pod.MayRoute = pod.MayRoute || s.cfg.mayRoute(cmp.Or(i.name, Name{pod.Namespace, pod.Name}))
	return pod, problem
}

// toldNames are the names that the CNI plugin told, by interface.
func (s *State) toldNames() map[uint32]bpf.PodName {
	names := map[uint32]bpf.PodName{}
	for ifindex, i := range s.ifaces {
		if i.name != (Name{}) {
			names[ifindex] = bpf.PodName{Instance: i.instance, Namespace: i.name.Namespace, Name: i.name.Name}
		}
	}
	return names
}

// chooseAddrs picks at most one address of each family: one that policies name and that is routed, else one that they
// name and that was, else one that is routed, else one that was, else one that policies name.
func chooseAddrs(claimed, routed, former []netip.Addr) []netip.Addr {
	var chosen []netip.Addr
	for _, is4 := range []bool{true, false} {
		for _, list := range [][]netip.Addr{common(claimed, routed), common(claimed, former), routed, former, claimed} {
			if a, ok := lowest(list, is4); ok {
				chosen = append(chosen, a)
				break
			}
		}
	}
	return chosen
}

func common(a, b []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(a), func(x netip.Addr) bool { return !slices.Contains(b, x) })
}

// lowest returns the lowest address of a family.
func lowest(list []netip.Addr, is4 bool) (netip.Addr, bool) {
	family := slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool {
		return a.Is4() != is4 || a.IsLinkLocalUnicast()
	})
	if len(family) == 0 {
		return netip.Addr{}, false
	}
	return slices.MinFunc(family, netip.Addr.Compare), true
}
