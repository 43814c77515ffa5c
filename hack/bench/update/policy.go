package update

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
)

// The lines about policies: what the compiler takes, and what it takes to write the difference to the kernel.
const (
	addCompile    = "add a peer to 100,000, compile"
	addWrite      = "add a peer to 100,000, write"
	removeCompile = "remove a peer from 100,001, compile"
	removeWrite   = "remove a peer from 100,001, write"
	swapCompile   = "swap a policy of 10,000 rules, compile"
	swapWrite     = "swap a policy of 10,000 rules, write"
)

const manyPeers = 100_000

// changePeer adds a peer to a hundred thousand and removes another one, again and again: what was in force before is
// never wanted again, so the tables of the idle bank are never right already.
func changePeer(rounds int) (samples, error) {
	all := newParts(1, peers(manyPeers+rounds+1))
	return inTurn(2*rounds, func(i int) step {
		gone, there := i/2, (i+1)/2+manyPeers
		if i%2 == 1 {
			return step{all.between(gone, there), addCompile, addWrite}
		}
		return step{all.between(gone, there), removeCompile, removeWrite}
	})
}

// swapPolicy replaces a policy of ten thousand rules by another one, of which no rule is the same. There are three of
// them, as one of two would still be in the idle bank.
func swapPolicy(rounds int) (samples, error) {
	var policies [3]enforce.Input
	for i := range policies {
		policies[i] = input(1, rules(ruleCount, int32(1000*(i+1))))
	}
	return inTurn(rounds, func(i int) step { return step{policies[i%len(policies)], swapCompile, swapWrite} })
}

// step is what is in force next, and the lines that count how long it takes until it is.
type step struct {
	to             enforce.Input
	compile, write string
}

// inTurn takes so many steps, after a first one that is not measured.
func inTurn(steps int, at func(i int) step) (s samples, err error) {
	node, err := bpf.Open(bpf.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	s = samples{}
	for i := range steps + 1 {
		into := s
		if i == 0 {
			into = samples{}
		}
		if err := at(i).do(node, into); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// do compiles and writes, and makes sure that something was.
func (st step) do(node *bpf.Node, s samples) error {
	runtime.GC() // of what earlier steps left
	begin := time.Now()
	img, err := compile(st.to)
	if err != nil {
		return err
	}
	s.took(st.compile, begin)
	begin = time.Now()
	wrote, err := node.Sync(img)
	if err != nil {
		return err
	}
	s.took(st.write, begin)
	if !wrote.Switched || wrote.TableWrites == 0 {
		return fmt.Errorf("nothing was written: %+v", wrote)
	}
	return nil
}
