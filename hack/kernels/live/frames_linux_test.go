package live_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/model/flow"
)

// sent is a frame and why it passes or is dropped at a hook, by whether the pod there is isolated.
type sent struct {
	frame    []byte
	egress   [2]bpf.Reason
	ingress  [2]bpf.Reason
	segments uint64 // as which it counts
	header   []byte // of a virtio device, where the frame goes out with one
}

const (
	open     = 0
	isolated = 1
)

// at is a frame that is judged alike at both hooks: it passes where no policy isolates the pod, and there is a
// reason for what happens where one does.
func at(f []byte, r bpf.Reason) sent {
	both := [2]bpf.Reason{open: bpf.ReasonNotIsolated, isolated: r}
	return sent{frame: f, egress: both, ingress: both, segments: 1}
}

// always is a frame to which isolation makes no difference.
func always(f []byte, r bpf.Reason) sent {
	both := [2]bpf.Reason{r, r}
	return sent{frame: f, egress: both, ingress: both, segments: 1}
}

// only is like at, with another reason at the client's egress hook.
func (s sent) leavesFor(r bpf.Reason) sent { s.egress[isolated] = r; return s }

// arrivesFor is like at, with another reason at the server's ingress hook, isolated or not.
func (s sent) arrivesFor(r bpf.Reason) sent { s.ingress = [2]bpf.Reason{r, r}; return s }

// wireCase is a story in frames from the client. Where it routes, the client may send from addresses that are not
// its own.
type wireCase struct {
	name   string
	routes bool
	frames []sent
}

// fence is what is sent behind each frame: when it has arrived, so has what went before.
func fence() sent { return always(ether(0x0806, make([]byte, 28)), bpf.ReasonNeighbour) }

// ether puts an Ethernet header before a packet.
func ether(kind uint16, packet []byte) []byte {
	f := append([]byte{2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1}, byte(kind>>8), byte(kind))
	return append(f, packet...)
}

// packetOf is what a frame carries behind its Ethernet header.
func packetOf(f []byte) []byte { return f[14:] }

// tagged puts VLAN tags before what a frame says it carries, each with its protocol and the rest of it.
func tagged(f []byte, tags ...[2]uint16) []byte {
	out := append([]byte{}, f[:12]...)
	for _, t := range tags {
		out = binary.BigEndian.AppendUint16(out, t[0])
		out = binary.BigEndian.AppendUint16(out, t[1])
	}
	return append(out, f[12:]...)
}

// TestFrames sends frames of every kind over a real link, through the programs on its hooks, and looks which of them
// arrive in the other pod and for which reason each was counted.
func TestFrames(t *testing.T) {
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, mode)
			w.widen(t, 9000)
			w.shortCircuit(t)
			line := &line{wire: w, plain: plug(t, w.client, false), segmented: plug(t, w.client, true),
				far: plug(t, w.server, false)}
			for _, s := range []state{{}, {client: true}, {server: true}, {routes: true}, {server: true, routes: true}} {
				w.apply(t, s)
				t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) { line.play(t, s) })
			}
		})
	}
}

// modes are the hook that the kernel has to offer and, where there is time, the one that all kernels have.
func modes() map[string]hook.Mode {
	if testing.Short() {
		return map[string]hook.Mode{"best": hook.Auto}
	}
	return map[string]hook.Mode{"best": hook.Auto, "clsact": hook.Clsact}
}

// line is a wire with the sockets at its ends.
type line struct {
	*wire
	plain, segmented, far *port
	serial                uint32
}

func (l *line) play(t *testing.T, s state) {
	for _, c := range wireCases() {
		if c.routes != s.routes {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			for i, f := range c.frames {
				l.send(t, i, f, s)
			}
		})
	}
}

// send sends a frame and the fence behind it, and compares what became of them.
func (l *line) send(t *testing.T, i int, f sent, s state) {
	t.Helper()
	before := l.counted(t)
	id, end := l.out(t, f, fence())
	arrived := false
	for buffer := make([]byte, 1<<17); ; {
		got := serialOf(l.far.next(t, buffer))
		arrived = arrived || got == id
		if got == end {
			break
		}
	}
	want, passes := f.counts(s)
	if more := l.counted(t).since(before); !alike(more, want) {
		t.Errorf("frame %d, %x: counted %v, want %v", i, head(f.frame), more, want)
	}
	if arrived != passes {
		t.Errorf("frame %d, %x: arrived: %t, want %t", i, head(f.frame), arrived, passes)
	}
}

// out gives frames their serial numbers and sends them, one right after the other.
func (l *line) out(t *testing.T, frames ...sent) (id, end uint32) {
	t.Helper()
	onOneCPU(t, func() {
		for _, f := range frames {
			l.serial++
			b := append(append([]byte{}, f.header...), f.frame...)
			binary.BigEndian.PutUint32(b[len(f.header)+2:], l.serial)
			from := l.plain
			if f.header != nil {
				from = l.segmented
			}
			if _, err := unix.Write(from.fd, b); err != nil {
				t.Fatalf("send %x: %v", head(b), err)
			}
		}
	})
	return l.serial - 1, l.serial
}

// serialOf reads the number that out has given a frame, as part of the address that it goes to.
func serialOf(f []byte) uint32 {
	if len(f) < 14 || f[0] != 2 || f[1] != 0 {
		return 0
	}
	return binary.BigEndian.Uint32(f[2:])
}

// counts are the counters that move, and whether the frame passes both hooks.
func (f sent) counts(s state) (packets, bool) {
	want := packets{flow.Egress: {}, flow.Ingress: {}}
	side := map[bool]int{true: isolated}
	egress, ingress := f.egress[side[s.client]], f.ingress[side[s.server]]
	want[flow.Egress][egress] = f.segments
	if egress.Verdict() != flow.Allow {
		return want, false
	}
	want[flow.Ingress][ingress] = f.segments
	return want, ingress.Verdict() == flow.Allow
}

// alike compares counters. Neighbours count at least as often as they should: the fence is one, and both kernels
// send some of their own accord.
func alike(got, want packets) bool {
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		g, w := maps.Clone(got[dir]), maps.Clone(want[dir])
		if g[bpf.ReasonNeighbour] < w[bpf.ReasonNeighbour]+1 {
			return false
		}
		delete(g, bpf.ReasonNeighbour)
		delete(w, bpf.ReasonNeighbour)
		if !maps.Equal(g, w) {
			return false
		}
	}
	return true
}

func head(f []byte) []byte { return f[:min(len(f), 100)] }

// between is a packet from the client to a port of the server, or to and from others.
func between(protocol flow.Protocol, v6 bool, dst uint16) flow.Tuple {
	t := flow.Tuple{Src: client4, Dst: server4, Protocol: protocol, SrcPort: 5000, DstPort: dst}
	if v6 {
		t.Src, t.Dst = client6, server6
	}
	return t
}
