package engine

import (
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
)

// NewTables returns the engine that interprets the compiled tables in Go. It needs no privileges.
func NewTables() Engine {
	return &compiled{name: "tables", links: newLinks(), start: func() (packetJudge, error) {
		return &twin{datapath.New(bpf.Standard, func() time.Duration { return time.Hour })}, nil
	}}
}

type twin struct{ d *datapath.Datapath }

func (t *twin) Load(img *bpf.Image) error {
	t.d.Load(img)
	return nil
}

func (t *twin) Run(dir flow.Direction, ifindex uint32, fromNode bool, frame []byte) (bpf.Outcome, error) {
	return t.d.Run(dir, ifindex, fromNode, frame), nil
}

func (t *twin) Close() error { return nil }
