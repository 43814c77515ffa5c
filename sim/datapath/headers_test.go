package datapath_test

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// tcp80 is the first packet of a connection from the peer to port 80 of the pod.
func tcp80(src, dst netip.Addr) []byte {
	return frame.New(flow.Tuple{Src: src, Dst: dst, Protocol: flow.TCP, SrcPort: 5000, DstPort: 80}, frame.First)
}

// to4 and to6 are such packets, changed.
func to4(change func(ip []byte)) []byte {
	f := tcp80(peerIP, podIP)
	change(f[14:])
	return f
}

func to6(change func(ip []byte)) []byte {
	f := tcp80(peerIP6, podIP6)
	change(f[14:])
	return f
}

// with4 puts options between the IPv4 header and what follows.
func with4(options ...byte) []byte {
	f := tcp80(peerIP, podIP)
	f = append(f[:34:34], append(options, f[34:]...)...)
	f[14] = 0x40 | byte(5+len(options)/4)
	binary.BigEndian.PutUint16(f[16:], uint16(len(f)-14))
	return f
}

// with6 puts an extension header, whose first byte becomes "TCP follows", behind the IPv6 header.
func with6(kind byte, header ...byte) []byte {
	f := tcp80(peerIP6, podIP6)
	header[0] = byte(flow.TCP)
	f = append(f[:54:54], append(header, f[54:]...)...)
	f[20] = kind
	binary.BigEndian.PutUint16(f[18:], uint16(len(f)-54))
	return f
}

// nested6 puts two fragment headers behind one another, the first of them of a first fragment.
func nested6(second ...byte) []byte {
	f := with6(44, 0, 0, 0, 1, 0, 0, 0, 0)
	second[0] = byte(flow.TCP)
	f = append(f[:62:62], append(second, f[62:]...)...)
	f[54] = 44
	binary.BigEndian.PutUint16(f[18:], uint16(len(f)-54))
	return f
}

func icmp6(kind, hopLimit byte) []byte {
	f := frame.IP(flow.Tuple{Src: peerIP6, Dst: podIP6, Protocol: flow.ICMPv6}, append([]byte{kind}, make([]byte, 23)...))
	f[14+7] = hopLimit
	return f
}

func short(f []byte, n int) []byte { return f[:len(f)-n] }

// TestHeaders shows isolated pods — one whose ingress allows the peer TCP and UDP on port 80, one whose ingress is closed —
// packets with every kind of header that has been misread somewhere.
func TestHeaders(t *testing.T) {
	arp := append(make([]byte, 12), append([]byte{8, 6}, make([]byte, 28)...)...)
	vlan := append(append(make([]byte, 12), 0x81, 0, 0, 1), tcp80(peerIP, podIP)[12:]...)
	start := judges(t)
	instance := uint32(0)
	for _, c := range []struct {
		name    string
		frame   []byte
		ingress string
		want    bpf.Reason
	}{
		{"plain IPv4", tcp80(peerIP, podIP), "peer:80", bpf.ReasonPolicy},
		{"plain IPv6", tcp80(peerIP6, podIP6), "peer:80", bpf.ReasonPolicy},
		{"77 ARP passes a closed pod", arp, "closed", bpf.ReasonNeighbour},
		{"77 neighbour solicitation passes", icmp6(135, 255), "closed", bpf.ReasonNeighbour},
		{"77 neighbour advertisement passes", icmp6(136, 255), "closed", bpf.ReasonNeighbour},
		{"77 router solicitation passes", icmp6(133, 255), "closed", bpf.ReasonNeighbour},
		{"77 redirect passes", icmp6(137, 255), "closed", bpf.ReasonNeighbour},
		{"77 what was routed here is no neighbour", icmp6(135, 254), "closed", bpf.ReasonClosed},
		{"77 ping6 is policed", icmp6(128, 255), "closed", bpf.ReasonClosed},
		{"77 multicast listeners are no neighbours", icmp6(132, 255), "closed", bpf.ReasonClosed},
		{"78 a first fragment has ports", to4(func(ip []byte) { ip[6] = 0x20 }), "peer:80", bpf.ReasonPolicy},
		{"78 a later fragment of IPv4 has none", to4(func(ip []byte) { ip[6], ip[7] = 0, 3 }), "peer:80", bpf.ReasonFragment},
		{"78 a later fragment that would overwrite the ports", to4(func(ip []byte) { ip[6], ip[7] = 0, 1 }), "peer:80",
			bpf.ReasonMalformed},
		{"78 a first fragment of IPv6", with6(44, 0, 0, 0, 1, 0, 0, 0, 0), "peer:80", bpf.ReasonPolicy},
		{"78 a fragment of a fragment", nested6(0, 0, 0, 1, 0, 0, 0, 0), "peer:80", bpf.ReasonMalformed},
		{"78 a whole datagram as a fragment", nested6(0, 0, 0, 0, 0, 0, 0, 0), "peer:80", bpf.ReasonMalformed},
		{"78 a later fragment of IPv6", with6(44, 0, 0, 0, 24, 0, 0, 0, 0), "peer:80", bpf.ReasonFragment},
		{"IPv4 options are walked", with4(1, 1, 1, 1, 1, 1, 1, 1), "peer:80", bpf.ReasonPolicy},
		{"an IPv4 option of 8 bytes is walked", with4(94, 8, 0, 0, 0, 0, 0, 0), "peer:80", bpf.ReasonPolicy},
		{"what follows the end of IPv4 options is none", with4(1, 0, 131, 3, 4, 137, 3, 4), "peer:80", bpf.ReasonPolicy},
		{"a dozen IPv4 options are walked", with4(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1), "peer:80", bpf.ReasonPolicy},
		{"more IPv4 options than anybody uses", with4(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0), "peer:80", bpf.ReasonMalformed},
		{"a loose route", with4(131, 7, 4, 10, 0, 0, 9, 0), "peer:80", bpf.ReasonMalformed},
		{"a strict route behind another option", with4(1, 94, 3, 0, 137, 7, 4, 10, 0, 0, 9, 0), "peer:80", bpf.ReasonMalformed},
		{"a route through an open pod", with4(131, 7, 4, 10, 0, 0, 9, 0), "open", bpf.ReasonNotIsolated},
		{"an IPv4 option without length", with4(1, 1, 1, 94), "peer:80", bpf.ReasonMalformed},
		{"an IPv4 option of one byte that has a length", with4(94, 1, 0, 0), "peer:80", bpf.ReasonMalformed},
		{"an IPv4 option longer than the header", with4(94, 5, 0, 0), "peer:80", bpf.ReasonMalformed},
		{"a routing header that goes on", with6(43, 0, 0, 4, 1, 0, 0, 0, 0), "peer:80", bpf.ReasonMalformed},
		{"hop-by-hop options are walked", with6(0, 0, 0, 1, 4, 0, 0, 0, 0), "peer:80", bpf.ReasonPolicy},
		{"a routing header is walked", with6(43, 0, 0, 4, 0, 0, 0, 0, 0), "peer:80", bpf.ReasonPolicy},
		{"destination options of 16 bytes are walked", with6(60, 0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "peer:80",
			bpf.ReasonPolicy},
		{"an authentication header is walked", with6(51, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), "peer:80", bpf.ReasonPolicy},
		{"an extension header longer than the packet", with6(60, 0, 200, 1, 4, 0, 0, 0, 0), "peer:80", bpf.ReasonMalformed},
		{"a TCP header cut short", short(to4(func(ip []byte) { ip[3] -= 24 }), 24), "peer:80", bpf.ReasonFragment},
		{"a TCP header of IPv6 cut short", short(to6(func(ip []byte) { ip[5] -= 24 }), 24), "peer:80", bpf.ReasonFragment},
		{"less than the header says", short(tcp80(peerIP, podIP), 1), "peer:80", bpf.ReasonMalformed},
		{"an IPv4 header that is too short", to4(func(ip []byte) { ip[0] = 0x44 }), "peer:80", bpf.ReasonMalformed},
		{"an IPv4 frame with another version", to4(func(ip []byte) { ip[0] = 0x65 }), "peer:80", bpf.ReasonMalformed},
		{"an IPv6 frame with another version", to6(func(ip []byte) { ip[0] = 0x40 }), "peer:80", bpf.ReasonMalformed},
		{"a VLAN tag", vlan, "peer:80", bpf.ReasonUnsupported},
		{"another protocol under a rule for ports", to4(func(ip []byte) { ip[9] = 47 }), "peer:80", bpf.ReasonFragment},
		{"protocol 0 under a rule for ports", to4(func(ip []byte) { ip[9] = 0 }), "peer:80", bpf.ReasonFragment},
	} {
		t.Run(c.name, func(t *testing.T) {
			instance++ // what the kernel remembers of the case before counts for nothing
			isolated := img("open", c.ingress)
			isolated.Pods[0].Instance = instance
			for i, run := range start {
				if got, err := run(isolated, c.frame); err != nil || got.Reason != c.want {
					t.Errorf("%s: got %s (%v), want %s", []string{"twin", "kernel"}[i], got.Reason, err, c.want)
				}
			}
		})
	}
}

// TestSuperPacketsSayNothingAboutTheirLength: what is going to be cut into segments and is too long for the words of its header says 0 there (BIG
// TCP), and is as long as it is. Where nothing is going to be cut, 0 is a lie.
func TestSuperPacketsSayNothingAboutTheirLength(t *testing.T) {
	needRoot(t)
	const mss = 1400
	i := img("open", somePorts)
	w, h := newTwin(plain), open(t, plain)
	w.Load(i)
	if _, err := h.Sync(i); err != nil {
		t.Fatal(err)
	}
	noLength4, noLength6 := func(ip []byte) { ip[2], ip[3] = 0, 0 }, func(ip []byte) { ip[4], ip[5] = 0, 0 }
	jumbo := with6(0, 0, 0, 0xc2, 4, 0, 1, 0x11, 0x70) // a hop-by-hop option with the length of 70,000 bytes
	noLength6(jumbo[14:])
	options := with4(1, 1, 1, 1)
	noLength4(options[14:])
	other := to4(func(ip []byte) { noLength4(ip); ip[23] = 81 })
	other6 := to6(func(ip []byte) { noLength6(ip); ip[43] = 81 })
	for _, c := range []struct {
		name  string
		frame []byte
		gso   uint32
		want  bpf.Reason
	}{
		{"IPv4", to4(noLength4), mss, bpf.ReasonPolicy},
		{"IPv4 with options", options, mss, bpf.ReasonPolicy},
		{"IPv4 to another port", other, mss, bpf.ReasonNoRule},
		{"IPv4 that is not cut", to4(noLength4), 0, bpf.ReasonMalformed},
		{"IPv4 with a length", tcp80(peerIP, podIP), mss, bpf.ReasonPolicy},
		{"IPv4 with one that is too long", to4(func(ip []byte) { ip[2], ip[3] = 255, 255 }), mss, bpf.ReasonMalformed},
		{"IPv4 with one that is too short", to4(func(ip []byte) { ip[2], ip[3] = 0, 1 }), mss, bpf.ReasonMalformed},
		{"IPv6", to6(noLength6), mss, bpf.ReasonPolicy},
		{"IPv6 with the option for it", jumbo, mss, bpf.ReasonPolicy},
		{"IPv6 to another port", other6, mss, bpf.ReasonNoRule},
		// Without payload there is no header that could have a port.
		{"IPv6 that is not cut", to6(noLength6), 0, bpf.ReasonFragment},
		{"IPv6 with the option, and not cut", jumbo, 0, bpf.ReasonMalformed},
		{"IPv6 with a length", tcp80(peerIP6, podIP6), mss, bpf.ReasonPolicy},
		{"IPv6 with one that is too long", to6(func(ip []byte) { ip[4], ip[5] = 255, 255 }), mss, bpf.ReasonMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.GSOSize, h.GSOSize = c.gso, c.gso
			got, err := h.Run(flow.Ingress, iface, false, c.frame)
			if twin := w.Run(flow.Ingress, iface, false, c.frame); err != nil || got != twin || got.Reason != c.want {
				t.Errorf("kernel says %s (%v), twin %s, want %s", got.Reason, err, twin.Reason, c.want)
			}
		})
	}
}

// judge shows a frame to a reader of the tables.
type judge func(img *bpf.Image, frame []byte) (bpf.Outcome, error)

// judges returns the twin and, as root, the kernel.
func judges(t *testing.T) []judge {
	t.Helper()
	list := []judge{func(img *bpf.Image, f []byte) (bpf.Outcome, error) {
		d := datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
		d.Load(img)
		return d.Run(flow.Ingress, iface, false, f), nil
	}}
	if os.Geteuid() == 0 {
		h := open(t, bpf.Options{})
		var loaded *bpf.Image // to see that nothing differs takes longer than a packet
		list = append(list, func(img *bpf.Image, f []byte) (bpf.Outcome, error) {
			if img != loaded {
				if _, err := h.Sync(img); err != nil {
					return bpf.Outcome{}, err
				}
				loaded = img
			}
			return h.Run(flow.Ingress, iface, false, f)
		})
	} else {
		t.Log("not root: not shown to the kernel")
	}
	return list
}
