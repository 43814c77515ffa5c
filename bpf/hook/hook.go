// Package hook puts the programs of a bpf.Node on interfaces: tcx where the kernel has it (6.6), clsact where it has not.
//
// A program that is on an interface stays there when the process ends, and is replaced in place, never taken off first.
package hook

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
)

// Mode chooses the kind of hook.
type Mode uint8

// The hooks. The zero value tries tcx and, where the kernel has none, uses clsact.
const (
	Auto Mode = iota
	TCX
	Clsact
)

// Hooks are the places of a node's programs. All methods must run on a thread in the network namespace of the interfaces.
type Hooks struct {
	Node *bpf.Node
	Mode Mode
}

// Attach puts both programs on an interface: what enters the host there is the pod's egress. A program that is there
// already stays, one of an older version is replaced in place, so there is no moment without a filter. On the other kind of hook, which
// another mode used, none stays.
func (h Hooks) Attach(ifindex int) error {
	if h.Mode != Clsact {
		err := attachBoth(ifindex, func(dir flow.Direction) error { return h.attachTCX(ifindex, dir) })
		if err == nil {
			return h.detach(ifindex, h.detachClsact)
		}
		if h.Mode == TCX || !errors.Is(err, ebpf.ErrNotSupported) {
			return err
		}
	}
	if err := h.attachClsact(ifindex); err != nil {
		return err
	}
	return h.detach(ifindex, h.detachTCX)
}

// Replace puts both programs on each interface of this network namespace that has one of another version which decides by the same
// tables. It returns nil when no such program is left, by looking again.
func (h Hooks) Replace() error {
	before, err := h.LookAll()
	if err != nil {
		return err
	}
	var errs []error
	for ifindex, seen := range before {
		if seen.Shares {
			errs = append(errs, h.Attach(ifindex))
		}
	}
	after, err := h.LookAll()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for ifindex, seen := range after {
		if seen.Shares {
			return errors.Join(append(errs, fmt.Errorf("interface %d still has a program of another version", ifindex))...)
		}
	}
	return nil
}

// attachBoth tries both, also where one fails: half of a filter is better than none.
func attachBoth(ifindex int, attach func(flow.Direction) error) error {
	var errs []error
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		if err := attach(dir); err != nil {
			errs = append(errs, fmt.Errorf("attach %s program to interface %d: %w", dir, ifindex, err))
		}
	}
	return errors.Join(errs...)
}

// Detach takes both programs off an interface: no packet meets them once it has returned. It is no error when they or the interface are
// gone.
func (h Hooks) Detach(ifindex int) error {
	return h.detach(ifindex, h.detachTCX, h.detachClsact)
}

// detach takes both programs off kinds of hooks.
func (h Hooks) detach(ifindex int, kinds ...func(ifindex int, dir flow.Direction) error) error {
	var errs []error
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		for _, kind := range kinds {
			errs = append(errs, kind(ifindex, dir))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach from interface %d: %w", ifindex, err)
	}
	return nil
}

// Attached returns the interfaces for which a link of either direction is pinned, in no order.
func (h Hooks) Attached() ([]int, error) {
	entries, err := os.ReadDir(h.Node.Dir())
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	pinned := map[int]bool{}
	for _, e := range entries {
		for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
			name, isLink := strings.CutPrefix(e.Name(), linkPrefix(dir))
			if ifindex, err := strconv.Atoi(name); isLink && err == nil {
				pinned[ifindex] = true
			}
		}
	}
	return slices.Collect(maps.Keys(pinned)), nil
}

func linkPrefix(dir flow.Direction) string { return "link-" + dir.String() + "-" }

func (h Hooks) linkPin(ifindex int, dir flow.Direction) string {
	return filepath.Join(h.Node.Dir(), linkPrefix(dir)+strconv.Itoa(ifindex))
}

// attachTCX makes or updates the link of one direction. A pinned link whose interface is gone (its index may have been
// given to another one) is dropped.
func (h Hooks) attachTCX(ifindex int, dir flow.Direction) error {
	pin := h.linkPin(ifindex, dir)
	l, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		defer func() { _ = l.Close() }()
		return h.refresh(l, pin, ifindex, dir)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err = link.AttachTCX(link.TCXOptions{
		Interface: ifindex, Program: h.Node.Program(dir), Attach: tcxPoint(dir),
		Anchor: link.Head(), // another program before ours could pass a packet for good
	})
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	if h.Node.Dir() == "" {
		return errors.New("a link without a pin would go with the process: set Options.Dir")
	}
	return l.Pin(pin)
}

// detachTCX takes the program off before it lets go of the link: the kernel detaches a link that nobody holds in its own time.
func (h Hooks) detachTCX(ifindex int, dir flow.Direction) error {
	pin := h.linkPin(ifindex, dir)
	if _, err := os.Lstat(pin); errors.Is(err, fs.ErrNotExist) { // to ask for a link that is not there takes 0.1 ms
		return nil
	}
	l, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(l.Detach(), os.Remove(pin), l.Close())
}

// tcxPoint is where packets of a direction, seen from the pod, pass the host's side of its veth.
func tcxPoint(dir flow.Direction) ebpf.AttachType {
	if dir == flow.Ingress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// refresh makes an existing link run our program.
func (h Hooks) refresh(l link.Link, pin string, ifindex int, dir flow.Direction) error {
	info, err := l.Info()
	if err != nil {
		return err
	}
	if tcx := info.TCX(); tcx == nil || int(tcx.Ifindex) != ifindex {
		if err := os.Remove(pin); err != nil {
			return err
		}
		return h.attachTCX(ifindex, dir)
	}
	ours, err := h.Node.Program(dir).Info()
	if err != nil {
		return err
	}
	if id, ok := ours.ID(); ok && id == info.Program {
		return nil
	}
	return l.Update(h.Node.Program(dir))
}
