package update

import (
	"errors"
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// restart is about a node with as many pods as nodes usually have.
const restart = "restart of the agent, 110 pods, 10,000 peers"

const (
	usualPods  = 110
	usualPeers = 10_000
)

// restartAgent opens what an agent has left: it finds the pins, reads back, compiles, and writes nothing, as nothing is
// different.
func restartAgent(rounds int) (s samples, err error) {
	pins, err := pinfs.New()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pins.Close()) }()
	dir, err := pins.Mkdir("node")
	if err != nil {
		return nil, err
	}
	in := input(usualPods, peers(usualPeers))
	if wrote, err := start(dir, in); err != nil || !wrote.Switched {
		return nil, errors.Join(err, fmt.Errorf("the first start wrote %+v", wrote))
	}
	s = samples{}
	for range rounds {
		begin := time.Now()
		wrote, err := start(dir, in)
		if err != nil {
			return nil, err
		}
		s.took(restart, begin)
		if wrote != (bpf.Stats{}) {
			return nil, fmt.Errorf("a restart wrote %+v", wrote)
		}
	}
	return s, nil
}

// start is what an agent does at its start, until the kernel holds what it should; and it ends again.
func start(dir string, in enforce.Input) (wrote bpf.Stats, err error) {
	node, err := bpf.Open(bpf.Options{Dir: dir})
	if err != nil {
		return wrote, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	img, err := compile(in)
	if err != nil {
		return wrote, err
	}
	return node.Sync(img)
}
