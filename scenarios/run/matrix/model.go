package matrix

import (
	"runtime"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// Oracle returns one judge for every processor, which all ask the reference model of c for nothing but verdicts: for
// thousands of pods that is much faster than to ask for decisions.
func Oracle(c *model.Cluster) []Judge {
	m := model.New(c)
	judges := make([]Judge, runtime.GOMAXPROCS(0))
	for i := range judges {
		judges[i] = oracle{m}
	}
	return judges
}

type oracle struct{ m *model.Model }

func (o oracle) Verdict(q model.Query) (flow.Verdict, error) { return o.m.Verdict(q), nil }
