package engine_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// semantics is one case of testdata/semantics.txt.
type semantics struct {
	number int
	title  string
	lines  []line
}

type line struct {
	at   int // in the file, from 1
	text string
}

func readSemantics(t *testing.T) []semantics {
	t.Helper()
	text, err := os.ReadFile("testdata/semantics.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []semantics
	for i, text := range strings.Split(string(text), "\n") {
		switch rest, isCase := strings.CutPrefix(text, "case "); {
		case isCase:
			number, title, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				t.Fatalf("semantics.txt:%d: %v", i+1, err)
			}
			cases = append(cases, semantics{number: n, title: title})
		case text != "" && text[0] != '#':
			c := &cases[len(cases)-1]
			c.lines = append(c.lines, line{i + 1, text})
		}
	}
	return cases
}

// TestSemantics plays every case on the model, on the tables and, as root, in the kernel.
func TestSemantics(t *testing.T) {
	judges := engines(t)
	for _, c := range readSemantics(t) {
		t.Run(fmt.Sprintf("%02d %s", c.number, c.title), func(t *testing.T) {
			play := player{town: newTown(t), engines: judges}
			questions := 0
			for _, l := range c.lines {
				isChange, err := play.change(l.text)
				if !isChange {
					err = play.ask(t, l.text)
					questions++
				}
				if err != nil {
					t.Errorf("semantics.txt:%d: %s: %v", l.at, l.text, err)
				}
			}
			if questions == 0 {
				t.Error("the case asks nothing")
			}
		})
	}
}

// player asks the engines about a town that changes.
type player struct {
	*town
	engines []engine.Engine
	oracle  *model.Model // of the town as it is; nil after a change
}

func (p *player) change(line string) (bool, error) {
	ok, err := p.town.change(line)
	if ok {
		p.oracle = nil
	}
	return ok, err
}

func (p *player) load(t *testing.T) error {
	if p.oracle != nil {
		return nil
	}
	now := p.Cluster // lists are replaced, never modified
	p.oracle = model.New(&now)
	var errs []error
	for _, e := range p.engines {
		errs = append(errs, e.Load(t.Context(), &now))
	}
	return errors.Join(errs...)
}

// question is what a line asks, and the answers.
type question struct {
	model.Query
	backends []netip.AddrPort // behind the address that is asked about
	want     flow.Verdict
	reason   model.Reason // the model says "undefined" for it; empty: the model says want
}

func (p *player) ask(t *testing.T, text string) error {
	if err := p.load(t); err != nil {
		return err
	}
	q, err := p.question(strings.Fields(text))
	if err != nil {
		return err
	}
	errs := []error{q.askModel(p.oracle)}
	for _, e := range p.engines {
		errs = append(errs, q.askEngine(e))
	}
	return errors.Join(errs...)
}

func (q *question) askModel(m *model.Model) error {
	d := m.Decide(q.Query)
	reasons := []model.Reason{d.Reason, d.Egress.Reason, d.Ingress.Reason}
	switch {
	case q.reason == "" && d.Verdict != q.want:
		return fmt.Errorf("the model says %s: %s", d.Verdict, strings.Join(d.Sentences(), " "))
	case q.reason != "" && (d.Verdict != flow.Undefined || !slices.Contains(reasons, q.reason)):
		return fmt.Errorf("the model says %s for %q, want undefined for %s", d.Verdict, reasons, q.reason)
	}
	return nil
}

// askEngine follows the packet: as it leaves the pod, and as it is after translation, whichever backend it gets.
func (q *question) askEngine(e engine.Engine) error {
	sent, err := e.Verdict(q.Query)
	errs := []error{err}
	if q.backends == nil && sent != q.want {
		errs = append(errs, fmt.Errorf("engine %s says %s", e.Name(), sent))
	}
	for _, b := range q.backends {
		translated := q.Query
		translated.To, translated.Port = model.Endpoint{Addr: b.Addr()}, b.Port()
		got, err := e.Verdict(translated)
		if errs = append(errs, err); sent == flow.Deny {
			got = flow.Deny
		}
		if got != q.want {
			errs = append(errs, fmt.Errorf("engine %s says %s by way of %s", e.Name(), got, b))
		}
	}
	return errors.Join(errs...)
}

// question reads "FROM TO PORT [FAMILY] VERDICT [for REASON]".
func (p *player) question(words []string) (*question, error) {
	if n := len(words); n > 2 && words[n-2] == "for" {
		q, err := p.question(words[:n-2])
		if err == nil {
			q.reason = model.Reason(words[n-1])
		}
		return q, err
	}
	if len(words) < 4 {
		return nil, errors.New("neither a change nor a question")
	}
	q := &question{}
	var errs [5]error
	if len(words) == 5 {
		q.Family, errs[0] = flow.ParseFamily(words[3])
	}
	q.PortProto, errs[1] = parsePort(words[2], q.Family)
	to, backend, _ := strings.Cut(words[1], "=")
	q.From, errs[2] = p.end(words[0])
	q.To, errs[3] = p.end(to)
	errs[4] = q.want.UnmarshalText([]byte(words[len(words)-1]))
	if q.To.Addr.IsValid() {
		q.backends = p.backends(q.To.Addr, q.Port)
	}
	if backend != "" {
		q.backends = slices.DeleteFunc(q.backends, func(a netip.AddrPort) bool { return a.Addr().String() != backend })
	}
	return q, errors.Join(errs[:]...)
}

func parsePort(text string, f flow.Family) (flow.PortProto, error) {
	switch {
	case text == "ICMP" && f == flow.IPv6:
		return flow.PortProto{Protocol: flow.ICMPv6}, nil
	case text == "ICMP":
		return flow.PortProto{Protocol: flow.ICMP}, nil
	}
	return flow.ParsePortProto(text)
}

func (p *player) end(text string) (model.Endpoint, error) {
	if i := slices.IndexFunc(p.Pods, called[*corev1.Pod](text)); i >= 0 {
		return model.Endpoint{Pod: p.Pods[i]}, nil
	}
	if node, ok := strings.CutPrefix(text, "node/"); ok {
		if i := slices.IndexFunc(p.Nodes, called[*corev1.Node](node)); i >= 0 {
			return model.Endpoint{Node: p.Nodes[i]}, nil
		}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return model.Endpoint{}, fmt.Errorf("there is no %q", text)
	}
	return model.Endpoint{Addr: a}, nil
}

// elsewhere says of the rules that no verdict on a new connection can show where they are tested, as "directory:test", or
// why there is nothing to test here.
var elsewhere = map[int]string{
	15: "../../model/validation:TestNetworkPolicy",
	28: "../../model/validation:TestNetworkPolicy",
	50: "endPort is supported: case 48",
	51: "../../model/validation:TestNetworkPolicy",
	54: "../../model/validation:TestNetworkPolicy",
	58: "the API leaves the source address after SNAT open; from the pod's own node it is case 33",
	64: "../../scenarios/backend/netns:TestAPolicyHoldsForPodsThatComeLater",
	70: "a consequence of several nodes, nothing to enforce",
	71: "../datapath:TestFlows",
	73: "../datapath:TestFlows",
	74: "../datapath:TestUDPTimesOut",
	76: "../datapath:TestFlows",
	77: "../datapath:TestHeaders",
	78: "../datapath:TestHeaders",
	81: "hostPort is a translation like NodePort: case 47",
	82: "the programs run at the pod's interface, before and after whatever the proxy does",
	85: "denied is dropped: package bpf checks the program's return value with every packet of these tests",
}

// TestEveryRuleIsTested keeps the list of rules, 1 to 85, complete.
func TestEveryRuleIsTested(t *testing.T) {
	covered := map[int]bool{}
	for _, c := range readSemantics(t) {
		covered[c.number] = true
	}
	for n, where := range elsewhere {
		covered[n] = true
		if dir, test, ok := strings.Cut(where, ":Test"); ok && !hasTest(t, dir, "Test"+test) {
			t.Errorf("rule %d: there is no %s in %s", n, test, dir)
		}
	}
	for n := range 85 {
		if !covered[n+1] {
			t.Errorf("rule %d is tested nowhere", n+1)
		}
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^func ` + name + `\(`)
	return slices.ContainsFunc(files, func(f string) bool {
		text, err := os.ReadFile(f)
		return err == nil && want.Match(text)
	})
}
