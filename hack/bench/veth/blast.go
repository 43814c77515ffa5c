package veth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/frame"
)

// BlastOptions say how many packets are sent, and how long a policy is in force before the other one is.
type BlastOptions struct {
	Packets int
	Every   time.Duration
}

// BlastResult counts packets. Every packet to AllowedPort has to arrive, and no other one may.
type BlastResult struct {
	Denied, Allowed uint64 // sent, by what both policies say
	Arrived         uint64 // at the receiver, of IPv4
	Decided         map[bpf.Reason]uint64
	Swaps           int
	Elapsed         time.Duration
}

// Of a batch, one packet is allowed. Of the others half are denied where they leave the sender, half where they reach the receiver.
const (
	allowedPort  = 80
	egressDenied = portCount / 2 // ports from firstPort on that the sender may not reach
)

// variant is one of the two policies of a pod that are swapped.
type variant func(pod int) []v1alpha1.EndpointInfo

// denying are two policies that differ in peers and ports, and mean the same for what is sent: the sender may reach all denied ports but
// the first ones, and the receiver may be reached by the sender at AllowedPort only.
func denying() [2]variant {
	return [2]variant{
		func(pod int) []v1alpha1.EndpointInfo {
			list := endpoints(others(peerCount), firstPort, portCount)
			if pod == sender {
				list = append(list, endpoints(podAddrs[receiver:], firstPort+egressDenied, portCount-egressDenied)...)
			}
			return append(list, endpoints(podAddrs[1-pod:2-pod], allowedPort, 1)...)
		},
		func(pod int) []v1alpha1.EndpointInfo {
			list := endpoints(others(peerCount/2), 1, firstPort)
			if pod == sender {
				list = append(list, endpoints(podAddrs[receiver:], firstPort+egressDenied, 60000)...)
			}
			return append(list, endpoints(podAddrs[1-pod:2-pod], allowedPort, firstPort-allowedPort)...)
		},
	}
}

// Blast sends packets of ever new flows, first ones and later ones, as fast as one CPU can, from a pod to another one, while both
// pods' policies are swapped for others that mean the same. It is an error if a packet arrives that both deny, or if one is lost that
// both allow.
func Blast(ctx context.Context, o BlastOptions) (BlastResult, error) { return blast(ctx, o, denying()) }

func blast(ctx context.Context, o BlastOptions, policies [2]variant) (r BlastResult, err error) {
	b, err := newBed()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	dir, err := b.pins.Mkdir("blast")
	if err != nil {
		return r, err
	}
	node, err := bpf.Open(bpf.Options{Dir: dir})
	if err != nil {
		return r, err
	}
	b.defers(node.Close)
	var images [2]*bpf.Image
	for i, v := range policies {
		if images[i], err = b.image([2]*v1alpha1.PolicyEndpoint{isolated(sender, v(sender), bothWays), isolated(receiver, v(receiver), bothWays)}); err != nil {
			return r, err
		}
	}
	if _, err := node.Sync(images[0]); err != nil {
		return r, err
	}
	if err := b.onNode(func() error { return b.eachPod(hook.Hooks{Node: node}.Attach) }); err != nil {
		return r, err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	swapped := make(chan error, 1)
	go func() {
		var err error
		r.Swaps, err = swap(ctx, node, images, o.Every)
		cancel() // without swaps there is nothing to see
		swapped <- err
	}()
	err = b.fire(ctx, o.Packets, &r)
	cancel()
	if err := errors.Join(err, <-swapped); err != nil {
		return r, err
	}
	r.Decided = map[bpf.Reason]uint64{}
	counters, err := node.Counters()
	for _, c := range counters {
		r.Decided[c.Reason] += c.Packets
	}
	return r, errors.Join(err, r.judge())
}

// swap makes the node enforce one image after the other until ctx ends, and says how often.
func swap(ctx context.Context, node *bpf.Node, images [2]*bpf.Image, every time.Duration) (swaps int, err error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return swaps, nil
		case <-ticker.C:
		}
		stats, err := node.Sync(images[(swaps+1)%2])
		if err != nil {
			return swaps, err
		}
		if !stats.Switched {
			return swaps, errors.New("the kernel took the policies to be the same")
		}
		swaps++
	}
}

// fire sends packets until there were enough, and waits until those that are allowed have arrived.
func (b *bed) fire(ctx context.Context, packets int, r *BlastResult) error {
	fd, err := b.raw(sender)
	if err != nil {
		return err
	}
	free, err := alone()
	if err != nil {
		return err
	}
	defer free()
	start, err := b.datagrams()
	if err != nil {
		return err
	}
	begin := time.Now()
	kinds := [2]*burst{}
	for i, k := range []frame.Kind{frame.First, frame.Later} {
		s := segment(between(flow.TCP, 0, firstPort), k)
		kinds[i] = newBurst(len(s))
		for j := range kinds[i].data {
			copy(kinds[i].data[j], s)
		}
	}
	for n := uint32(0); int(r.Denied) < packets; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		shot := kinds[n/batch%2]
		for i, packet := range shot.data {
			aim(packet, n, i == 0)
			n++
		}
		if err := b.inside(sender, func() error { return shot.send(fd) }); err != nil {
			return err
		}
		r.Allowed++
		r.Denied += batch - 1
	}
	r.Elapsed = time.Since(begin)
	for end := time.Now().Add(patience * time.Millisecond); ; time.Sleep(time.Millisecond) {
		now, err := b.datagrams()
		if err != nil {
			return err
		}
		if r.Arrived = now - start; r.Arrived >= r.Allowed || time.Now().After(end) {
			return nil
		}
	}
}

// datagrams is how many IPv4 packets the receiver has got: unlike the counters of its link, that leaves out ARP.
func (b *bed) datagrams() (packets uint64, err error) {
	err = b.inside(receiver, func() error {
		file, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		// "Ip: Forwarding DefaultTTL InReceives …", then the numbers in this order (RFC 1213).
		lines := strings.SplitN(string(file), "\n", 3)
		names, numbers := strings.Fields(lines[0]), strings.Fields(lines[1])
		at := slices.Index(names, "InReceives")
		if at < 0 || at >= len(numbers) {
			return fmt.Errorf("no InReceives in %q", lines)
		}
		packets, err = strconv.ParseUint(numbers[at], 10, 64)
		return err
	})
	return packets, err
}

// aim gives a segment the n-th flow, to the port that is allowed or to one that is denied.
func aim(packet []byte, n uint32, allowed bool) {
	port := uint16(allowedPort)
	if !allowed {
		port = firstPort + uint16(n%portCount)
	}
	addressTo(packet, uint16(n), port)
}

func (r *BlastResult) judge() error {
	if r.Arrived != r.Allowed {
		return fmt.Errorf("of %d packets that both policies allow and %d that both deny, %d arrived", r.Allowed, r.Denied, r.Arrived)
	}
	if judged := r.Decided[bpf.ReasonNoRule]; judged < r.Denied {
		return fmt.Errorf("the counters know %d denied packets, %d were sent: they say %v", judged, r.Denied, r.Decided)
	}
	return nil
}
