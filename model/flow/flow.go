// Package flow holds the words that every part of Palisade shares: what a packet's flow is, which way it goes, and
// what was decided about it.
//
// It is used by the oracle (package model) and by what the oracle judges alike, so it defines vocabulary only, never
// behaviour that could be wrong in both at once. It imports the standard library and nothing else.
package flow

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Protocol is an IANA protocol number as it stands in an IP header (https://www.iana.org/assignments/protocol-numbers).
type Protocol uint8

// The protocols that NetworkPolicyPort can name, and the ones the datapath treats specially.
const (
	ICMP   Protocol = 1
	TCP    Protocol = 6
	UDP    Protocol = 17
	ICMPv6 Protocol = 58
	SCTP   Protocol = 132
)

// String returns the name the Kubernetes API uses ("TCP", "UDP", "SCTP"), "ICMP" or "ICMPv6", else the number.
func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "ICMP"
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case ICMPv6:
		return "ICMPv6"
	case SCTP:
		return "SCTP"
	}
	return strconv.Itoa(int(p))
}

// HasPorts reports whether a NetworkPolicyPort can select ports of p.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// ParseProtocol reads the API's spelling of a protocol that has ports: "TCP", "UDP" or "SCTP", exactly.
func ParseProtocol(s string) (Protocol, error) {
	for _, p := range []Protocol{TCP, UDP, SCTP} {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("protocol %q is not one of TCP, UDP, SCTP", s)
}

// PortProto is one thing to probe: a destination port of a protocol.
type PortProto struct {
	Protocol Protocol
	Port     uint16 // 1–65535; 0 for a protocol without ports
}

// String returns the form ParsePortProto reads, for example "TCP/80", and of a protocol without ports its name alone.
func (p PortProto) String() string {
	if !p.Protocol.HasPorts() && p.Port == 0 {
		return p.Protocol.String()
	}
	return p.Protocol.String() + "/" + strconv.Itoa(int(p.Port))
}

// ParsePortProto reads "TCP/80"; the protocol may be in lower case.
func ParsePortProto(s string) (PortProto, error) {
	proto, port, ok := strings.Cut(s, "/")
	if !ok {
		return PortProto{}, fmt.Errorf("%q is not PROTOCOL/PORT, for example TCP/80", s)
	}
	p, err := ParseProtocol(strings.ToUpper(proto))
	if err != nil {
		return PortProto{}, fmt.Errorf("%q: %w", s, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return PortProto{}, fmt.Errorf("%q: port %q is not a number from 1 to 65535", s, port)
	}
	return PortProto{p, uint16(n)}, nil
}

// Family is an IP address family.
type Family uint8

// The two families. The zero Family means "not chosen".
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns the spelling of the Kubernetes API in lower case: "ipv4", "ipv6".
func (f Family) String() string {
	switch f {
	case IPv4:
		return "ipv4"
	case IPv6:
		return "ipv6"
	}
	return "any"
}

// ParseFamily reads "ipv4" or "ipv6"; the empty string is "not chosen".
func ParseFamily(s string) (Family, error) {
	switch s {
	case "":
		return 0, nil
	case "ipv4":
		return IPv4, nil
	case "ipv6":
		return IPv6, nil
	}
	return 0, fmt.Errorf("family %q is not ipv4 or ipv6", s)
}

// FamilyOf returns the family of a packet that carries a. An IPv4-mapped IPv6 address travels as IPv4.
func FamilyOf(a netip.Addr) Family {
	if a.Unmap().Is4() {
		return IPv4
	}
	return IPv6
}

// Direction is seen from the pod a policy selects.
type Direction uint8

// The directions, in the order in which a packet meets them.
const (
	Egress Direction = iota
	Ingress
)

// String returns "egress" or "ingress".
func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// Opposite returns the other direction.
func (d Direction) Opposite() Direction { return 1 - d }

// Tuple is the flow a packet belongs to, seen from its sender.
type Tuple struct {
	Src, Dst         netip.Addr
	Protocol         Protocol
	SrcPort, DstPort uint16 // zero for protocols without ports
}

// Reply returns the tuple of the answers to t.
func (t Tuple) Reply() Tuple {
	return Tuple{Src: t.Dst, Dst: t.Src, Protocol: t.Protocol, SrcPort: t.DstPort, DstPort: t.SrcPort}
}

// Verdict is what is decided about a flow. The zero Verdict is Deny: what is not known opens nothing.
type Verdict uint8

// The verdicts. Undefined is used only by the reference model, where the Kubernetes API leaves the behaviour to the
// implementation.
const (
	Deny Verdict = iota
	Allow
	Undefined
)

// String returns "deny", "allow" or "undefined".
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Undefined:
		return "undefined"
	}
	return "deny"
}

// MarshalText makes a Verdict the word String returns.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the words String returns.
func (v *Verdict) UnmarshalText(b []byte) error {
	for _, c := range []Verdict{Deny, Allow, Undefined} {
		if string(b) == c.String() {
			*v = c
			return nil
		}
	}
	return fmt.Errorf("verdict %q is not one of allow, deny, undefined", b)
}

// Cell returns the matrix character of v: '.' allowed, 'X' denied, '?' undefined.
func (v Verdict) Cell() byte {
	switch v {
	case Allow:
		return '.'
	case Undefined:
		return '?'
	}
	return 'X'
}
