package update

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/fabric"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// The lines about a pod that starts, while the programs are loaded.
const (
	attachClsact = "attach a pod, clsact"
	attachTCX    = "attach a pod, tcx"
)

// attachBy measures one of the two.
func attachBy(line string) func(int) (samples, error) {
	mode := hook.Clsact
	if line == attachTCX {
		mode = hook.TCX
	}
	return func(rounds int) (s samples, err error) {
		n, err := newNode(mode)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, n.close()) }()
		s = samples{}
		for i := range rounds {
			if err := n.start(i, func(begin time.Time) { s.took(line, begin) }); err != nil {
				return nil, err
			}
		}
		return s, nil
	}
}

// node is a namespace with the programs loaded.
type node struct {
	fabric *fabric.Fabric
	wire   *fabric.Node
	pins   *pinfs.FS
	hooks  hook.Hooks
	closes []func() error // in reverse order
}

func newNode(mode hook.Mode) (*node, error) {
	n := &node{hooks: hook.Hooks{Mode: mode}}
	if err := n.build(); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) build() (err error) {
	if n.pins, err = pinfs.New(); err != nil {
		return err
	}
	n.closes = append(n.closes, n.pins.Close)
	dir, err := n.pins.Mkdir("node")
	if err != nil {
		return err
	}
	if n.hooks.Node, err = bpf.Open(bpf.Options{Dir: dir}); err != nil {
		return err
	}
	n.closes = append(n.closes, n.hooks.Node.Close)
	if n.fabric, err = fabric.New(); err != nil {
		return err
	}
	n.closes = append(n.closes, n.fabric.Close)
	if n.wire, err = n.fabric.AddNode("node", []netip.Addr{netip.MustParseAddr("192.168.7.1")}); err != nil {
		return err
	}
	n.closes = append(n.closes, n.wire.Release)
	return nil
}

func (n *node) close() error {
	var errs []error
	for i := range n.closes {
		errs = append(errs, n.closes[len(n.closes)-1-i]())
	}
	return errors.Join(errs...)
}

// start makes the link of a pod, tells when the datapath began to take care of it as soon as it does, and removes it.
func (n *node) start(i int, done func(begin time.Time)) (err error) {
	addr := firstPod
	pod, err := n.wire.AddPod(fabric.LinkName("bench", strconv.Itoa(i)), []netip.Addr{addr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.wire.RemovePods([]*fabric.Pod{pod})) }()
	ifindex := pod.Ifindex()
	return n.wire.NS().Do(func() error {
		own := bpf.Pod{Ifindex: uint32(ifindex), Instance: uint32(i + 1), IP4: addr}
		begin := time.Now()
		if err := n.hooks.Node.Introduce(own); err != nil {
			return err
		}
		if err := n.hooks.Attach(ifindex); err != nil {
			return err
		}
		done(begin)
		return errors.Join(n.sharesPrograms(ifindex), n.hooks.Detach(ifindex))
	})
}

// sharesPrograms makes sure that what runs at an interface are the programs that were loaded once.
func (n *node) sharesPrograms(ifindex int) error {
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		info, err := n.hooks.Node.Program(dir).Info()
		if err != nil {
			return err
		}
		want, _ := info.ID()
		have, err := n.program(ifindex, dir)
		if err != nil {
			return fmt.Errorf("look for the %s program: %w", dir, err)
		}
		if have != want {
			return fmt.Errorf("the %s program at interface %d is %d, loaded was %d", dir, ifindex, have, want)
		}
	}
	return nil
}

// program is the number of the program at an interface, 0 if there is none.
func (n *node) program(ifindex int, dir flow.Direction) (ebpf.ProgramID, error) {
	point, parent := ebpf.AttachTCXIngress, uint32(netlink.HANDLE_MIN_INGRESS)
	if dir == flow.Ingress {
		point, parent = ebpf.AttachTCXEgress, netlink.HANDLE_MIN_EGRESS
	}
	if n.hooks.Mode == hook.TCX {
		found, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: point})
		if err != nil || len(found.Programs) == 0 {
			return 0, err
		}
		return found.Programs[0].ID, nil
	}
	filters, err := netlink.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}, parent)
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok {
			return ebpf.ProgramID(b.Id), nil
		}
	}
	return 0, err
}
