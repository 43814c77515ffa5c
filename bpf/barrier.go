package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// barrier waits until no program is running that started before the call: replacing an inner map makes the kernel wait
// for an RCU grace period before the system call returns (maybe_wait_bpf_programs in kernel/bpf/syscall.c, since 4.19).
type barrier struct {
	outer, inner *ebpf.Map
	settled      chan error // holds one value when nothing is awaited
}

func newBarrier() (*barrier, error) {
	inner := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	b := &barrier{settled: make(chan error, 1)}
	var err error
	if b.inner, err = ebpf.NewMap(inner); err != nil {
		return nil, fmt.Errorf("barrier: %w", err)
	}
	b.outer, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: inner})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("barrier: %w", err), b.inner.Close())
	}
	b.begin() // who switched before us may have died before the end of its grace period
	return b, nil
}

// restart awaits a new grace period from now on.
func (b *barrier) restart() {
	<-b.settled //nolint:errcheck // The one that begins now ends later than the one that failed would have.
	b.begin()
}

// begin starts a grace period; wait returns after its end.
func (b *barrier) begin() {
	go func() { b.settled <- b.outer.Put(uint32(0), b.inner) }()
}

// wait returns after the grace period that begin started last. A failed one is tried again by the next wait.
func (b *barrier) wait() error {
	if err := <-b.settled; err != nil {
		b.begin()
		return fmt.Errorf("wait for running programs: %w", err)
	}
	b.settled <- nil
	return nil
}

func (b *barrier) Close() error {
	return errors.Join(<-b.settled, b.outer.Close(), b.inner.Close())
}
