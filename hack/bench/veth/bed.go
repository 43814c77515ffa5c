package veth

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// The two ends of all traffic, by index of bed.pods.
const sender, receiver = 0, 1

// Where they are, and the ports of the receiver that may be reached: as many as new flows need to be new for long.
var (
	podAddrs = [2]netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
	nodeAddr = netip.MustParseAddr("192.168.7.1")
)

const firstPort, portCount = 1000, 16

// bed is a node with two pods, without any filter.
type bed struct {
	fabric *fabric.Fabric
	node   *fabric.Node
	pods   [2]*fabric.Pod
	pins   *pinfs.FS

	traffics []*traffic
	closes   []func() error // in reverse order
}

func newBed() (*bed, error) {
	b := &bed{}
	if err := b.build(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a node with two pods: %w", err), b.close())
	}
	return b, nil
}

// build makes everything but filters.
func (b *bed) build() (err error) {
	if b.pins, err = pinfs.New(); err != nil {
		return err
	}
	b.defers(b.pins.Close)
	if b.fabric, err = fabric.New(); err != nil {
		return err
	}
	b.defers(b.fabric.Close)
	if b.node, err = b.fabric.AddNode("node", []netip.Addr{nodeAddr}); err != nil {
		return err
	}
	b.defers(b.node.Release)
	for i := range b.pods {
		if err := b.addPod(i); err != nil {
			return err
		}
	}
	return b.addTraffics()
}

func (b *bed) addTraffics() error {
	for _, k := range trafficKinds() {
		t, err := k.make(b)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		t.name = k.name
		b.traffics = append(b.traffics, t)
	}
	return nil
}

func (b *bed) addPod(i int) error {
	pod, err := b.node.AddPod(fabric.LinkName("bench", fmt.Sprint(i)), []netip.Addr{podAddrs[i]})
	if err != nil {
		return err
	}
	b.pods[i] = pod
	b.defers(pod.Release)
	return pod.Up()
}

// defers notes what close has to do.
func (b *bed) defers(f func() error) { b.closes = append(b.closes, f) }

func (b *bed) close() error {
	var errs []error
	for i := range b.closes {
		errs = append(errs, b.closes[len(b.closes)-1-i]())
	}
	return errors.Join(errs...)
}

// inside runs f in the namespace of a pod.
func (b *bed) inside(pod int, f func() error) error { return b.pods[pod].NS().Do(f) }

// onNode runs f in the namespace of the node.
func (b *bed) onNode(f func() error) error { return b.node.NS().Do(f) }

// received is how many packets have reached each pod's own side of its link.
func (b *bed) received() (packets [2]uint64, err error) {
	for i, p := range b.pods {
		if packets[i], err = receivedIn(p.NS()); err != nil {
			return packets, err
		}
	}
	return packets, nil
}

func receivedIn(n *ns.NS) (packets uint64, err error) {
	err = n.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return fmt.Errorf("read the packets of a link: %w", err)
		}
		packets = l.Attrs().Statistics.RxPackets
		return nil
	})
	return packets, err
}
