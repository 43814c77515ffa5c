package packets_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/packets"
	"github.com/palisade-netpol/palisade/sim/random"
)

// atLeast is how many packets of each kind there are among a million: what nobody draws, nobody compares.
var atLeast = map[string]int{
	"IPv4 first fragment": 10_000, "IPv4 fragment from 16 on": 1_000, "IPv4 fragment from 8 on": 8_000, "IPv4 later fragment": 20_000,
	"option 0": 10_000, "option 1": 10_000, "option 131": 10_000, "option 137": 10_000, "option 148": 8_000, "option 68": 8_000, "option 7": 4_000,
	"option of a broken length": 10_000,
	"IPv6 first fragment":       10_000, "IPv6 fragment from 16 on": 1_000, "IPv6 fragment from 8 on": 9_000, "IPv6 later fragment": 10_000,
	"atomic fragment": 8_000, "authentication header of an odd length": 4_000, "chain of 1": 20_000, "chain of 1 before a transport": 10_000,
	"chain of 2": 9_000, "chain of 2 before a transport": 7_000, "chain of 3": 8_000, "chain of 3 before a transport": 6_000, "chain of 4": 2_000,
	"chain of 4 before a transport": 2_000, "chain of 5": 2_000, "chain of 5 before a transport": 1_000, "chain of 6": 2_000,
	"chain of 6 before a transport": 1_000, "chain of 7": 1_000, "chain of 7 before a transport": 1_000, "chain of 8": 1_000,
	"chain of 8 before a transport": 1_000, "chain of 9": 1_000, "chain of 9 before a transport": 1_000, "chain that is cut": 6_000,
	"extension 0": 30_000, "extension 43": 30_000, "extension 44": 50_000, "extension 51": 10_000, "extension 60": 50_000,
	"fragment header behind others": 10_000, "jumbo option": 9_000, "routing header of type 0, 0 left": 5_000,
	"routing header of type 0, 1 left": 2_000, "routing header of type 0, 2 left": 2_000, "routing header of type 0, 255 left": 2_000,
	"routing header of type 2, 0 left": 5_000, "routing header of type 2, 1 left": 2_000, "routing header of type 2, 2 left": 2_000,
	"routing header of type 2, 255 left": 2_000, "routing header of type 4, 0 left": 5_000, "routing header of type 4, 1 left": 2_000,
	"routing header of type 4, 2 left": 2_000, "routing header of type 4, 255 left": 2_000,
	"SCTP chunk other than INIT": 30_000, "port 0": 7_000, "protocol 1, cut short": 700, "protocol 132, cut short": 4_000,
	"protocol 17, cut short": 600, "protocol 50": 50_000, "protocol 58, cut short": 1_000, "protocol 59": 600, "protocol 6, cut short": 8_000,
	"from 0.0.0.0": 1_000, "from 127.0.0.1": 1_000, "from ::": 3_000, "from ::1": 1_000, "from an IPv4-mapped address": 2_000,
	"from broadcast": 1_000, "from link-local": 6_000, "from multicast": 10_000, "to 0.0.0.0": 2_000, "to 127.0.0.1": 2_000, "to ::": 3_000,
	"to ::1": 1_000, "to an IPv4-mapped address": 3_000, "to broadcast": 2_000, "to link-local": 8_000, "to multicast": 10_000,
	"in segments": 10_000, "in segments, without a length": 5_000, "lengths of IPv4 that cannot be": 10_000,
	"lengths of IPv6 that cannot be": 10_000, "of another type": 8_000, "tagged": 3_000,
	"error about: IPv4 first fragment": 1_000, "error about: IPv4 fragment from 16 on": 100, "error about: IPv4 fragment from 8 on": 1_000,
	"error about: IPv4 later fragment": 2_000, "error about: IPv6 first fragment": 2_000, "error about: IPv6 fragment from 16 on": 100,
	"error about: IPv6 fragment from 8 on": 1_000, "error about: IPv6 later fragment": 2_000, "error about: atomic fragment": 1_000,
	"error about: authentication header of an odd length": 600, "error about: chain of 1": 3_000, "error about: chain of 9 before a transport": 100,
	"error about: chain that is cut": 1_000, "error about: extension 0": 4_000, "error about: extension 43": 4_000,
	"error about: extension 44": 7_000, "error about: extension 51": 2_000, "error about: extension 60": 7_000,
	"error about: fragment header behind others": 2_000, "error about: from an IPv4-mapped address": 200, "error about: jumbo option": 1_000,
	"error about: lengths of IPv4 that cannot be": 200, "error about: option 0": 1_000, "error about: option 1": 1_000,
	"error about: option 131": 1_000, "error about: option 137": 1_000, "error about: option 148": 900, "error about: option 68": 800,
	"error about: option 7": 400, "error about: option of a broken length": 1_000, "error about: port 0": 700,
	"error about: protocol 1, cut short": 100, "error about: protocol 132, cut short": 3_000, "error about: protocol 17, cut short": 100,
	"error about: protocol 50": 7_000, "error about: protocol 6, cut short": 5_000, "error about: routing header of type 0, 0 left": 600,
	"error about: routing header of type 0, 1 left": 300, "error about: routing header of type 0, 2 left": 300,
	"error about: routing header of type 0, 255 left": 300, "error about: routing header of type 2, 0 left": 600,
	"error about: routing header of type 2, 1 left": 300, "error about: routing header of type 2, 2 left": 300,
	"error about: routing header of type 2, 255 left": 300, "error about: routing header of type 4, 0 left": 600,
	"error about: routing header of type 4, 1 left": 300, "error about: routing header of type 4, 2 left": 300,
	"error about: routing header of type 4, 255 left": 300, "error about: to an IPv4-mapped address": 300,
	"reason closed": 70_000, "reason fragment": 3_000, "reason from-node": 8_000, "reason later-fragment": 500, "reason malformed": 10_000,
	"reason neighbour": 1_000, "reason no-rule": 20_000, "reason not-isolated": 10_000, "reason policy": 8_000, "reason related": 3_000,
	"reason reply": 10_000, "reason spoofed": 10_000, "reason unknown-pod-open": 1_000, "reason unsupported": 4_000,
}

// TestPacketsAreOfManyKinds: a million packets contain every kind that is read in another way, in numbers, and get every reason.
func TestPacketsAreOfManyKinds(t *testing.T) {
	k := kinds{count: map[string]int{}, flags: map[byte]bool{}}
	const clusters, each = 20, 50_000
	for cluster := range clusters {
		img, err := packets.Image(random.Example(cluster), 1, packets.Capacities[cluster%len(packets.Capacities)])
		if err != nil {
			t.Fatal(err)
		}
		packets.Vary(img, rand.New(rand.NewPCG(uint64(cluster), 2)))
		twin := datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
		twin.Load(img)
		source := packets.New(uint64(cluster), img)
		for range each {
			p := source.Next()
			k.look(p)
			twin.Socketless, twin.GSOSize = p.Socketless, p.GSOSize
			k.count["reason "+twin.Run(p.Direction, p.Ifindex, p.FromNode, p.Frame).Reason.String()]++
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(k.count)) {
		t.Logf("%7d %s", k.count[kind], kind)
	}
	for kind, n := range atLeast {
		if k.count[kind] < n {
			t.Errorf("%s: only %d, want %d", kind, k.count[kind], n)
		}
	}
	if len(k.flags) < 256 {
		t.Errorf("TCP has %d different bytes of flags", len(k.flags))
	}
}

// kinds counts packets by what is special about them.
type kinds struct {
	count map[string]int
	flags map[byte]bool // of TCP
}

// look counts all that holds of a packet.
func (k *kinds) look(p packets.Packet) {
	plain := true
	note := func(kind string) { k.count[kind]++; plain = false }
	f := p.Frame
	if p.GSOSize > 0 {
		note("in segments")
		if f[14]>>4 == 4 && f[16] == 0 && f[17] == 0 || f[14]>>4 == 6 && f[18] == 0 && f[19] == 0 {
			note("in segments, without a length")
		}
	}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0800, 0x86dd:
		k.packet(f[14:], "", note)
	case 0x8100, 0x88a8:
		note("tagged")
	default:
		note("of another type")
	}
	if plain {
		k.count["plain"]++
	}
}

// packet looks at an IP packet; prefix says what it stands in.
func (k *kinds) packet(b []byte, prefix string, note func(string)) {
	tell := func(kind string) { note(prefix + kind) }
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		k.packet4(b, prefix, tell)
	case len(b) >= 40 && b[0]>>4 == 6:
		k.packet6(b, prefix, tell)
	default:
		tell("no header")
	}
}

func (k *kinds) packet4(b []byte, prefix string, tell func(string)) {
	size, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if size < 20 || size > len(b) || prefix == "" && (total < size || total > len(b)) {
		tell("lengths of IPv4 that cannot be")
		return
	}
	k.special(b[12:16], "from ", tell)
	k.special(b[16:20], "to ", tell)
	for o := b[20:size]; len(o) > 0; {
		tell(fmt.Sprintf("option %d", o[0]))
		n := 1
		if o[0] > 1 && (len(o) < 2 || o[1] < 2 || int(o[1]) > len(o)) {
			tell("option of a broken length")
			break
		} else if o[0] > 1 {
			n = int(o[1])
		}
		o = o[n:]
	}
	if prefix == "" {
		b = b[:total]
	}
	if !k.fragment(int(binary.BigEndian.Uint16(b[6:])&0x1fff)*8, b[6]&0x20 != 0, "IPv4", tell) {
		k.transport(b[9], b[size:], prefix, tell)
	}
}

// fragment says whether a packet is a later fragment.
func (k *kinds) fragment(offset int, more bool, family string, tell func(string)) bool {
	switch {
	case offset == 0 && more:
		tell(family + " first fragment")
	case offset > 0 && offset < 24:
		tell(fmt.Sprintf("%s fragment from %d on", family, offset))
	case offset > 0:
		tell(family + " later fragment")
	}
	return offset > 0
}

func (k *kinds) packet6(b []byte, prefix string, tell func(string)) {
	k.special(b[8:24], "from ", tell)
	k.special(b[24:40], "to ", tell)
	next, rest := b[6], b[40:]
	if left := int(binary.BigEndian.Uint16(b[4:])); prefix == "" && left > len(rest) {
		tell("lengths of IPv6 that cannot be")
		return
	} else if prefix == "" {
		rest = rest[:left]
	}
	for n := 0; ; n++ {
		size := 8
		switch next {
		case 0, 60, 43:
			size = 0
			if len(rest) >= 8 {
				size = (int(rest[1]) + 1) * 8
			}
		case 51:
			size = 0
			if len(rest) >= 8 {
				size = (int(rest[1]) + 2) * 4
			}
		case 44:
		default:
			if n > 0 {
				tell(fmt.Sprintf("chain of %d", n))
				if k.transport(next, rest, prefix, tell) {
					tell(fmt.Sprintf("chain of %d before a transport", n))
				}
			} else {
				k.transport(next, rest, prefix, tell)
			}
			return
		}
		if size == 0 || len(rest) < size {
			tell("chain that is cut")
			return
		}
		tell(fmt.Sprintf("extension %d", next))
		switch {
		case next == 43:
			tell(fmt.Sprintf("routing header of type %d, %d left", rest[2], rest[3]))
		case next == 51 && size%8 > 0:
			tell("authentication header of an odd length")
		case next == 0 && rest[2] == 0xc2:
			tell("jumbo option")
		case next == 44:
			at := int(binary.BigEndian.Uint16(rest[2:]) & 0xfff8)
			if at == 0 && rest[3]&1 == 0 {
				tell("atomic fragment")
			}
			if n > 0 {
				tell("fragment header behind others")
			}
			if k.fragment(at, rest[3]&1 == 1, "IPv6", tell) {
				return
			}
		}
		next, rest = rest[0], rest[size:]
	}
}

// transport says whether a header is that of a protocol that policies speak of, and whole.
func (k *kinds) transport(protocol byte, b []byte, prefix string, tell func(string)) bool {
	need := map[byte]int{6: 20, 17: 8, 132: 16, 1: 8, 58: 8}[protocol]
	switch {
	case need == 0:
		tell(fmt.Sprintf("protocol %d", protocol))
		return false
	case len(b) < need:
		tell(fmt.Sprintf("protocol %d, cut short", protocol))
		return false
	case protocol == 6:
		k.flags[b[13]] = true
	case protocol == 132 && b[12] != 1:
		k.count["SCTP chunk other than INIT"]++
	}
	isError := protocol == 1 && (b[0] == 3 || b[0] == 11 || b[0] == 12) || protocol == 58 && b[0] >= 1 && b[0] <= 4
	if isError && prefix == "" {
		k.packet(b[8:], "error about: ", tell)
	}
	if protocol != 1 && protocol != 58 && (b[0]|b[1] == 0 || b[2]|b[3] == 0) {
		tell("port 0")
	}
	return true
}

// special names an address that is not one of a host.
func (k *kinds) special(addr []byte, how string, tell func(string)) {
	a, _ := netip.AddrFromSlice(addr)
	switch {
	case a.Is4In6():
		tell(how + "an IPv4-mapped address")
	case a.IsUnspecified():
		tell(how + a.String())
	case a.IsLoopback():
		tell(how + a.String())
	case a.IsMulticast():
		tell(how + "multicast")
	case a.IsLinkLocalUnicast():
		tell(how + "link-local")
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		tell(how + "broadcast")
	}
}
