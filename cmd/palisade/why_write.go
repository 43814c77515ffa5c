package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// writeWhy prints e in one of the formats of palisade why.
func writeWhy(t terminal, format string, e model.Explanation, from, to string, probe flow.PortProto) error {
	if format == "json" {
		return writeJSON(t, newExplanation(e, probe))
	}
	var b strings.Builder
	width := t.width
	if !t.wrap {
		width = math.MaxInt
	}
	b.WriteString(wrap(headline(t, e.Verdict, from, to, probe), 0, width))
	if len(e.Backends) == 0 || e.Reason != "" {
		writeSentences(&b, e, 2, width)
	}
	for _, backend := range e.Backends {
		address := fmt.Sprintf("%s (%s)", backend.To, backend.Tuple.Dst)
		b.WriteString(wrap("backend "+headline(t, backend.Verdict, from, address, portOf(backend)), 2, width))
		writeSentences(&b, backend, 4, width)
	}
	_, err := t.Write([]byte(b.String()))
	return err
}

func headline(t terminal, v flow.Verdict, from, to string, probe flow.PortProto) string {
	p := paint(t.color)
	return fmt.Sprintf("%s: %s → %s %s", p.bold(p.cell(v.Cell(), false, v.String())), from, to, probe)
}

func writeSentences(b *strings.Builder, e model.Explanation, indent, width int) {
	for _, sentence := range e.Sentences() {
		b.WriteString(wrap(sentence, indent, width))
	}
}

func portOf(e model.Explanation) flow.PortProto {
	return flow.PortProto{Protocol: e.Tuple.Protocol, Port: e.Tuple.DstPort}
}

// explanation is the JSON form of what the model explains. Rules are there even if there are none.
type explanation struct {
	Verdict     flow.Verdict  `json:"verdict"`
	Reason      model.Reason  `json:"reason,omitempty"`
	Enforcement string        `json:"enforcement,omitempty"`
	From        string        `json:"from"`
	To          string        `json:"to"`
	Address     string        `json:"address,omitempty"` // of To, as policies see it
	Protocol    string        `json:"protocol"`
	Port        uint16        `json:"port"`
	Egress      half          `json:"egress"`
	Ingress     half          `json:"ingress"`
	Explanation []string      `json:"explanation"`
	Backends    []explanation `json:"backends,omitempty"`
}

type half struct {
	Verdict     flow.Verdict      `json:"verdict"`
	Reason      model.Reason      `json:"reason"`
	Isolating   []model.PolicyRef `json:"isolating"`
	Rules       []model.RuleRef   `json:"rules"`
	Nearest     *model.Miss       `json:"nearest,omitempty"`
	Elsewhere   []model.PolicyRef `json:"elsewhere,omitempty"` // policies that select the pod for the other direction only
	Enforcement string            `json:"enforcement,omitempty"`
}

func newExplanation(e model.Explanation, probe flow.PortProto) explanation {
	j := explanation{
		Verdict: e.Verdict, Reason: e.Reason, Enforcement: e.Enforcement, From: e.From, To: e.To,
		Protocol: probe.Protocol.String(), Port: probe.Port,
		Egress: newHalf(e.Egress, e.Halves[flow.Egress]), Ingress: newHalf(e.Ingress, e.Halves[flow.Ingress]),
		Explanation: e.Sentences(),
	}
	if e.Tuple.Dst.IsValid() {
		j.Address = e.Tuple.Dst.String()
	}
	for _, b := range e.Backends {
		j.Backends = append(j.Backends, newExplanation(b, portOf(b)))
	}
	return j
}

func newHalf(h model.Half, e model.HalfExplanation) half {
	return half{
		Verdict: h.Verdict, Reason: h.Reason,
		Isolating: append([]model.PolicyRef{}, h.Isolating...), Rules: append([]model.RuleRef{}, h.Rules...),
		Nearest: e.Nearest, Elsewhere: e.Elsewhere, Enforcement: e.Enforcement,
	}
}
