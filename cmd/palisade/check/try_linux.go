package check

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf/hook"
)

// loopback is the index of the interface that every new network namespace has.
const loopback = 1

// tryHooks attaches a program that does nothing to an interface of a new network namespace, in both ways there are.
func tryHooks() (tcx, clsact error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends, and the namespace with it
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			tcx, clsact = err, err
			return
		}
		tcx, clsact = tryHooksHere()
	}()
	<-done
	return tcx, clsact
}

func tryHooksHere() (tcx, clsact error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}, // TC_ACT_UNSPEC: what others say
	})
	if err != nil {
		return err, err
	}
	defer func() { _ = program.Close() }()
	l, tcx := link.AttachTCX(link.TCXOptions{Interface: loopback, Program: program, Attach: ebpf.AttachTCXIngress})
	if tcx == nil {
		tcx = l.Close()
	}
	return tcx, tryClsact(program)
}

func tryClsact(program *ebpf.Program) error {
	if err := netlink.QdiscAdd(hook.ClsactQdisc(loopback)); err != nil {
		return fmt.Errorf("qdisc: %w", err)
	}
	if err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: loopback, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
		},
		Fd: program.FD(), Name: "check", DirectAction: true,
	}); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return nil
}

// readPrograms lists the programs on all interfaces of this network namespace.
func readPrograms() ([]Program, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var found []Program
	for _, l := range links {
		onTCX, err := tcxPrograms(l)
		if err != nil {
			return nil, fmt.Errorf("programs on %s: %w", l.Attrs().Name, err)
		}
		onClsact, err := clsactPrograms(l)
		if err != nil {
			return nil, fmt.Errorf("filters on %s: %w", l.Attrs().Name, err)
		}
		found = slices.Concat(found, onTCX, onClsact)
	}
	return found, nil
}

func tcxPrograms(l netlink.Link) ([]Program, error) {
	var found []Program
	for _, hook := range []struct {
		name   string
		attach ebpf.AttachType
	}{{"tcx ingress", ebpf.AttachTCXIngress}, {"tcx egress", ebpf.AttachTCXEgress}} {
		list, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: hook.attach})
		if gone(err) || errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
			continue // a kernel without tcx, or an interface that has gone
		}
		if err != nil {
			return nil, err
		}
		for _, p := range list.Programs {
			found = append(found, Program{l.Attrs().Name, hook.name, programName(p.ID)})
		}
	}
	return found, nil
}

func clsactPrograms(l netlink.Link) ([]Program, error) {
	var found []Program
	for _, hook := range []struct {
		name   string
		parent uint32
	}{{"clsact ingress", netlink.HANDLE_MIN_INGRESS}, {"clsact egress", netlink.HANDLE_MIN_EGRESS}} {
		filters, err := netlink.FilterList(l, hook.parent)
		if gone(err) || errors.Is(err, unix.EINVAL) {
			continue // without a qdisc there are no filters
		}
		if err != nil {
			return nil, err
		}
		for _, f := range filters {
			name := f.Type()
			if p, ok := f.(*netlink.BpfFilter); ok {
				name = programName(ebpf.ProgramID(p.Id))
			}
			found = append(found, Program{l.Attrs().Name, hook.name, name})
		}
	}
	return found, nil
}

func gone(err error) bool { return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) }

// programName is the kernel's name of a program; its number where it has none or is gone.
func programName(id ebpf.ProgramID) string {
	number := fmt.Sprintf("program %d", id)
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return number
	}
	defer func() { _ = p.Close() }()
	info, err := p.Info()
	if err != nil || info.Name == "" {
		return number
	}
	return info.Name
}

// readRules lists the names of all tables and chains of nftables. A kernel without nftables has none.
func readRules() ([]string, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list tables of nftables: %w", err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("list chains of nftables: %w", err)
	}
	var names []string
	for _, t := range tables {
		names = append(names, t.Name)
	}
	for _, c := range chains {
		names = append(names, c.Name)
	}
	return names, nil
}
