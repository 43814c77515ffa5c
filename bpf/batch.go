package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// batchSize is how many entries one system call takes at most.
const batchSize = 4096

// entries of a map are collected, and written or deleted by one system call for many, where the kernel has one: for hashes since 5.6,
// for tries since 5.13.
type entries[A comparable, K any] struct {
	many func([]K, []uint32) (done int, err error)
	one  func(K, uint32) error
	done func(A, uint32) // is told what the kernel has done

	addrs   []A
	keys    []K
	classes []uint32
}

func (e *entries[A, K]) add(a A, key K, class uint32) error {
	e.addrs, e.keys, e.classes = append(e.addrs, a), append(e.keys, key), append(e.classes, class)
	if len(e.keys) < batchSize {
		return nil
	}
	return e.flush()
}

// flush does what has been collected. What many cannot do, or stops at, is done one by one, so that the error is that of an entry.
func (e *entries[A, K]) flush() error {
	for i := 0; i < len(e.keys); i++ {
		if e.many != nil {
			n, err := e.many(e.keys[i:], e.classes[i:])
			if err != nil && n == len(e.keys)-i {
				n = 0 // an error that came before the kernel counted leaves the number as it was
			}
			if e.tell(i, i+n); err == nil {
				break
			}
			if i += n; errors.Is(err, ebpf.ErrNotSupported) {
				e.many = nil
			}
		}
		if err := e.one(e.keys[i], e.classes[i]); err != nil {
			return err
		}
		e.tell(i, i+1)
	}
	e.addrs, e.keys, e.classes = e.addrs[:0], e.keys[:0], e.classes[:0]
	return nil
}

func (e *entries[A, K]) tell(from, to int) {
	for i := from; i < to; i++ {
		e.done(e.addrs[i], e.classes[i])
	}
}

// readMap hands over the entries of a hash or trie, in no order.
func readMap[K, V any](m *ebpf.Map, take func(K, V)) error {
	keys, values := make([]K, batchSize), make([]V, batchSize)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if errors.Is(err, ebpf.ErrNotSupported) {
			break // at the first call, if at all
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read %v: %w", m, err)
		}
		for i := range n {
			take(keys[i], values[i])
		}
		if err != nil { // these were the last
			return nil
		}
	}
	var key K
	var value V
	all := m.Iterate()
	for all.Next(&key, &value) {
		take(key, value)
	}
	return all.Err()
}
