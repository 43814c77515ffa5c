package dump_test

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/bpf/hook/dump"
)

func TestAListThatChangedIsReadAgain(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		changes int // while it is read
		end     error
		want    error
		least   int // how often it is read
	}{
		"which did not change":      {0, nil, nil, 1},
		"which changed twice":       {2, nil, nil, 3},
		"which cannot be read":      {0, broken, broken, 1},
		"which changed, and cannot": {1, broken, broken, 2},
		"which changes for ever":    {1 << 30, nil, netlink.ErrDumpInterrupted, 10},
	} {
		t.Run(name, func(t *testing.T) {
			reads := 0
			list, err := dump.Whole(func() ([]int, error) {
				if reads++; reads <= c.changes {
					return nil, netlink.ErrDumpInterrupted
				}
				return []int{reads}, c.end
			})
			if !errors.Is(err, c.want) || reads < c.least || c.want == nil && list[0] != c.changes+1 {
				t.Errorf("%v, %v after %d reads, want error %v after %d", list, err, reads, c.want, c.least)
			}
		})
	}
}
