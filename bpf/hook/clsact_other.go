//go:build !linux

package hook

import (
	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/model/flow"
)

func (h Hooks) attachClsact(int) error { return ebpf.ErrNotSupported }

func (h Hooks) detachClsact(int, flow.Direction) error { return nil }

func lookClsact(int, flow.Direction, map[ebpf.ProgramID]version) (onHook, error) {
	return onHook{}, nil
}

func isGone(error) bool { return false }

func interfaces() ([]int, error) { return nil, ebpf.ErrNotSupported }
