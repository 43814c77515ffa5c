package agent

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/enforce"
)

// datapath is the kernel's side of a node.
type datapath struct {
	node  *bpf.Node
	hooks hook.Hooks
	// least and most are how many entries the table of single addresses has, and may grow to have.
	least, most int
	// programs is held while programs are put on interfaces, and while those that are there are replaced.
	programs sync.Mutex
}

func openDatapath(cfg Config) (*datapath, error) {
	node, err := bpf.Open(cfg.datapath())
	if err != nil {
		return nil, err
	}
	return &datapath{
		node: node, hooks: hook.Hooks{Node: node, Mode: cfg.Hook},
		least: cfg.Capacity.Hosts, most: cmp.Or(cfg.MaxPeerEntries, DefaultMaxPeerEntries),
	}, nil
}

// outcome is what became of an input.
type outcome struct {
	*enforce.Result
	bpf.Stats
	// grow is why a table is not as large as it should be. What then does not fit is closed.
	grow error
}

// enforce compiles the input and makes the kernel hold it. A table that is too small grows. After an error what was enforced before still
// is; the Result is nil where it could not be compiled.
func (d *datapath) enforce(in enforce.Input) (e outcome, err error) {
	room := d.node.Capacity()
	room.Hosts = max(room.Hosts, d.most)
	if e.Result, err = enforce.Build(in, room); err != nil {
		return e, fmt.Errorf("compile: %w", err)
	}
	if e.grow = d.node.GrowPeers(max(len(e.Image.Hosts), d.least/2), &d.programs, d.hooks.Replace); e.grow != nil {
		e.grow = fmt.Errorf("tables are smaller than they should be: %w", e.grow)
	}
	if room = d.node.Capacity(); e.Image.Fits(room) != nil {
		if e.Result, err = enforce.Build(in, room); err != nil {
			return e, fmt.Errorf("compile: %w", errors.Join(err, e.grow))
		}
	}
	if err = d.node.Replace(&d.programs, d.hooks.Replace); err == nil {
		e.Stats, err = d.node.Sync(e.Image)
	}
	if err != nil {
		return e, fmt.Errorf("write tables: %w", err)
	}
	return e, nil
}
