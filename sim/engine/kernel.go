package engine

import (
	"errors"
	"fmt"
	"os"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// NewKernel returns the engine that loads the compiled tables into the kernel and sends packets through the programs
// there, by BPF_PROG_TEST_RUN. It needs root on Linux.
func NewKernel() Engine {
	return &compiled{name: "kernel", links: newLinks(), start: func() (packetJudge, error) {
		h, err := bpf.NewHarness(bpf.Capacity{}, bpf.Standard)
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("engine kernel needs root (CAP_BPF and CAP_NET_ADMIN): %w", err)
		}
		if err != nil {
			return nil, err
		}
		return &harness{h}, nil
	}}
}

type harness struct{ h *bpf.Harness }

func (h *harness) Load(img *bpf.Image) error {
	_, err := h.h.Sync(img)
	return err
}

func (h *harness) Run(dir flow.Direction, ifindex uint32, fromNode bool, frame []byte) (bpf.Outcome, error) {
	return h.h.Run(dir, ifindex, fromNode, frame)
}

func (h *harness) Close() error { return h.h.Close() }
