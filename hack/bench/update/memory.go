package update

import (
	"errors"
	"fmt"
	"slices"

	"github.com/palisade-netpol/palisade/bpf"
)

// The lines about what the tables take in the kernel, in bytes, but for those whose size is chosen.
const (
	memoryAll = "kernel memory, 110 pods, 10,000 peers"
	memoryPod = "kernel memory, one more pod"
)

// memoryOf is the line of one map, with the same pods and peers.
func memoryOf(mapName string) string { return "kernel memory of map " + mapName }

// counted are the maps that memoryAll adds up. The others hold what packets bring along: flows, and events for who
// listens.
func counted() []string {
	return []string{"node", "cpus", "peers4", "prefixes6", "rules", "port_bits", "peer_hosts", "peer_nets", "pods_far", "known_pods", "pod_names", "scratch"}
}

func chosen() []string { return []string{"flows4", "flows6", "events"} }

func memoryLines() []string {
	lines := []string{memoryAll, memoryPod}
	for _, name := range slices.Concat(counted(), chosen()) {
		lines = append(lines, memoryOf(name))
	}
	return lines
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
	s := samples{memoryAll: {usual.sum()}, memoryPod: {(twice.sum() - usual.sum()) / usualPods}}
	for name, bytes := range usual {
		s[memoryOf(name)] = []float64{bytes}
	}
	return s, nil
}

// footprint is what each map takes, in bytes.
type footprint map[string]float64

func (f footprint) sum() (bytes float64) {
	for _, name := range counted() {
		bytes += f[name]
	}
	return bytes
}

// memory is what the maps of a node with so many pods take.
func memory(pods int) (_ footprint, err error) {
	node, err := bpf.Open(bpf.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	img, err := compile(input(pods, peers(usualPeers)))
	if err != nil {
		return nil, err
	}
	if _, err := node.Sync(img); err != nil {
		return nil, err
	}
	maps, err := node.Memory()
	if err != nil {
		return nil, err
	}
	return weigh(maps)
}

// weigh fails when a map is in no line.
func weigh(maps []bpf.Memory) (footprint, error) {
	f, known := footprint{}, slices.Concat(counted(), chosen())
	for _, m := range maps {
		if f[m.Table] = float64(m.Bytes); !slices.Contains(known, m.Table) {
			return nil, fmt.Errorf("nothing is said of map %s", m.Table)
		}
	}
	return f, nil
}
