//go:build !linux

package bpf

import "github.com/cilium/ebpf"

func hz() (uint32, error) { return 0, ebpf.ErrNotSupported }
