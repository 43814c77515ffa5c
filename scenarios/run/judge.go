package run

import (
	"github.com/palisade-netpol/palisade/model/flow"
)

// mismatches compares what was seen of c with the model, and the hand-written expectations with both. agrees tells
// whether what was seen is what a verdict promises, outcome describes it, and stepAt is the place to name where no
// expectation speaks about c.
func (c *check) mismatches(stepAt string, agrees func(flow.Verdict) bool, outcome string) []Mismatch {
	var found []Mismatch
	for _, claim := range c.claims {
		switch {
		case claim.want == c.decision.Verdict:
		case agrees(claim.want):
			found = append(found, c.mismatch(KindModel, claim.want, claim.at, outcome))
		default:
			found = append(found, c.mismatch(KindExpectation, claim.want, claim.at, outcome))
		}
	}
	if len(found) == 0 && !agrees(c.decision.Verdict) {
		found = append(found, c.mismatch(KindObservation, c.decision.Verdict, c.place(stepAt), outcome))
	}
	return found
}

// place is where a reader finds the expectation about c.
func (c *check) place(stepAt string) string {
	if len(c.claims) > 0 {
		return c.claims[0].at
	}
	return stepAt
}

func (c *check) mismatch(kind Kind, want flow.Verdict, at, outcome string) Mismatch {
	probe := flow.PortProto{Protocol: c.Protocol, Port: c.to.Port()}
	return Mismatch{
		Kind: kind, From: c.from, To: c.label, Probe: probe.String(), Family: flow.FamilyOf(c.to.Addr()).String(),
		Expected: want, Model: c.decision.Verdict, Observed: outcome, At: at, Explanation: c.decision.Sentences(),
	}
}
