package update

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/enforce"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// The lines about a node with as many pods as nodes usually have.
const (
	restart   = "restart of the agent, 110 pods, 10,000 peers"
	memoryAll = "kernel memory, 110 pods, 10,000 peers"
	memoryPod = "kernel memory, one more pod"
)

const (
	usualPods  = 110
	usualPeers = 10_000
)

// restartAgent opens what an agent has left: it finds the pins, reads back, compiles, and writes nothing, as nothing is different.
func restartAgent(rounds int) (s samples, err error) {
	pins, err := pinfs.New()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pins.Close()) }()
	dir, err := pins.Mkdir("node")
	if err != nil {
		return nil, err
	}
	in := input(usualPods, peers(usualPeers))
	if wrote, err := start(dir, in); err != nil || !wrote.Switched {
		return nil, errors.Join(err, fmt.Errorf("the first start wrote %+v", wrote))
	}
	s = samples{}
	for range rounds {
		begin := time.Now()
		wrote, err := start(dir, in)
		if err != nil {
			return nil, err
		}
		s.took(restart, begin)
		if wrote != (bpf.Stats{}) {
			return nil, fmt.Errorf("a restart wrote %+v", wrote)
		}
	}
	return s, nil
}

// start is what an agent does at its start, until the kernel holds what it should; and it ends again.
func start(dir string, in enforce.Input) (wrote bpf.Stats, err error) {
	node, err := bpf.Open(bpf.Options{Dir: dir})
	if err != nil {
		return wrote, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	img, err := compile(in)
	if err != nil {
		return wrote, err
	}
	return node.Sync(img)
}

// kernelMemory is the same in every round: there is one.
func kernelMemory(int) (samples, error) {
	usual, err := memory(usualPods)
	if err != nil {
		return nil, err
	}
	twice, err := memory(2 * usualPods)
	if err != nil {
		return nil, err
	}
	return samples{memoryAll: {usual}, memoryPod: {(twice - usual) / usualPods}}, nil
}

// memory is what the tables take in the kernel, in bytes, but for those of flows and the ring of events.
func memory(pods int) (bytes float64, err error) {
	node, err := bpf.Open(bpf.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	img, err := compile(input(pods, peers(usualPeers)))
	if err != nil {
		return 0, err
	}
	if _, err := node.Sync(img); err != nil {
		return 0, err
	}
	for name, m := range node.Maps() {
		if isState(name) {
			continue
		}
		b, err := locked(m)
		if err != nil {
			return 0, fmt.Errorf("memory of map %s: %w", name, err)
		}
		bytes += b
	}
	return bytes, nil
}

// isState says which maps hold what packets bring along, in tables whose size is chosen.
func isState(mapName string) bool {
	return mapName == "flows4" || mapName == "flows6" || mapName == "events"
}

// locked is what a map takes, in bytes. A trie or hash that grows with its entries takes none while it is empty.
func locked(m *ebpf.Map) (float64, error) {
	info, err := m.Info()
	if err != nil {
		return 0, err
	}
	bytes, ok := info.Memlock()
	if !ok && m.Type() == ebpf.Array {
		return 0, errors.New("the kernel does not tell")
	}
	return float64(bytes), nil
}
