package core

import (
	"crypto/sha1"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Host is what the node's network shows: interfaces, and which of them lead to an address.
type Host struct {
	links  map[uint32]Link
	seen   map[uint32]time.Time // when each was told last
	byName map[string]uint32
	routes routes
}

func newHost() *Host {
	return &Host{map[uint32]Link{}, map[uint32]time.Time{}, map[string]uint32{}, routes{}}
}

func (h *Host) addLink(now time.Time, l Link) {
	h.removeLink(l.Ifindex)
	h.links[l.Ifindex], h.seen[l.Ifindex], h.byName[l.Name] = l, now, l.Ifindex
}

func (h *Host) removeLink(ifindex uint32) {
	if l, ok := h.links[ifindex]; ok {
		delete(h.links, ifindex)
		delete(h.seen, ifindex)
		if h.byName[l.Name] == ifindex {
			delete(h.byName, l.Name)
		}
	}
}

// keep takes over the interfaces that another Host saw after a time, but for indexes and names that are taken.
func (h *Host) keep(other *Host, after time.Time) {
	names := maps.Clone(h.byName)
	for ifindex, at := range other.seen {
		if _, ok := h.links[ifindex]; !ok && at.After(after) {
			h.addLink(at, other.links[ifindex])
		}
	}
	maps.Copy(h.byName, names)
}

// veth says that an interface exists and can be a pod's.
func (h *Host) veth(ifindex uint32) bool { return h.links[ifindex].Veth }

// Finder knows how a network plugin connects pods: it finds the host's side of a pod's veth.
type Finder interface {
	// Find returns the interface of a pod that has an address, or false while it cannot be told.
	Find(h *Host, pod Name, addr netip.Addr) (ifindex uint32, ok bool)
}

// ByRoute finds a pod by the host's route to its address. That works with every plugin that routes to pods.
type ByRoute struct{}

// Find implements Finder.
func (ByRoute) Find(h *Host, _ Name, addr netip.Addr) (uint32, bool) {
	ifindex, ok := h.routes.best(addr)
	return ifindex, ok && h.veth(ifindex)
}

// ByName finds a pod by the name that the Amazon VPC CNI gives to its interface (GeneratePodHostVethName in its
// package networkutils): one of the prefixes, and 11 digits of a hash of the pod's namespace and name. Where no prefixes
// are given they are the VPC CNI's own.
type ByName struct{ Prefixes []string }

// Find implements Finder.
func (f ByName) Find(h *Host, pod Name, _ netip.Addr) (uint32, bool) {
	for _, name := range f.LinkNames(pod) {
		if ifindex, ok := h.byName[name]; ok && h.veth(ifindex) {
			return ifindex, true
		}
	}
	return 0, false
}

// LinkNames are the names that the interface of a pod may have.
func (f ByName) LinkNames(pod Name) []string {
	prefixes := f.Prefixes
	if len(prefixes) == 0 {
		prefixes = vpcPrefixes()
	}
	names := make([]string, len(prefixes))
	for i, prefix := range prefixes {
		names[i] = VPCLinkName(prefix, pod)
	}
	return names
}

// vpcPrefixes are those of the VPC CNI unless it is configured otherwise: the second one is of pods with security groups.
func vpcPrefixes() []string { return []string{"eni", "vlan"} }

// vpcDigits is how much of a hash the VPC CNI puts into a name.
const vpcDigits = 11

// VPCLinkName is the name that the Amazon VPC CNI gives to the host's side of a pod's veth.
func VPCLinkName(prefix string, pod Name) string {
	sum := sha1.Sum([]byte(pod.Namespace + "." + pod.Name))
	return prefix + hex.EncodeToString(sum[:])[:vpcDigits]
}

// isVPCLinkName says whether the VPC CNI may have given a name to the host's side of some pod's veth.
func isVPCLinkName(name string) bool {
	return slices.ContainsFunc(vpcPrefixes(), func(prefix string) bool {
		digits, ok := strings.CutPrefix(name, prefix)
		return ok && len(digits) == vpcDigits && strings.Trim(digits, "0123456789abcdef") == ""
	})
}

// FirstOf asks several Finders in order.
type FirstOf []Finder

// Find implements Finder.
func (f FirstOf) Find(h *Host, pod Name, addr netip.Addr) (uint32, bool) {
	for _, finder := range f {
		if ifindex, ok := finder.Find(h, pod, addr); ok {
			return ifindex, true
		}
	}
	return 0, false
}
