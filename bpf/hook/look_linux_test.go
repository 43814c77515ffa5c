package hook_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/bpf/hook"
	"github.com/palisade-netpol/palisade/bpf/hook/hooktest"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

// place is an interface in a namespace of its own.
type place struct {
	*testing.T
	hook.Hooks
	ns      *ns.NS
	ifindex int
}

func newPlace(t *testing.T, mode hook.Mode) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	p := &place{T: t, Hooks: hook.Hooks{Mode: mode}}
	var err error
	p.ns, err = ns.New()
	p.must(err)
	t.Cleanup(func() { p.must(p.ns.Close()) })
	fs, err := pinfs.New()
	p.must(err)
	t.Cleanup(func() { p.must(fs.Close()) })
	dir, err := fs.Mkdir("node")
	p.must(err)
	p.Node = p.open(dir, bpf.Options{})
	p.do(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "host"}, PeerName: "pod"}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		p.ifindex = veth.Index
		return nil
	})
	return p
}

// newPlaceForLinks is newPlace, where the kernel has tcx.
func newPlaceForLinks(t *testing.T) *place {
	t.Helper()
	_, err := link.QueryPrograms(link.QueryOptions{Target: 1, Attach: ebpf.AttachTCXIngress}) // loopback: every namespace has it
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
		t.Skip("this kernel has no links")
	}
	if err != nil {
		t.Fatal(err)
	}
	return newPlace(t, hook.Auto)
}

// open opens a small node with pins in dir; other options make other programs.
func (p *place) open(dir string, o bpf.Options) *bpf.Node {
	p.Helper()
	o.Dir, o.Capacity = dir, bpf.Capacity{Hosts: 16, Nets: 16, Flows: 1024}
	n, err := bpf.Open(o)
	p.must(err)
	p.Cleanup(func() { p.must(n.Close()) })
	return n
}

func (p *place) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *place) do(f func() error) {
	p.Helper()
	p.must(p.ns.Do(f))
}

func (p *place) attach() {
	p.Helper()
	p.do(func() error { return p.Attach(p.ifindex) })
}

// want waits until Look says the State of the interface. The kernel takes its time to detach a link of which only the pin was removed.
func (p *place) want(want hook.State, after string) {
	p.Helper()
	p.do(func() error {
		for begin := time.Now(); ; runtime.Gosched() {
			got, err := p.Look(p.ifindex)
			if err != nil || got[0].State == want {
				return err
			}
			if time.Since(begin) > 10*time.Second {
				p.Errorf("state %d %s, want %d", got[0].State, after, want)
				return nil
			}
		}
	})
}

// wantBefore checks what Look says that others run before our programs.
func (p *place) wantBefore(want string) {
	p.Helper()
	p.do(func() error {
		got, err := p.Look(p.ifindex)
		if err == nil && got[0].Before != want {
			p.Errorf("runs before ours: %q, want %q", got[0].Before, want)
		}
		return err
	})
}

// wantBehind likewise checks what runs behind ours without seeing a packet.
func (p *place) wantBehind(want string) {
	p.Helper()
	p.do(func() error {
		got, err := p.Look(p.ifindex)
		if err == nil && got[0].Behind != want {
			p.Errorf("sees no packet behind ours: %q, want %q", got[0].Behind, want)
		}
		return err
	})
}

// foreign loads a program of somebody else that leaves packets to others.
func (p *place) foreign() *ebpf.Program {
	p.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	p.must(err)
	p.Cleanup(func() { p.must(prog.Close()) })
	return prog
}

// filter is one of somebody else on the hook of the pod's egress.
func (p *place) filter(prog *ebpf.Program, chain uint32, priority uint16) *netlink.BpfFilter {
	return p.egress().Filter(prog, chain, priority)
}

func (p *place) egress() hooktest.Hook {
	return hooktest.Hook{Ifindex: p.ifindex, Parent: netlink.HANDLE_MIN_INGRESS}
}

// filters are those on the hook of the pod's egress: "chain priority name".
func (p *place) filters() (list []string) {
	p.Helper()
	p.do(func() error {
		installed, err := p.egress().Filters()
		for _, f := range installed {
			list = append(list, f.String())
		}
		return err
	})
	return list
}

// ours is where package hook puts its filter.
const ours = 0x7a1

func TestLookFindsWhatOthersDidToFilters(t *testing.T) {
	p := newPlace(t, hook.Clsact)
	p.want(hook.Bare, "before anything is attached")
	p.attach()
	p.want(hook.Current, "after Attach")
	for _, d := range []struct {
		what string
		want hook.State
		do   func() error
	}{
		{"the qdisc was deleted", hook.Bare, func() error { return netlink.QdiscDel(hook.ClsactQdisc(p.ifindex)) }},
		{"the filter was deleted", hook.Half, func() error { return netlink.FilterDel(p.filter(p.foreign(), 0, ours)) }},
		{"the filter was replaced", hook.Half, func() error { return netlink.FilterReplace(p.filter(p.foreign(), 0, ours)) }},
		{"our program was moved to a chain nobody goes to", hook.Half, func() error {
			f := p.filter(p.Node.Program(flow.Egress), 5, ours)
			return errors.Join(netlink.FilterAdd(f), netlink.FilterDel(p.filter(p.foreign(), 0, ours)))
		}},
	} {
		p.do(d.do)
		p.want(d.want, "after "+d.what)
		p.attach()
		p.want(hook.Current, "when attached again after "+d.what)
	}
}

func TestFiltersOfOthersStay(t *testing.T) {
	p := newPlace(t, hook.Clsact)
	prog := p.foreign()
	p.do(func() error {
		return errors.Join(netlink.QdiscAdd(hook.ClsactQdisc(p.ifindex)), netlink.FilterAdd(p.filter(prog, 0, 1)),
			netlink.FilterAdd(p.filter(prog, 0, 40000)), netlink.FilterAdd(p.filter(prog, 7, ours)))
	})
	p.want(hook.Bare, "with filters of others only")
	p.wantBefore("")
	p.attach()
	p.want(hook.Current, "beside filters of others")
	p.wantBefore("egress bpf filter of priority 1 foreign")
	want := []string{"0 1 foreign", fmt.Sprint("0 ", ours, " palisade"), "0 40000 foreign", fmt.Sprint("7 ", ours, " foreign")}
	if got := p.filters(); !slices.Equal(got, want) {
		t.Errorf("filters %q, want %q", got, want)
	}
	p.do(func() error { return p.Detach(p.ifindex) })
	p.want(hook.Bare, "after Detach")
	if got := p.filters(); len(got) != 3 {
		t.Errorf("filters %q after Detach, want the three of others", got)
	}
}

// points are where tcx calls the programs of a pod's egress, and of its ingress.
var points = []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress}

// onTCX are the programs at points of the interface.
func (p *place) onTCX(points ...ebpf.AttachType) (ids []ebpf.ProgramID) {
	p.Helper()
	p.do(func() error {
		for _, point := range points {
			q, err := link.QueryPrograms(link.QueryOptions{Target: p.ifindex, Attach: point})
			if err != nil {
				return err
			}
			for _, a := range q.Programs {
				ids = append(ids, a.ID)
			}
		}
		return nil
	})
	return ids
}

func (p *place) id(prog *ebpf.Program) ebpf.ProgramID {
	p.Helper()
	info, err := prog.Info()
	p.must(err)
	id, _ := info.ID()
	return id
}

func TestLookFindsWhatOthersDidToLinks(t *testing.T) {
	p := newPlaceForLinks(t)
	foreign := p.foreign()
	var other link.Link
	p.do(func() (err error) {
		other, err = link.AttachTCX(link.TCXOptions{Interface: p.ifindex, Program: foreign, Attach: ebpf.AttachTCXIngress})
		return err
	})
	defer func() { p.must(other.Close()) }()
	p.want(hook.Bare, "with a program of somebody else only")
	p.attach()
	pin := filepath.Join(p.Node.Dir(), fmt.Sprintf("link-egress-%d", p.ifindex))
	pinned := func(f func(link.Link) error) func() error {
		return func() error {
			l, err := link.LoadPinnedLink(pin, nil)
			if err != nil {
				return err
			}
			return errors.Join(f(l), l.Close())
		}
	}
	for _, d := range []struct {
		what string
		do   func() error
	}{
		{"the link was detached", pinned(link.Link.Detach)},
		{"the program of the link was replaced", pinned(func(l link.Link) error { return l.Update(p.foreign()) })},
		{"the pin was removed", func() error { return os.Remove(pin) }},
	} {
		p.want(hook.Current, "before "+d.what)
		p.do(d.do)
		p.want(hook.Half, "after "+d.what)
		p.attach()
		if got, want := p.onTCX(points[0]), []ebpf.ProgramID{p.id(p.Node.Program(flow.Egress)), p.id(foreign)}; !slices.Equal(got, want) {
			t.Errorf("programs %d when attached again after %s, want %d: ours, then the other", got, d.what, want)
		}
	}
}

func TestLookNamesWhatRunsBeforeLinks(t *testing.T) {
	p := newPlaceForLinks(t)
	foreign := p.foreign()
	attach := func(anchor link.Anchor) {
		p.do(func() error {
			l, err := link.AttachTCX(link.TCXOptions{
				Interface: p.ifindex, Program: foreign, Attach: ebpf.AttachTCXEgress, Anchor: anchor,
			})
			if err == nil {
				t.Cleanup(func() { p.must(l.Close()) })
			}
			return err
		})
	}
	p.attach()
	p.do(func() error { // clsact is asked after tcx
		return errors.Join(netlink.QdiscAdd(hook.ClsactQdisc(p.ifindex)), netlink.FilterAdd(p.filter(foreign, 0, 1)))
	})
	p.wantBefore("")
	attach(link.Head())
	p.wantBefore(fmt.Sprintf("ingress program %d on tcx", p.id(foreign)))
	p.want(hook.Current, "behind a program of somebody else")
}

// TestLookNamesWhatFinalVerdictsHideFrom on either kind of hook, and nothing where others see what ours lets pass.
func TestLookNamesWhatFinalVerdictsHideFrom(t *testing.T) {
	for name, c := range map[string]struct {
		mode  hook.Mode
		links bool
		want  string // with the id of the other's program
	}{
		"links":  {hook.Auto, true, "egress program %d on tcx, egress bpf filter of priority 40000 foreign"},
		"clsact": {hook.Clsact, false, "egress bpf filter of priority 40000 foreign"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c.mode)
			if c.links {
				p = newPlaceForLinks(t)
			}
			foreign := p.foreign()
			p.attach()
			p.do(func() error {
				if !c.links {
					return nil
				}
				l, err := link.AttachTCX(link.TCXOptions{Interface: p.ifindex, Program: foreign, Attach: points[0]})
				if err == nil {
					t.Cleanup(func() { p.must(l.Close()) })
				}
				return errors.Join(err, netlink.QdiscAdd(hook.ClsactQdisc(p.ifindex)))
			})
			p.do(func() error { return netlink.FilterAdd(p.filter(foreign, 0, 40000)) })
			p.wantBehind("")
			p.Node = p.open(p.Node.Dir(), bpf.Options{FinalVerdict: true})
			p.wantBehind(strings.ReplaceAll(c.want, "%d", fmt.Sprint(p.id(foreign))))
			p.wantBefore("")
			p.attach()
			p.want(hook.Current, "with final verdicts")
			p.wantBehind(strings.ReplaceAll(c.want, "%d", fmt.Sprint(p.id(foreign))))
		})
	}
}

func TestTheKernelTellsOfFiltersAndNotOfLinks(t *testing.T) {
	p := newPlace(t, hook.Auto)
	p.attach()
	p.do(func() error {
		links, err := p.Attached()
		if told := p.Told(); told != (len(links) == 0) {
			t.Errorf("told %v with links %v", told, links)
		}
		return err
	})
	if p.Mode = hook.Clsact; !p.Told() {
		t.Error("not told on clsact")
	}
}

// TestNothingRunsOnceDetachReturned even if the kernel has reasons to keep the links: here somebody who looks at them.
func TestNothingRunsOnceDetachReturned(t *testing.T) {
	p := newPlaceForLinks(t)
	p.attach()
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		l, err := link.LoadPinnedLink(filepath.Join(p.Node.Dir(), fmt.Sprintf("link-%s-%d", dir, p.ifindex)), nil)
		p.must(err)
		t.Cleanup(func() { p.must(l.Close()) })
	}
	if on := p.onTCX(points...); len(on) != 2 {
		t.Fatalf("programs %d after Attach, want one per direction", on)
	}
	p.do(func() error { return p.Detach(p.ifindex) })
	if on := p.onTCX(points...); len(on) != 0 {
		t.Errorf("programs %d after Detach", on)
	}
	p.attach()
	p.want(hook.Current, "when attached again")
}

// TestALinkOfEitherDirectionIsListed: who attached may have been killed in between.
func TestALinkOfEitherDirectionIsListed(t *testing.T) {
	for _, dir := range []flow.Direction{flow.Egress, flow.Ingress} {
		p := newPlaceForLinks(t)
		p.attach()
		p.must(os.Remove(filepath.Join(p.Node.Dir(), fmt.Sprintf("link-%s-%d", dir, p.ifindex))))
		if got, err := p.Attached(); err != nil || !slices.Equal(got, []int{p.ifindex}) {
			t.Errorf("attached to %v, %v without the pin of %s, want %d", got, err, dir, p.ifindex)
		}
		p.do(func() error { return p.Detach(p.ifindex) })
		if got, err := p.Attached(); err != nil || len(got) > 0 {
			t.Errorf("attached to %v, %v after Detach", got, err)
		}
	}
}

func TestAnotherModeLeavesOneKindOfHook(t *testing.T) {
	p := newPlaceForLinks(t)
	for _, want := range []struct {
		mode           hook.Mode
		links, filters int
	}{{hook.Auto, 2, 0}, {hook.Clsact, 0, 1}, {hook.TCX, 2, 0}} {
		p.Mode = want.mode
		p.attach()
		if on, filters := p.onTCX(points...), p.filters(); len(on) != want.links || len(filters) != want.filters {
			t.Errorf("mode %d: programs %d by links and filters %q of the pod's egress, want %d and %d", want.mode, on, filters, want.links, want.filters)
		}
		p.want(hook.Current, "after Attach")
	}
}

// TestAnIngressQdiscIsNoClsact: it takes filters of both directions, and runs all on what the pod sends.
func TestAnIngressQdiscIsNoClsact(t *testing.T) {
	p := newPlace(t, hook.Clsact)
	ingress := hooktest.IngressQdisc(p.ifindex)
	p.do(func() error { return netlink.QdiscAdd(ingress) })
	p.do(func() error {
		if err := p.Attach(p.ifindex); err == nil || !strings.Contains(err.Error(), "ingress qdisc") {
			t.Errorf("Attach says %v, want an error about the ingress qdisc", err)
		}
		return nil
	})
	if got := p.filters(); len(got) > 0 {
		t.Errorf("filters %q on the ingress qdisc of somebody", got)
	}
	p.want(hook.Bare, "after Attach failed")
	p.do(func() error { return netlink.QdiscDel(ingress) })
	p.attach()
	p.want(hook.Current, "once it is gone")
	p.attach()
	p.want(hook.Current, "after Attach again")
}

func TestLookTellsVersionsApart(t *testing.T) {
	for name, mode := range map[string]hook.Mode{"tcx": hook.Auto, "clsact": hook.Clsact} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, mode)
			p.attach()
			p.Node = p.open(p.Node.Dir(), bpf.Options{TrackIsolatedOnly: true})
			p.want(hook.Older, "when another version attached")
			p.attach()
			p.want(hook.Current, "after Attach")
		})
	}
}

// TestReplaceKeepsProgramsOfOtherTables until somebody attaches: what they decide by is complete, and what this version writes may not be.
func TestReplaceKeepsProgramsOfOtherTables(t *testing.T) {
	for name, mode := range map[string]hook.Mode{"tcx": hook.Auto, "clsact": hook.Clsact} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, mode)
			p.attach()
			p.wantShared(false, "by the only version")
			p.Node = p.open(p.Node.Dir(), bpf.Options{TrackIsolatedOnly: true})
			p.wantShared(true, "by another version")
			p.do(p.Replace)
			p.want(hook.Current, "after Replace")
			p.wantShared(false, "after Replace")

			pins, err := filepath.Glob(filepath.Join(p.Node.Dir(), "pod_*"))
			p.must(err)
			other := filepath.Join(filepath.Dir(p.Node.Dir()), "other")
			p.must(os.Mkdir(other, 0o700))
			for _, pin := range pins { // as if they had been loaded by a version with other tables
				prog, err := ebpf.LoadPinnedProgram(pin, nil)
				p.must(err)
				p.must(errors.Join(prog.Pin(filepath.Join(other, filepath.Base(pin)+"0")), prog.Close()))
			}
			p.Node = p.open(other, bpf.Options{})
			p.want(hook.Older, "with programs of other tables")
			p.wantShared(false, "with programs of other tables")
			p.do(p.Replace)
			p.want(hook.Older, "after Replace with programs of other tables")
			p.attach()
			p.want(hook.Current, "after Attach")
		})
	}
}

// TestReplaceFailsWhileAnotherVersionIsLeft on some interface, and goes on with the others.
func TestReplaceFailsWhileAnotherVersionIsLeft(t *testing.T) {
	p := newPlaceForLinks(t)
	p.Mode = hook.Clsact
	p.attach()
	first := p.ifindex
	p.do(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "host2"}, PeerName: "pod2"}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		p.ifindex = veth.Index
		return p.Attach(p.ifindex)
	})
	second := p.ifindex
	p.Node = p.open(p.Node.Dir(), bpf.Options{TrackIsolatedOnly: true})
	p.Mode = hook.TCX
	kept := p.pinLinkOf(first)
	p.do(func() error {
		if err := p.Replace(); err == nil {
			t.Error("no error although one interface could not be attached to")
		}
		return nil
	})
	p.ifindex = first
	p.want(hook.Older, "where nothing can be attached")
	p.ifindex = second
	p.want(hook.Current, "beside one where nothing can be attached")
	p.must(os.Remove(kept))
	p.do(p.Replace)
	p.ifindex = first
	p.want(hook.Current, "when that is possible again")
}

// pinLinkOf puts something in the way of links of an interface: a pin that is no link.
func (p *place) pinLinkOf(ifindex int) (path string) {
	p.Helper()
	path = filepath.Join(p.Node.Dir(), fmt.Sprintf("link-egress-%d", ifindex))
	p.must(p.foreign().Pin(path))
	return path
}

// wantShared checks whether Look says that another version decides by our tables.
func (p *place) wantShared(want bool, when string) {
	p.Helper()
	p.do(func() error {
		all, err := p.LookAll()
		if err == nil && all[p.ifindex].Shares != want {
			p.Errorf("shares tables %s: %t, want %t", when, !want, want)
		}
		return err
	})
}

// TestDetachLeavesTheFilterOfAnother that was put in the place of ours.
func TestDetachLeavesTheFilterOfAnother(t *testing.T) {
	p := newPlace(t, hook.Clsact)
	p.attach()
	p.do(func() error { return netlink.FilterReplace(p.filter(p.foreign(), 0, ours)) })
	p.do(func() error { return p.Detach(p.ifindex) })
	if got, want := p.filters(), []string{fmt.Sprint("0 ", ours, " foreign")}; !slices.Equal(got, want) {
		t.Errorf("filters %q after Detach, want %q", got, want)
	}
}
