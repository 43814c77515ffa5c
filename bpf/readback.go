package bpf

import (
	"errors"
)

// readBack learns what the kernel's tables hold: after a restart the difference is computed against that, not against
// what an earlier process believed.
func (n *Node) readBack() error {
	for b := range n.banks {
		n.banks[b] = bank{hosts: map[[16]byte]uint32{}, nets: map[prefix]uint32{}}
	}
	return errors.Join(n.readPeers(), n.readPods())
}

func (n *Node) readPeers() error {
	return errors.Join(
		readMap(n.maps[kernelMapPeerHosts], func(k kernelHostKey, class uint32) {
			n.banks[k.Space&uint32(kernelSpaceSPACE_BANK_MASK)].hosts[k.Addr] = class
		}),
		readMap(n.maps[kernelMapPeerNets], func(k kernelNetKey, class uint32) {
			n.banks[k.Space&uint32(kernelSpaceSPACE_BANK_MASK)].nets[prefix{k.Addr, uint8(k.PrefixLen - 32)}] = class
		}),
	)
}

func (n *Node) readPods() error {
	n.pods = map[uint32]kernelPod{}
	for _, p := range n.tables.Pods {
		if p.Ifindex != 0 {
			n.pods[p.Ifindex] = withoutHealing(p)
		}
	}
	return readMap(n.maps[kernelMapPodsFar], func(ifindex uint32, p kernelPod) { n.pods[ifindex] = withoutHealing(p) })
}
