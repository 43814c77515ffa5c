package live_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// TestNoDisguiseHidesASource sends packets with the source of somebody else through the node's own routing, from a
// pod that no policy selects, in frames that a program might not look into but the node does: it takes a priority
// tag off, and looks at the extension headers of IPv6 only where it must. None may reach the other pod; what the pod
// sends in its own name does.
func TestNoDisguiseHidesASource(t *testing.T) {
	w := newWire(t, hook.Auto)
	out, far := plug(t, w.client, false), plug(t, w.server, false)
	node := w.hardwareAddr(t)
	udp := func(src, dst netip.Addr) []byte {
		f := checksummed(frame.New(flow.Tuple{Src: src, Dst: dst, Protocol: flow.UDP, SrcPort: 5000, DstPort: 80}, frame.First))
		copy(f, node)
		return f
	}
	none := func(f []byte) []byte { return f }
	for _, c := range []struct {
		name     string
		disguise func([]byte) []byte
		v6       bool
	}{
		{"IPv4", none, false},
		{"IPv6", none, true},
		{"IPv4 behind a priority tag", func(f []byte) []byte { return tagged(f, [2]uint16{typeVLAN, 0}) }, false},
		{"IPv6 behind a priority tag", func(f []byte) []byte { return tagged(f, [2]uint16{typeVLAN, 0}) }, true},
		{"IPv4 behind two priority tags", func(f []byte) []byte {
			return tagged(f, [2]uint16{typeQinQ, 0}, [2]uint16{typeVLAN, 0})
		}, false},
		{"IPv6 behind more extension headers than anybody uses", func(f []byte) []byte {
			return extended(f, slices.Repeat([]extension{options}, 9)...)
		}, true},
		{"a later fragment that reaches into the ports", func(f []byte) []byte {
			_, second := frame.Fragment(f, 7, 8)
			copy(second, node)
			return checksummed(second)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, nobody, server := client4, nobody4, server4
			if c.v6 {
				client, nobody, server = client6, nobody6, server6
			}
			onOneCPU(t, func() {
				for _, f := range [][]byte{c.disguise(udp(nobody, server)), udp(client, server)} {
					if _, err := unix.Write(out.fd, f); err != nil {
						t.Fatal(err)
					}
				}
			})
			for buffer := make([]byte, 1<<16); ; {
				src := sourceOf(far.next(t, buffer))
				if src == nobody {
					t.Errorf("a packet of %s came from the client", src)
				}
				if src == client {
					return
				}
			}
		})
	}
}

// hardwareAddr is that of the client's way out.
func (w *wire) hardwareAddr(t *testing.T) (mac net.HardwareAddr) {
	check(t, w.node.NS().Do(func() error {
		link, err := netlink.LinkByIndex(w.client.Ifindex())
		if err == nil {
			mac = link.Attrs().HardwareAddr
		}
		return err
	}))
	return mac
}

// sourceOf is the address that a packet comes from, invalid where the frame is no packet.
func sourceOf(f []byte) netip.Addr {
	src := []byte{}
	switch kind := binary.BigEndian.Uint16(f[12:]); {
	case kind == typeIP4 && len(f) >= 34:
		src = f[26:30]
	case kind == typeIP6 && len(f) >= 54:
		src = f[22:38]
	}
	a, _ := netip.AddrFromSlice(src)
	return a
}

// checksummed fills in the checksum of an IPv4 header without options.
func checksummed(f []byte) []byte {
	if f[14]>>4 != 4 {
		return f
	}
	f[24], f[25] = 0, 0
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(f[24:], ^uint16(sum+sum>>16))
	return f
}
