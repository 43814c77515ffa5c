package enforce

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/bpf"
)

// Result is what Build made.
type Result struct {
	Program    *Program
	Image      *bpf.Image
	Legend     *Legend
	Conditions []Condition // those of the Program, and what was closed because it does not fit
}

// Build compiles the input and lays it out in tables of capacity c. What does not fit is closed: the sets with the most
// blocks and rules give way first, until the others fit, and the pods that had them are named in a Condition.
func Build(in Input, c bpf.Capacity) (*Result, error) {
	prog := Compile(in)
	conditions := prog.Conditions
	for {
		img, legend, err := prog.Image(c)
		if err == nil {
			return &Result{prog, img, legend, conditions}, nil
		}
		if !errors.Is(err, bpf.ErrTooLarge) {
			return nil, err
		}
		closed, ok := prog.closeLargest()
		if !ok {
			return nil, err
		}
		conditions = append(conditions, Condition{closed, fmt.Sprintf("closed because the tables are full: %v", err)})
	}
}

// closeLargest replaces the largest set by one that allows nothing. It returns the pods that had it.
func (prog *Program) closeLargest() (pods string, ok bool) {
	var largest *Set
	for _, s := range prog.Sets {
		if !s.empty() && (largest == nil || s.size() > largest.size()) {
			largest = s
		}
	}
	if largest == nil {
		return "", false
	}
	closed := newSet(largest.Direction, nil)
	var names []string
	for i := range prog.Pods {
		p := &prog.Pods[i]
		if p.Sets[largest.Direction] == largest {
			p.Sets[largest.Direction] = closed
			names = append(names, p.Namespace+"/"+p.Name)
		}
	}
	slices.Sort(names)
	prog.collect()
	return strings.Join(names, ","), true
}

// size is what a set takes in the tables, roughly.
func (s *Set) size() int {
	n := len(s.Rules)
	for _, r := range s.Rules {
		n += len(r.Peers.Blocks) + r.Ports.size()
	}
	return n
}
