package veth

import (
	"errors"
	"fmt"
)

// filter is what packets between the pods have to pass in one line of the table.
type filter struct {
	// install puts it in place and remove takes it away, so that nothing of it is left. The thread is in the node's
	// namespace.
	install, remove func() error
	// decided is how many packets it has let pass by its policy, for each direction of a pod, so far; nil if it does
	// not count.
	decided func() ([2]uint64, error)
}

// none is the filter that others are compared with.
func none(*bed) (*filter, error) {
	nothing := func() error { return nil }
	return &filter{install: nothing, remove: nothing}, nil
}

// with does something while the filter is in place.
func (f *filter) with(b *bed, do func() error) error {
	if err := b.onNode(f.install); err != nil {
		return errors.Join(fmt.Errorf("install: %w", err), b.onNode(f.remove))
	}
	return errors.Join(do(), b.onNode(f.remove))
}
