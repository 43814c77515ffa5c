// Package profile reads what an implementation of NetworkPolicies declares not to do, so that a run tells its bugs from
// its declared limits:
//
//	apiVersion: palisade.dev/v1alpha1
//	kind: CapabilityProfile
//	metadata: {name: some-engine}
//	capabilities:
//	  sctp: false      # what is not named is there
//	  endPort: false
//
// A limit excuses a connection that uses what is missing, or that is decided by policies which use it. It excuses
// nothing else, and what the reference model and a scenario disagree about is never excused.
package profile

import (
	"fmt"
	"os"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/palisade-netpol/palisade/model/flow"
)

// The type of a profile file.
const (
	APIVersion = "palisade.dev/v1alpha1"
	Kind       = "CapabilityProfile"
)

// Capability is something that an implementation does, or declares not to do.
type Capability string

// The capabilities.
const (
	SCTP       Capability = "sctp"
	IPv6       Capability = "ipv6"
	EndPort    Capability = "endPort"
	NamedPorts Capability = "namedPorts"
	IPBlock    Capability = "ipBlock"
	Except     Capability = "except"
	Egress     Capability = "egress"
	// Nodes: policies apply to connections from and to nodes, and to pods in their networks.
	Nodes Capability = "nodes"
	// Services: egress policies judge a connection to a ClusterIP by the pods behind it.
	Services Capability = "services"
	// CutsConnections: a connection that policies do not allow any more stops.
	CutsConnections Capability = "cutsConnections"
	// SilentDrop: what is denied gets no answer at all, not even a reset.
	SilentDrop Capability = "silentDrop"
)

// all are the capabilities, in the order in which limits are looked for.
func all() []Capability {
	return []Capability{
		SCTP, IPv6, EndPort, NamedPorts, Except, IPBlock, Egress, Nodes, Services, CutsConnections, SilentDrop,
	}
}

// Profile is what one implementation declares.
type Profile struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	// Capabilities that are false are declared not to be there.
	Capabilities map[Capability]bool `json:"capabilities"`
}

// Metadata names a profile.
type Metadata struct {
	Name string `json:"name"`
}

// Load reads a profile file.
func Load(path string) (*Profile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Parse reads a profile, and refuses what it does not know.
func Parse(text []byte) (*Profile, error) {
	p := &Profile{}
	if err := yaml.UnmarshalStrict(text, p); err != nil {
		return nil, fmt.Errorf("read a capability profile: %w", err)
	}
	if p.APIVersion != APIVersion || p.Kind != Kind {
		return nil, fmt.Errorf("expected apiVersion %s and kind %s, not %q and %q", APIVersion, Kind, p.APIVersion, p.Kind)
	}
	if p.Metadata.Name == "" {
		return nil, fmt.Errorf("metadata.name is missing")
	}
	for c := range p.Capabilities {
		if !slices.Contains(all(), c) {
			return nil, fmt.Errorf("capability %q is none of %s", c, words())
		}
	}
	return p, nil
}

func words() string {
	var list []string
	for _, c := range all() {
		list = append(list, string(c))
	}
	return strings.Join(list, ", ")
}

// Use is what a connection depends on.
type Use struct {
	Protocol flow.Protocol
	Family   flow.Family
	Policies []*networkingv1.NetworkPolicy // that isolate one of its ends in its direction
	Node     bool                          // an end is a node, or a pod in a node's network
	Service  bool                          // it is opened to a Service
	Kept     bool                          // it was opened before the last change
	Refused  bool                          // it got a reset or an ICMP error
}

// Limit returns the declared limit that excuses a difference, "" if there is none. A nil profile declares no limits.
func (p *Profile) Limit(u Use) Capability {
	if p == nil {
		return ""
	}
	for _, c := range all() {
		if there, said := p.Capabilities[c]; said && !there && u.needs(c) {
			return c
		}
	}
	return ""
}

func (u Use) needs(c Capability) bool {
	switch c {
	case SCTP:
		return u.Protocol == flow.SCTP
	case IPv6:
		return u.Family == flow.IPv6
	case Nodes:
		return u.Node
	case Services:
		return u.Service
	case CutsConnections:
		return u.Kept
	case SilentDrop:
		return u.Refused
	case Egress:
		return slices.ContainsFunc(u.Policies, func(p *networkingv1.NetworkPolicy) bool {
			return slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		})
	}
	return slices.ContainsFunc(u.Policies, func(p *networkingv1.NetworkPolicy) bool { return says(p, c) })
}

// says reports whether a rule of a policy uses a capability.
func says(p *networkingv1.NetworkPolicy, c Capability) bool {
	var ports []networkingv1.NetworkPolicyPort
	var peers []networkingv1.NetworkPolicyPeer
	for _, r := range p.Spec.Ingress {
		ports, peers = append(ports, r.Ports...), append(peers, r.From...)
	}
	for _, r := range p.Spec.Egress {
		ports, peers = append(ports, r.Ports...), append(peers, r.To...)
	}
	return slices.ContainsFunc(ports, func(port networkingv1.NetworkPolicyPort) bool {
		named := port.Port != nil && port.Port.Type == intstr.String
		return c == EndPort && port.EndPort != nil || c == NamedPorts && named
	}) || slices.ContainsFunc(peers, func(peer networkingv1.NetworkPolicyPeer) bool {
		return peer.IPBlock != nil && (c == IPBlock || c == Except && len(peer.IPBlock.Except) > 0)
	})
}
