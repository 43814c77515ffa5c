package flowlog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/palisade-netpol/palisade/agent/flowlog"
	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/model/flow"
)

var (
	start  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	server = netip.MustParseAddr("10.1.0.2")
	client = netip.MustParseAddr("10.1.0.1")
)

// book is a Log whose lines can be read.
type book struct {
	*testing.T
	flowlog.Log
	out bytes.Buffer
}

func newBook(t *testing.T) *book {
	b := &book{T: t, Log: flowlog.Log{Node: "one", Tables: flowlog.NewTables()}}
	b.Out = &b.out
	return b
}

// flush returns the lines of a Flush.
func (b *book) flush() (lines []flowlog.Line, stats flowlog.Stats) {
	b.Helper()
	stats, err := b.Flush(start)
	if err != nil {
		b.Fatal(err)
	}
	for text := range strings.Lines(b.out.String()) {
		var l flowlog.Line
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			b.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, l)
	}
	b.out.Reset()
	if len(lines) != int(stats.Lines) {
		b.Errorf("%d lines, counted as %d", len(lines), stats.Lines)
	}
	return lines, stats
}

// selects is a PolicyEndpoint of shop/POLICY that isolates pods of shop in some directions.
func selects(policy string, isolation []networkingv1.PolicyType, pods ...string) *v1alpha1.PolicyEndpoint {
	o := &v1alpha1.PolicyEndpoint{}
	o.Spec.PolicyRef = v1alpha1.PolicyReference{Namespace: "shop", Name: policy}
	o.Spec.PodIsolation = isolation
	for _, p := range pods {
		o.Spec.PodSelectorEndpoints = append(o.Spec.PodSelectorEndpoints, v1alpha1.PodEndpoint{Namespace: "shop", Name: p})
	}
	return o
}

// cluster is a server that three policies select, two of them for ingress, and a client that none selects.
func cluster() enforce.Input {
	in, both := []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Ingress", "Egress"}
	return enforce.Input{
		Pods: []enforce.Pod{
			{Namespace: "shop", Name: "server", Ifindex: 7, Addrs: []netip.Addr{server}},
			{Namespace: "shop", Name: "client", Ifindex: 8, Addrs: []netip.Addr{client}},
			{Ifindex: 9},
		},
		Endpoints: []*v1alpha1.PolicyEndpoint{
			selects("web:http/TCP=80", in, "server"), selects("web", in, "server", "other"), selects("deny-all", both, "server"),
			selects("others", both, "other"), selects("out", []networkingv1.PolicyType{"Egress"}, "server"),
		},
	}
}

// denial is one of TCP from the client to a port of the server, in epoch 3.
func denial(port uint16) bpf.Event {
	return bpf.Event{
		Time: start, Ifindex: 7, Epoch: 3, Direction: flow.Ingress, Reason: bpf.ReasonNoRule,
		Tuple: flow.Tuple{Src: client, Dst: server, Protocol: flow.TCP, SrcPort: 40000, DstPort: port},
	}
}

func (b *book) expect(got []flowlog.Line, want ...flowlog.Line) {
	b.Helper()
	for i := range want {
		want[i].Log, want[i].Node = "flow", "one"
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		b.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestALineNamesPodPeerPortReasonAndPolicies(t *testing.T) {
	b := newBook(t)
	b.Tables.Enforced(3, cluster())
	b.Add(denial(80))
	out := denial(53)
	out.Direction, out.Tuple = flow.Egress, flow.Tuple{Src: server, Dst: netip.MustParseAddr("192.0.2.1"), Protocol: flow.ICMP}
	b.Add(out)
	lines, _ := b.flush()
	b.expect(lines, flowlog.Line{
		Time: start, Verdict: "deny", Pod: &flowlog.Pod{Namespace: "shop", Name: "server", Interface: 7}, Direction: "egress",
		Peer: &flowlog.Peer{Address: netip.MustParseAddr("192.0.2.1")}, Protocol: "ICMP", Reason: "no-rule",
		Policies: []string{"shop/deny-all", "shop/out"}, Count: 1,
	}, flowlog.Line{
		Time: start, Verdict: "deny", Pod: &flowlog.Pod{Namespace: "shop", Name: "server", Interface: 7}, Direction: "ingress",
		Peer: &flowlog.Peer{Address: client, Namespace: "shop", Name: "client"}, Protocol: "TCP", SourcePort: 40000,
		DestinationPort: 80, Reason: "no-rule", Policies: []string{"shop/deny-all", "shop/web"}, Count: 1,
	})
}

// TestWhatIsNotKnownIsLeftOut: nothing is made up where the tables that decided are gone, the pod was never named or the
// packet has no addresses.
func TestWhatIsNotKnownIsLeftOut(t *testing.T) {
	b := newBook(t)
	b.Tables.Enforced(4, cluster())
	b.Add(denial(80))
	nameless := bpf.Event{Time: start, Ifindex: 9, Epoch: 4, Reason: bpf.ReasonUnsupported}
	b.Add(nameless)
	spoofed := denial(80)
	spoofed.Ifindex, spoofed.Epoch, spoofed.Reason, spoofed.Direction = 99, 4, bpf.ReasonSpoofed, flow.Egress
	b.Add(spoofed)
	lines, _ := b.flush()
	b.expect(lines, flowlog.Line{
		Time: start, Verdict: "deny", Pod: &flowlog.Pod{Namespace: "shop", Name: "server", Interface: 7}, Direction: "ingress",
		Peer: &flowlog.Peer{Address: client, Namespace: "shop", Name: "client"}, Protocol: "TCP", SourcePort: 40000,
		DestinationPort: 80, Reason: "no-rule", Count: 1,
	}, flowlog.Line{
		Time: start, Verdict: "deny", Pod: &flowlog.Pod{Interface: 9}, Direction: "egress", Reason: "unsupported", Count: 1,
	}, flowlog.Line{
		Time: start, Verdict: "deny", Pod: &flowlog.Pod{Interface: 99}, Direction: "egress",
		Peer: &flowlog.Peer{Address: server, Namespace: "shop", Name: "server"}, Protocol: "TCP", SourcePort: 40000,
		DestinationPort: 80, Reason: "spoofed", Count: 1,
	})
}

func TestEqualDenialsAreOneLine(t *testing.T) {
	b := newBook(t)
	b.Tables.Enforced(3, cluster())
	for i := range 50 {
		e := denial(80)
		e.Time, e.Tuple.SrcPort = start.Add(time.Duration(i)*time.Millisecond), uint16(40000+i)
		b.Add(e)
	}
	b.Add(denial(81))
	lines, stats := b.flush()
	if len(lines) != 2 || lines[0].Count+lines[1].Count != 51 || stats.Logged != 51 || stats.LeftOut != 0 {
		t.Errorf("%d lines, stats %+v; want two lines with all 51", len(lines), stats)
	}
	if lines, stats := b.flush(); len(lines) != 0 || stats != (flowlog.Stats{}) {
		t.Errorf("%d lines, stats %+v after nothing", len(lines), stats)
	}
}

// TestAFloodLeavesTheOthersTheirLines: a pod has its lines, whatever another one gets, and what is left out is counted.
func TestAFloodLeavesTheOthersTheirLines(t *testing.T) {
	b := newBook(t)
	b.Lines = 5
	b.Tables.Enforced(3, cluster())
	const flood = 1000
	for i := range flood {
		b.Add(denial(uint16(i)))
	}
	other := denial(80)
	other.Ifindex = 8
	b.Add(other)
	b.Unread(17)
	lines, stats := b.flush()
	if want := (flowlog.Stats{Lines: 8, Logged: 6, LeftOut: flood - 5, Unread: 17}); stats != want {
		t.Errorf("stats %+v, want %+v", stats, want)
	}
	if l := lines[5]; l.LeftOut != flood-5 || l.Pod.Name != "server" {
		t.Errorf("after the lines of the server %+v, want what was left out", l)
	}
	if l := lines[6]; l.Pod.Name != "client" || l.Count != 1 {
		t.Errorf("then %+v, want that of the client", l)
	}
	if l := lines[7]; l.Unread != 17 {
		t.Errorf("last %+v, want what was not read", l)
	}
}

// TestEpochsAreForgottenInOrder: a node whose policies change for years keeps those of the latest epochs only.
func TestEpochsAreForgottenInOrder(t *testing.T) {
	b := newBook(t)
	for epoch := range uint32(100) {
		in := cluster()
		in.Endpoints = []*v1alpha1.PolicyEndpoint{selects(fmt.Sprint("v", epoch), []networkingv1.PolicyType{"Ingress"}, "server")}
		b.Tables.Enforced(epoch, in)
	}
	for epoch, want := range map[uint32]string{99: "[shop/v99]", 90: "[shop/v90]", 10: "[]"} {
		e := denial(80)
		e.Epoch = epoch
		b.Add(e)
		if lines, _ := b.flush(); fmt.Sprint(lines[0].Policies) != want || lines[0].Pod.Name != "server" {
			t.Errorf("epoch %d: policies %v of pod %q, want %s of the server", epoch, lines[0].Policies, lines[0].Pod.Name, want)
		}
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestLinesThatCannotBeWrittenAreAnError(t *testing.T) {
	b := newBook(t)
	b.Out = full{}
	b.Add(denial(80))
	if _, err := b.Flush(start); !errors.Is(err, errFull) {
		t.Errorf("error %v, want %v", err, errFull)
	}
	b.Out = &b.out
	if lines, _ := b.flush(); len(lines) != 0 {
		t.Errorf("%d lines come again", len(lines))
	}
}
