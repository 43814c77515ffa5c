//go:build !linux

package bpf

import "github.com/cilium/ebpf"

func (h *Harness) testRun(*ebpf.Program, []byte, uint32) (uint32, error) { return 0, ErrNotSupported }
