package flowlog

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// DefaultLines is how many lines a second a pod has by default, beside the one that counts what was left out.
const DefaultLines = 10

// Line is one line of the log. It is a denial of so many packets of a pod, or, where LeftOut is set, says how many denials of
// the pod are in no line, or, with Unread, how many denied packets of the node left no trace but their count.
type Line struct {
	Time            time.Time `json:"time"`
	Log             string    `json:"log"` // "flow", as other lines may go the same way
	Node            string    `json:"node"`
	Pod             *Pod      `json:"pod,omitempty"`
	Verdict         string    `json:"verdict,omitempty"`
	Direction       string    `json:"direction,omitempty"`
	Peer            *Peer     `json:"peer,omitempty"`
	Protocol        string    `json:"protocol,omitempty"`
	SourcePort      uint16    `json:"sourcePort,omitempty"` // of the first of these packets
	DestinationPort uint16    `json:"destinationPort,omitempty"`
	Reason          string    `json:"reason,omitempty"`
	Policies        []string  `json:"policies,omitempty"` // that isolate the pod in this direction
	Count           uint64    `json:"count,omitempty"`
	LeftOut         uint64    `json:"leftOut,omitempty"`
	Unread          uint64    `json:"unread,omitempty"`
}

// Pod is a pod of the node. Its name is known where a policy selects it or the CNI plugin told.
type Pod struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Interface uint32 `json:"interface"`
}

// Peer is who sent the packet, or was to receive it. It has a name where it is a pod of this node whose name is known.
type Peer struct {
	Address   netip.Addr `json:"address"`
	Namespace string     `json:"namespace,omitempty"`
	Name      string     `json:"name,omitempty"`
}

// kind is what equal denials have in common.
type kind struct {
	direction       flow.Direction
	reason          bpf.Reason
	epoch           uint32
	src, dst        netip.Addr
	protocol        flow.Protocol
	destinationPort uint16
}

// denials are equal ones.
type denials struct {
	first bpf.Event
	count uint64
}

// pod is what was denied to a pod since the last Flush.
type pod struct {
	denials map[kind]*denials
	leftOut uint64
	last    bpf.Event // of those left out
}

// Log collects denials, and writes them when it is told to. It is not safe for concurrent use.
type Log struct {
	Node   string
	Tables *Tables
	Lines  int // per pod and Flush; default: DefaultLines
	Out    io.Writer
	pods   map[uint32]*pod
	unread uint64
}

// Stats are what a Flush wrote: lines, and the denials that are in them and in none.
type Stats struct{ Lines, Logged, LeftOut, Unread uint64 }

// Add takes a denial.
func (l *Log) Add(e bpf.Event) {
	if l.pods == nil {
		l.pods = map[uint32]*pod{}
	}
	p := l.pods[e.Ifindex]
	if p == nil {
		p = &pod{denials: map[kind]*denials{}}
		l.pods[e.Ifindex] = p
	}
	k := kind{e.Direction, e.Reason, e.Epoch, e.Tuple.Src, e.Tuple.Dst, e.Tuple.Protocol, e.Tuple.DstPort}
	switch d := p.denials[k]; {
	case d != nil:
		d.count++
	case len(p.denials) < cmp.Or(l.Lines, DefaultLines):
		p.denials[k] = &denials{e, 1}
	default:
		p.leftOut++
		p.last = e
	}
}

// Unread takes the number of packets that were denied and of which nothing is known.
func (l *Log) Unread(n uint64) { l.unread += n }

// Flush writes what was added since the last one, in the order of interfaces and times. The Stats count also what could not be
// written; the error is the first one.
func (l *Log) Flush(now time.Time) (Stats, error) {
	var stats Stats
	var first error
	write := func(line Line) {
		stats.Lines++
		if err := l.write(line); first == nil {
			first = err
		}
	}
	for _, ifindex := range slices.Sorted(maps.Keys(l.pods)) {
		p := l.pods[ifindex]
		for _, d := range slices.SortedFunc(maps.Values(p.denials), earlier) {
			stats.Logged += d.count
			write(l.line(d))
		}
		if p.leftOut > 0 {
			stats.LeftOut += p.leftOut
			tables, _ := l.Tables.at(p.last.Epoch)
			write(Line{Time: p.last.Time, Pod: tables.pod(ifindex), LeftOut: p.leftOut})
		}
	}
	if stats.Unread = l.unread; l.unread > 0 {
		write(Line{Time: now, Unread: l.unread})
	}
	l.pods, l.unread = nil, 0
	return stats, first
}

func (l *Log) write(line Line) error {
	line.Log, line.Node = "flow", l.Node
	text, err := json.Marshal(line)
	if err != nil {
		return err
	}
	_, err = l.Out.Write(append(text, '\n'))
	return err
}

// earlier orders denials by time, and those of the same time by what they are about.
func earlier(a, b *denials) int {
	x, y := a.first, b.first
	return cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.Direction, y.Direction), x.Tuple.Src.Compare(y.Tuple.Src),
		x.Tuple.Dst.Compare(y.Tuple.Dst), cmp.Compare(x.Tuple.Protocol, y.Tuple.Protocol),
		cmp.Compare(x.Tuple.DstPort, y.Tuple.DstPort), cmp.Compare(x.Reason, y.Reason), cmp.Compare(x.Epoch, y.Epoch))
}

// line says what equal denials were. Policies are named only where the tables are known that decided.
func (l *Log) line(d *denials) Line {
	e := d.first
	tables, known := l.Tables.at(e.Epoch)
	line := Line{
		Time: e.Time, Verdict: e.Reason.Verdict().String(), Direction: e.Direction.String(), Pod: tables.pod(e.Ifindex),
		Reason: e.Reason.String(), Count: d.count,
	}
	if known && e.Reason != bpf.ReasonSpoofed { // which is no matter of policies
		line.Policies = tables.policies[e.Direction][tables.pods[e.Ifindex]]
	}
	peer := e.Tuple.Dst
	if e.Direction == flow.Ingress {
		peer = e.Tuple.Src
	}
	if !peer.IsValid() {
		return line
	}
	of := tables.addrs[peer]
	line.Peer = &Peer{peer, of.namespace, of.name}
	line.Protocol, line.SourcePort, line.DestinationPort = e.Tuple.Protocol.String(), e.Tuple.SrcPort, e.Tuple.DstPort
	return line
}

func (t *tables) pod(ifindex uint32) *Pod {
	n := t.pods[ifindex]
	return &Pod{n.namespace, n.name, ifindex}
}
