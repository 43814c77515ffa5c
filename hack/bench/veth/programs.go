package veth

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf/hook"
)

// What programs return, of <linux/pkt_cls.h>.
const (
	tcActOK     = 0
	tcActUnspec = -1
)

// points are both hooks at the node's side of a pod's link.
var points = [2]ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}

// program is what no filter can be quicker than: one that returns a number at once.
func (b *bed) program(code int32) (*ebpf.Program, error) {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "at_once", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, code), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load a program that returns %d: %w", code, err)
	}
	b.defers(p.Close)
	return p, nil
}

// onTCX is such a program on all hooks of both pods, by tcx.
func onTCX(code int32) func(*bed) (*filter, error) {
	return func(b *bed) (*filter, error) { return b.onTCX(code) }
}

func (b *bed) onTCX(code int32) (*filter, error) {
	program, err := b.program(code)
	if err != nil {
		return nil, err
	}
	var links []link.Link
	install := func() error {
		return b.eachHook(func(ifindex int, point ebpf.AttachType) error {
			l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: program, Attach: point})
			if err == nil {
				links = append(links, l)
			}
			return err
		})
	}
	remove := func() error {
		var errs []error
		for _, l := range links {
			errs = append(errs, l.Close())
		}
		links = nil
		return errors.Join(append(errs, b.bare())...)
	}
	return &filter{install: install, remove: remove}, nil
}

// okClsact is the OK program by clsact.
func okClsact(b *bed) (*filter, error) {
	program, err := b.program(tcActOK)
	if err != nil {
		return nil, err
	}
	install := func() error {
		if err := b.eachPod(addClsact); err != nil {
			return err
		}
		return b.eachHook(func(ifindex int, point ebpf.AttachType) error {
			parent := uint32(netlink.HANDLE_MIN_INGRESS)
			if point == ebpf.AttachTCXEgress {
				parent = netlink.HANDLE_MIN_EGRESS
			}
			return netlink.FilterAdd(&netlink.BpfFilter{
				FilterAttrs: netlink.FilterAttrs{
					LinkIndex: ifindex, Parent: parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
				},
				Fd: program.FD(), Name: "ok", DirectAction: true,
			})
		})
	}
	return &filter{install: install, remove: b.bare}, nil
}

func addClsact(ifindex int) error { return netlink.QdiscAdd(hook.ClsactQdisc(ifindex)) }

func (b *bed) eachPod(do func(ifindex int) error) error {
	var errs []error
	for _, p := range b.pods {
		errs = append(errs, do(p.Ifindex()))
	}
	return errors.Join(errs...)
}

func (b *bed) eachHook(do func(ifindex int, point ebpf.AttachType) error) error {
	return b.eachPod(func(ifindex int) error {
		return errors.Join(do(ifindex, points[0]), do(ifindex, points[1]))
	})
}

// bare takes clsact from both links, and waits until no program is left on them: a tcx link that is let go of goes in
// its own time.
func (b *bed) bare() error {
	return b.eachPod(func(ifindex int) error {
		err := netlink.QdiscDel(hook.ClsactQdisc(ifindex))
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // there is none
			err = nil
		}
		return errors.Join(err, noTCX(ifindex, points[0]), noTCX(ifindex, points[1]))
	})
}

func noTCX(ifindex int, point ebpf.AttachType) error {
	return eventually(func() error {
		found, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: point})
		switch {
		case errors.Is(err, ebpf.ErrNotSupported):
			return nil
		case err != nil:
			return fmt.Errorf("look for programs: %w", err)
		case len(found.Programs) > 0:
			return fmt.Errorf("%d programs are still at interface %d", len(found.Programs), ifindex)
		}
		return nil
	})
}
