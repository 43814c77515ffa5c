package datapath_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// Control bits of TCP (RFC 9293, 3.1).
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
	urg
	ece
	cwr
)

// segment is one of a connection between a client's port and port 80 of a server, or what somebody passes off as one.
type segment struct {
	back   bool // from the server
	flags  byte
	client uint16
	passes bool
	policy string // instead of a segment, what the client may reach from here on: "closed", or somePorts
}

func forth(flags byte) segment { return segment{flags: flags, client: 4000, passes: true} }
func back(flags byte) segment  { return segment{flags: flags, client: 4000, passes: true, back: true} }

// dropped is one that must not pass where the server may not open connections.
func dropped(s segment) segment { s.passes = false; return s }

// stray is one of a connection of which nobody ever heard.
func stray(s segment) segment { s.client = 4999; return s }

func allow(policy string) segment { return segment{policy: policy} }

// The exchanges that others begin with, or end with.
var (
	handshake = []segment{forth(syn), back(syn | ack), forth(ack)}
	talk      = []segment{forth(psh | ack), back(ack), back(psh | ack), forth(ack)}
	goodbye   = []segment{forth(fin | ack), back(ack), back(fin | ack), forth(ack)}
)

// tcpCases follow RFC 9293. What the client's connections are allowed passes towards the server, and what answers it passes back. No SYN that
// the server sends does, also not between the ports of a connection that is, or was.
var tcpCases = []struct {
	name     string
	segments []segment
}{
	{"an ordinary connection", slices.Concat(handshake, talk, goodbye)},
	{"a server that speaks first to the same port opens nothing", []segment{
		dropped(back(syn)), dropped(back(syn | ack)), dropped(back(ack)), dropped(back(rst)),
	}},
	// Both send a SYN (3.5, figure 8). The server's is a connection of its own, which nothing allows; the client's is repeated, and answered.
	{"simultaneous open", slices.Concat([]segment{
		forth(syn), dropped(back(syn)), dropped(back(syn)), forth(syn), back(syn | ack), forth(ack),
	}, talk)},
	{"simultaneous open, the server's SYN first", slices.Concat([]segment{
		dropped(back(syn)), forth(syn), dropped(back(syn)), back(syn | ack), forth(syn | ack), back(ack), forth(ack),
	}, talk)},
	// 3.5.1, figure 9, and the challenge of 3.10.7.4: who still knows the connection answers a SYN by an ACK, and that is answered by a reset.
	{"half-open, the client has forgotten", slices.Concat(handshake, talk, []segment{forth(syn), back(ack), forth(rst)}, handshake, talk)},
	{"half-open, the server has forgotten", slices.Concat(handshake, talk, []segment{forth(psh | ack), back(rst)}, handshake, talk)},
	{"half-open, the server has forgotten, and opens it the other way", slices.Concat(handshake, []segment{
		dropped(back(syn)), forth(ack), back(rst),
	}, handshake, talk)},
	{"half-open, a SYN of the server in the middle changes nothing", slices.Concat(handshake, []segment{
		dropped(back(syn)), dropped(back(syn | psh)),
	}, talk, goodbye)},
	{"a connection is refused, and tried again", slices.Concat([]segment{forth(syn), back(rst | ack), forth(syn), back(rst | ack)}, handshake)},
	{"what is late after the client's FIN", slices.Concat(handshake, []segment{
		forth(fin | ack), back(psh | ack), forth(ack), back(psh | ack), back(ack), back(fin | ack), forth(ack), back(fin | ack), forth(ack),
		forth(fin | ack), back(ack),
	})},
	{"what is late after the server's FIN", slices.Concat(handshake, []segment{
		back(fin | ack), forth(psh | ack), back(ack), forth(psh | ack), back(psh | ack), forth(fin | ack), back(ack), forth(fin | ack), back(ack),
	})},
	{"both close at the same time", slices.Concat(handshake, []segment{forth(fin | ack), back(fin | ack), forth(ack), back(ack)})},
	{"the ports are used again after FIN", slices.Concat(handshake, goodbye, handshake, talk, goodbye)},
	{"and not by the server", slices.Concat(handshake, goodbye, []segment{dropped(back(syn)), back(ack)}, handshake)},
	{"the ports are used again after the client's reset", slices.Concat(handshake, []segment{forth(rst)}, handshake, talk)},
	{"and not by the server, nor after its reset", slices.Concat(handshake, []segment{
		forth(rst), dropped(back(syn)), forth(syn), back(rst | ack), dropped(back(syn)),
	}, handshake, talk)},
	// A reset whose number is wrong ends nothing (RFC 5961), and only the end that gets it can tell.
	{"a forged reset ends no connection", slices.Concat(handshake, []segment{back(rst), back(rst | ack)}, talk, goodbye)},
	{"a reset for a connection that is not known", slices.Concat([]segment{dropped(stray(back(rst))), dropped(stray(back(rst | ack)))}, handshake,
		[]segment{dropped(stray(back(rst))), dropped(stray(back(syn | ack))), dropped(stray(back(syn)))}, talk)},
	{"a connection that is revoked, and what its ports are good for then", slices.Concat(handshake, talk, []segment{
		allow("closed"),
		dropped(forth(ack)), dropped(back(ack)), dropped(back(psh | ack)), dropped(forth(fin | ack)), dropped(back(fin | ack)),
		dropped(forth(rst)), dropped(back(rst)), dropped(forth(syn)), dropped(back(syn)), dropped(back(syn | ack)),
		allow(somePorts),
		forth(ack), back(ack), dropped(back(syn)),
	}, handshake, talk)},
	{"what is late when its connection is revoked", slices.Concat(handshake, goodbye, []segment{
		allow("closed"), dropped(back(fin | ack)), dropped(forth(ack)), dropped(forth(syn)), dropped(back(rst)),
	})},
}

// TestStatesOfTCP plays each case where the pod is the client and where it is the server, isolated one way or both ways.
func TestStatesOfTCP(t *testing.T) {
	for _, o := range []bpf.Options{plain, {TrackIsolatedOnly: true}} {
		var cases []flowCase
		for _, c := range tcpCases {
			for _, opener := range []flow.Direction{flow.Egress, flow.Ingress} {
				for _, other := range []string{"closed", "open"} {
					name := fmt.Sprintf("%s, in the pod's %s, and what goes the other way is %s", c.name, opener, other)
					cases = append(cases, flowCase{name, tcpSteps(c.segments, opener, other)})
				}
			}
		}
		t.Run(fmt.Sprintf("isolated pods only: %t", o.TrackIsolatedOnly), func(t *testing.T) { playFlows(t, cases, o) })
	}
}

// tcpSteps are the packets of a case at the pod from which connections are opened in a direction; other is the policy of the other direction.
func tcpSteps(segments []segment, opener flow.Direction, other string) []step {
	now := somePorts
	load := func() step {
		if opener == flow.Egress {
			return policy(now, other)
		}
		return policy(other, now)
	}
	steps := []step{load()}
	for _, s := range segments {
		if s.policy != "" {
			now = s.policy
			steps = append(steps, load())
			continue
		}
		p := step{dir: opener, proto: flow.TCP, kind: frame.Later, pod: s.client, peer: 80, make: withFlags(s.flags)}
		if opener == flow.Ingress {
			p.pod, p.peer = 80, s.client
		}
		if s.back {
			p.dir = opener.Opposite()
		}
		p.want = s.want(now, other)
		steps = append(steps, p)
	}
	return steps
}

// want is the reason for a segment. Where the other direction is open, everything passes there by itself.
func (s segment) want(policy, other string) bpf.Reason {
	switch {
	case !s.back && s.passes:
		return bpf.ReasonPolicy
	case s.back && other == "open":
		return bpf.ReasonNotIsolated
	case !s.back && policy == "closed" && other == "open":
		return bpf.ReasonClosed
	case s.passes:
		return bpf.ReasonReply
	}
	return bpf.ReasonClosed
}

func withFlags(flags byte) func([]byte) []byte {
	return func(f []byte) []byte {
		f[tcpAt(f)+13] = flags
		return f
	}
}

func tcpAt(f []byte) int {
	if f[14]>>4 == 6 {
		return 14 + 40
	}
	return 14 + 20
}

// TestOnlySYNOpens: of all bytes of flags, those with SYN and without ACK are a new connection, whatever else they say, which no known one lets
// pass; all others answer one that is known, and none that is not.
func TestOnlySYNOpens(t *testing.T) {
	needRoot(t)
	h, instance := open(t, plain), uint32(0)
	for _, addrs := range [][2]netip.Addr{{podIP, peerIP}, {podIP6, peerIP6}} {
		for _, opener := range []flow.Direction{flow.Egress, flow.Ingress} {
			var segments []segment
			for flags := range 256 {
				opens := flags&(syn|ack) == syn
				known := segment{flags: byte(flags), client: uint16(1000 + flags), passes: !opens, back: true}
				unknown := dropped(known)
				unknown.client += 1000
				segments = append(segments, segment{flags: syn, client: known.client, passes: true}, known, unknown)
			}
			steps := tcpSteps(segments, opener, "closed")
			instance++
			playSteps(t, newTwin(plain), steps, addrs[0], addrs[1])
			playSteps(t, &kernel{h, instance}, steps, addrs[0], addrs[1])
		}
	}
}
