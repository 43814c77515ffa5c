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

// BlastResult counts packets. Each that both policies allow has to arrive, and no other one may.
type BlastResult struct {
	Denied, Allowed uint64 // sent, by what both policies say
	Arrived         Datagrams
	Decided         map[bpf.Reason]uint64
	Swaps           int
	Elapsed         time.Duration
}

// Datagrams are IPv4 packets and how many bytes they have, with their IP headers.
type Datagrams struct{ Packets, Bytes uint64 }

// Of a batch, the first packet is allowed. Of the others about half are denied where they leave the sender, and half where they reach the
// receiver. The allowed one is longer, so that one of the others that arrives in its place is noticed.
const (
	allowedPort  = 80
	egressDenied = portCount / 2 // ports from firstPort on that the sender may not reach
	longer       = 8             // bytes
)

// variant is one of the policies of a pod that are swapped.
type variant func(pod int) []v1alpha1.EndpointInfo

// denying are policies that differ in peers and ports, and mean the same for what is sent: the sender may reach all denied ports but
// the first ones, and the receiver may be reached by the sender at none of them. They are three: of two, each would find the bank that it
// is written to as it left that.
func denying() []variant {
	return []variant{
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
		func(pod int) []v1alpha1.EndpointInfo {
			list := endpoints(others(peerCount/3), allowedPort, firstPort)
			if pod == sender {
				list = append(list, endpoints(podAddrs[receiver:], firstPort+egressDenied, portCount)...)
			}
			return append(list, endpoints(podAddrs[1-pod:2-pod], 1, allowedPort)...)
		},
	}
}

// Blast sends packets of ever new flows, first ones and later ones, as fast as one CPU can, from a pod to another one, while both
// pods' policies are swapped for others that mean the same. It is an error if a packet arrives that both deny, or if one is lost that
// both allow.
func Blast(ctx context.Context, o BlastOptions) (BlastResult, error) { return blast(ctx, o, denying()) }

func blast(ctx context.Context, o BlastOptions, policies []variant) (r BlastResult, err error) {
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
	images := make([]*bpf.Image, len(policies))
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
	return r, errors.Join(err, r.counted())
}

// swap makes the node enforce one image after the other until ctx ends, and says how often. A swap that took longer than it should is made
// up for by the next ones.
func swap(ctx context.Context, node *bpf.Node, images []*bpf.Image, every time.Duration) (swaps int, err error) {
	for at := time.Now().Add(every); ; at = at.Add(every) {
		select {
		case <-ctx.Done():
			return swaps, nil
		case <-time.After(time.Until(at)):
		}
		stats, err := node.Sync(images[(swaps+1)%len(images)])
		if err != nil {
			return swaps, err
		}
		if !stats.Switched || stats.TableWrites == 0 {
			return swaps, errors.New("the tables hold what they held before")
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
	var kinds [2]*burst
	for i, k := range []frame.Kind{frame.First, frame.Later} {
		kinds[i] = volley(segment(between(flow.TCP, 0, firstPort), k))
	}
	start, err := b.datagrams()
	if err != nil {
		return err
	}
	begin := time.Now()
	for n := uint32(0); int(r.Denied) < packets; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		shot := kinds[n/batch%2]
		for i, packet := range shot.data {
			aim(packet, n, i == 0)
			n++
		}
		if err := shot.send(fd); err != nil {
			return err
		}
		r.Allowed++
		r.Denied += batch - 1
	}
	r.Elapsed = time.Since(begin)
	allowed := uint64(len(kinds[0].data[0])) // of both kinds alike
	return eventually(func() error {
		now, err := b.datagrams()
		if err != nil {
			return err
		}
		r.Arrived = Datagrams{now.Packets - start.Packets, now.Bytes - start.Bytes}
		return r.arrived(allowed)
	})
}

// volley is a burst of a segment, of which the first is longer.
func volley(segment []byte) *burst {
	b := newBurst(len(segment) + longer)
	for i := range b.data {
		copy(b.data[i], segment)
		if i > 0 {
			b.shorten(i, len(segment))
		}
	}
	return b
}

// datagrams is what the receiver has got: unlike the counters of its link, that leaves out ARP.
func (b *bed) datagrams() (d Datagrams, err error) {
	err = b.inside(receiver, func() error {
		packets, err := counter("/proc/thread-self/net/snmp", "Ip:", "InReceives")
		if err != nil {
			return err
		}
		bytes, err := counter("/proc/thread-self/net/netstat", "IpExt:", "InOctets")
		d = Datagrams{packets, bytes}
		return err
	})
	return d, err
}

// counter reads one of the kernel's: a line with the names of a group is followed by one with their numbers.
func counter(path, group, name string) (uint64, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(file)) {
		words := strings.Fields(line)
		switch at := slices.Index(names, name); {
		case len(words) == 0 || words[0] != group:
		case names == nil:
			names = words
		case at < 0 || at >= len(words):
			return 0, fmt.Errorf("no %s among %q of %s", name, names, path)
		default:
			return strconv.ParseUint(words[at], 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s in %s", group, path)
}

// aim gives a segment the n-th flow, to the port that is allowed or to one that is denied.
func aim(packet []byte, n uint32, allowed bool) {
	port := uint16(allowedPort)
	if !allowed {
		port = firstPort + uint16(n%portCount)
	}
	addressTo(packet, uint16(n), port)
}

// arrived compares what arrived with what both policies allow, packets of so many bytes.
func (r *BlastResult) arrived(size uint64) error {
	if r.Arrived != (Datagrams{r.Allowed, r.Allowed * size}) {
		return fmt.Errorf("of %d packets of %d bytes that both policies allow, and %d of %d that both deny, %d with %d bytes arrived",
			r.Allowed, size, r.Denied, size-longer, r.Arrived.Packets, r.Arrived.Bytes)
	}
	return nil
}

// counted compares what the programs counted with what was sent.
func (r *BlastResult) counted() error {
	if counted := r.Decided[bpf.ReasonNoRule]; counted != r.Denied {
		return fmt.Errorf("the counters know %d denied packets, %d were sent: they say %v", counted, r.Denied, r.Decided)
	}
	return nil
}
