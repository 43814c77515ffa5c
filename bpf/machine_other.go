//go:build !linux

package bpf

import "github.com/cilium/ebpf"

func thisMachine() (machine, error) { return machine{}, ebpf.ErrNotSupported }
