package bpf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
)

// banks is how many versions of the tables there are: the live one and the one that is written.
const banks = 2

// ErrNotSupported says that the kernel lacks what the programs need.
var ErrNotSupported = errors.New("kernel lacks a feature that the datapath needs")

// Options say how a Node is opened. The zero value is a node of default size in standard mode, without pins.
type Options struct {
	// Dir is a directory on a BPF file system in which everything is pinned; it is created if necessary. Where it is
	// empty, the tables and programs go with the process.
	Dir      string
	Capacity Capacity
	Mode     Mode
	// TrackIsolatedOnly remembers flows only where the other direction of the pod is isolated. New flows of other pods
	// then cost nothing, but what such a pod has opened is cut when its first policy comes, and connections whose state was lost
	// do not heal: one that is not known may be one that was revoked.
	TrackIsolatedOnly bool
	// KeepEstablished lets flows go on that a policy does not allow any more; otherwise they end with their next packet.
	// A flow is kept for as long as it is remembered. It does not go together with TrackIsolatedOnly.
	KeepEstablished bool
	// FinalVerdict ends the way of packets that pass at our program (TC_ACT_OK): filters of others behind it do not see them. Without,
	// they do (TC_ACT_UNSPEC), and the kernel looks for some, which takes it longer where there are none.
	FinalVerdict bool
	// harness makes programs for BPF_PROG_TEST_RUN; see Harness.
	harness bool
	// layout is that of a version whose tables are laid out otherwise, for tests.
	layout string
	// machine is another one than this, for tests.
	machine *machine
}

// Node is the datapath of one node: two programs, their tables, and where they are attached. It is not safe for
// concurrent use.
type Node struct {
	opts    Options
	machine machine
	shape   []byte           // of the maps: see shapeOf
	progs   [2]*ebpf.Program // by flow.Direction
	mixed   bool             // programs of other versions may run on our tables: see Replace
	tables  *tables          // the kernel's own memory
	barrier *barrier
	banks   [banks]bank          // what the kernel's other tables hold
	pods    map[uint32]kernelPod // likewise, by ifindex
	noted   *ebpf.Map            // likewise, for versions with other tables
	former  map[uint32]kernelPod // that those noted, until the first Sync

	notedNames *ebpf.Map
	names      map[uint32]PodName // what it holds, by ifindex

	mu   sync.Mutex // held while what follows changes, and by those who read it beside the one who uses the node
	maps map[string]*ebpf.Map
	pins map[string]bool // names of the pins in use, but for links
}

// Open finds the node's tables and programs at their pins, and loads what is missing. Attached filters go on as they are.
func Open(opts Options) (*Node, error) {
	opts.Capacity = opts.Capacity.OrDefault()
	if err := opts.Capacity.check(); err != nil {
		return nil, err
	}
	if opts.KeepEstablished && opts.TrackIsolatedOnly {
		return nil, errors.New("open datapath: to keep established flows, all flows have to be tracked")
	}
	n := &Node{opts: opts, maps: map[string]*ebpf.Map{}, pins: map[string]bool{}}
	if err := n.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open datapath: %w", err), n.Close())
	}
	return n, nil
}

func (n *Node) open() error {
	spec, err := loadKernel()
	if err != nil {
		return err
	}
	if n.machine, err = thisMachine(); err != nil {
		return err
	}
	if n.opts.machine != nil {
		n.machine = *n.opts.machine
	}
	if err := n.size(spec); err != nil {
		return err
	}
	if n.shape, err = shapeOf(spec, n.opts.layout); err != nil {
		return fmt.Errorf("shape of the maps: %w", err)
	}
	if n.opts.Dir != "" {
		if err := os.MkdirAll(n.opts.Dir, 0o700); err != nil {
			return err
		}
	}
	// Kernels before 5.11 count maps as memory that the process has locked. Where that limit cannot be lifted, which
	// takes CAP_SYS_RESOURCE, it may still suffice.
	unlimited := rlimit.RemoveMemlock()
	for _, name := range mapNames(spec) {
		if n.maps[name], err = n.openMap(name, spec.Maps[name]); err != nil {
			return fmt.Errorf("map %s: %w", name, errors.Join(err, unlimited))
		}
	}
	n.opts.Capacity.Hosts, n.opts.Capacity.Nets = int(sizeOf(n.maps[kernelMapPeerHosts])), int(sizeOf(n.maps[kernelMapPeerNets]))
	if err := n.fit(spec, n.maps); err != nil {
		return err
	}
	if n.progs, err = n.openPrograms(spec, n.maps); err != nil {
		return err
	}
	others, err := n.sharing()
	if err != nil {
		return err
	}
	n.mixed = len(others) > 0
	if n.tables, err = openTables(n.maps); err != nil {
		return err
	}
	if err := n.tables.plantSeed(); err != nil {
		return err
	}
	if n.barrier, err = newBarrier(); err != nil {
		return err
	}
	atomic.StoreUint32(&n.tables.Control.Mode, uint32(n.opts.Mode))
	return errors.Join(n.readBack(), n.openKnown(), n.openNames())
}

// Close lets go of the node's handles. Whatever is pinned and attached stays in force.
func (n *Node) Close() error {
	var errs []error
	if n.barrier != nil {
		errs = append(errs, n.barrier.Close())
	}
	if n.tables != nil {
		errs = append(errs, n.tables.Close())
	}
	for _, m := range n.maps {
		errs = append(errs, m.Close())
	}
	errs = append(errs, n.noted.Close(), n.notedNames.Close())
	for _, p := range n.progs {
		errs = append(errs, p.Close())
	}
	n.maps, n.progs, n.tables, n.barrier = nil, [2]*ebpf.Program{}, nil, nil
	return errors.Join(errs...)
}

// Configure gives the programs and tables of an object file made of the node's C the sizes and constants of this node, which is open.
func (n *Node) Configure(spec *ebpf.CollectionSpec) error {
	if err := n.size(spec); err != nil {
		return err
	}
	return n.fit(spec, n.maps)
}

// size says how large the tables are.
func (n *Node) size(spec *ebpf.CollectionSpec) error {
	c := n.opts.Capacity
	spec.Maps[kernelMapPeerHosts].MaxEntries = uint32(c.Hosts)
	spec.Maps[kernelMapPeerNets].MaxEntries = uint32(c.Nets)
	for _, name := range flowMaps {
		spec.Maps[name].MaxEntries = c.flowPlaces()
	}
	return n.machine.size(spec.Maps[kernelMapCpus])
}

// fit makes the programs those of the node's options and of tables, which may have ones that flows are moved from among them.
func (n *Node) fit(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) error {
	for name, m := range tables {
		spec.Maps[name].MaxEntries, spec.Maps[name].ValueSize = m.MaxEntries(), m.ValueSize()
	}
	locate(spec.Programs)
	last := func(name string) uint32 { return max(sizeOf(tables[name]), 1) - 1 }
	return plant(spec.Programs, [kernelConstantCONSTANT_COUNT]uint32{
		kernelConstantCONSTANT_HZ:               n.machine.hz,
		kernelConstantCONSTANT_TRACK_ALL:        number(!n.opts.TrackIsolatedOnly),
		kernelConstantCONSTANT_KEEP_ESTABLISHED: number(n.opts.KeepEstablished),
		kernelConstantCONSTANT_LASTS:            number(!n.machine.realtime),
		kernelConstantCONSTANT_PASSED:           n.opts.passed(),
		kernelConstantCONSTANT_CPUS_MASK:        tables[kernelMapCpus].ValueSize()/uint32(cpuSize) - 1,
		kernelConstantCONSTANT_FLOWS4MASK:       last(kernelMapFlows4),
		kernelConstantCONSTANT_FLOWS6MASK:       last(kernelMapFlows6),
		kernelConstantCONSTANT_MOVING:           number(isMoving(tables)),
		kernelConstantCONSTANT_OLD4MASK:         last(kernelMapOld4),
		kernelConstantCONSTANT_OLD6MASK:         last(kernelMapOld6),
		kernelConstantCONSTANT_HARNESS:          number(n.opts.harness),
	})
}

// What a program returns for a packet that passes, of <linux/pkt_cls.h>.
const (
	tcActUnspec = ^uint32(0)
	tcActOK     = 0
)

// passed is what programs with the options return for a packet that passes.
func (o *Options) passed() uint32 {
	if o.FinalVerdict {
		return tcActOK
	}
	return tcActUnspec
}

// EndsPackets says that nobody behind the node's programs sees a packet: see Options.FinalVerdict.
func (n *Node) EndsPackets() bool { return n.opts.FinalVerdict }

// isMoving says whether tables are those of programs that know ones that flows are moved from.
func isMoving(tables map[string]*ebpf.Map) bool { return tables[kernelMapOld4] != nil }

// idOf is the kernel's number of a map or program.
func idOf[ID any, Info interface{ ID() (ID, bool) }](info Info, err error) (id ID, _ error) {
	if err != nil {
		return id, err
	}
	id, ok := info.ID()
	if !ok {
		return id, errors.New("the kernel tells no id of a map or program")
	}
	return id, nil
}

// number is 1 for true.
func number(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// flowMaps are the tables of flows.
var flowMaps = [...]string{kernelMapFlows4, kernelMapFlows6}

// Maps returns the tables by the names they have in the object file. They belong to the node.
func (n *Node) Maps() map[string]*ebpf.Map { return n.maps }

// mapNames returns the tables, that is all maps but the sections of global variables, and those that flows are moved from.
func mapNames(spec *ebpf.CollectionSpec) []string {
	var names []string
	for name := range spec.Maps {
		if !strings.HasPrefix(name, ".") && !isOldFlows(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// keepsSize says which maps stay as large as they were made, until MoveFlows or GrowPeers. While programs are replaced one by one, what
// is written into one map would be missing from the map of a program that was there before.
func keepsSize(name string) bool {
	return slices.Contains(flowMaps[:], name) || name == kernelMapPeerHosts || name == kernelMapPeerNets
}

// openMap opens the pin of a map, or creates both. The name of the pin carries a hash of the map's shape: a program with
// another layout finds no pin and starts with a table of its own, while the old program goes on with the old one.
func (n *Node) openMap(name string, spec *ebpf.MapSpec) (*ebpf.Map, error) {
	if n.opts.Dir == "" {
		return ebpf.NewMap(spec)
	}
	return openTable(n.pin(name, n.shape), spec)
}

func openTable(path string, spec *ebpf.MapSpec) (*ebpf.Map, error) {
	return openPin(path, func(path string) (*ebpf.Map, error) { return ebpf.LoadPinnedMap(path, nil) },
		func() (*ebpf.Map, error) { return ebpf.NewMap(spec) })
}

// flowForm stands for what the types of flows do not say: which place one has, and what its state means. It is another one after each change
// of those.
const flowForm = "2 "

// shapeOf returns what has to be the same for maps to be taken for those of another version: their types and sizes, and how what they hold
// is laid out. They have one shape together. One word switches all tables of policies, and a flow's place and what is believed of it
// follow from a seed and an epoch that are in a table; so either a program finds all as this version writes them, or it
// goes on with all those of its own, which nobody writes any more.
func shapeOf(spec *ebpf.CollectionSpec, layout string) ([]byte, error) {
	shape, types := []byte(flowForm+layout), []btf.Type{}
	for _, name := range mapNames(spec) {
		m := spec.Maps[name]
		size := m.MaxEntries
		if keepsSize(name) {
			size = 0
		}
		shape = fmt.Appendf(shape, "%s %v %d %d %d %d ", name, m.Type, m.KeySize, m.ValueSize, size, m.Flags)
		for _, t := range []btf.Type{m.Key, m.Value} {
			if t != nil {
				types = append(types, t)
			}
		}
	}
	event, err := spec.Types.AnyTypeByName("event") // what the ring holds, of which its map says nothing
	if err != nil {
		return nil, err
	}
	all, err := btf.NewBuilder(append(types, event), nil)
	if err != nil {
		return nil, err
	}
	marshalled, err := all.Marshal(nil, nil)
	return append(shape, marshalled...), err
}

// openPrograms opens the pinned programs of exactly this object file and these sizes, or loads and pins them.
func (n *Node) openPrograms(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) (opened [2]*ebpf.Program, err error) {
	type filters struct {
		PodEgress  *ebpf.Program `ebpf:"pod_egress"`
		PodIngress *ebpf.Program `ebpf:"pod_ingress"`
	}
	load := func() (*filters, error) {
		var progs filters
		err := spec.LoadAndAssign(&progs, &ebpf.CollectionOptions{MapReplacements: tables})
		if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w: %w", ErrNotSupported, err)
		}
		return &progs, err
	}
	if n.opts.Dir == "" {
		progs, err := load()
		return [2]*ebpf.Program{progs.PodEgress, progs.PodIngress}, err
	}
	version := fmt.Appendf(nil, "%t %t %t ", n.opts.TrackIsolatedOnly, n.opts.KeepEstablished, n.opts.FinalVerdict)
	for _, name := range slices.Sorted(maps.Keys(tables)) { // a program that is pinned knows these very maps
		id, err := idOf(tables[name].Info())
		if err != nil {
			return opened, fmt.Errorf("map %s: %w", name, err)
		}
		version = fmt.Appendf(version, "%d ", id)
	}
	version = append(version, _KernelBytes...)
	var loaded *filters
	for dir, name := range []string{kernelProgPodEgress, kernelProgPodIngress} {
		opened[dir], err = openPin(n.pin(name, version),
			func(path string) (*ebpf.Program, error) { return ebpf.LoadPinnedProgram(path, nil) },
			func() (_ *ebpf.Program, err error) {
				if loaded == nil {
					if loaded, err = load(); err != nil {
						return nil, err
					}
				}
				return []*ebpf.Program{loaded.PodEgress, loaded.PodIngress}[dir], nil
			})
		if err != nil {
			return opened, errors.Join(fmt.Errorf("program %s: %w", name, err), opened[0].Close())
		}
	}
	return opened, nil
}

func sizeOf(m *ebpf.Map) uint32 {
	if m == nil {
		return 0
	}
	return m.MaxEntries()
}

// pin returns the path of the pin of a map or program in a version, and notes that it is in use.
func (n *Node) pin(name string, version []byte) string {
	name = pinName(name, version)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pins[name] = true
	return filepath.Join(n.opts.Dir, name)
}

// uses says whether a pin is in use.
func (n *Node) uses(pin string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pins[pin]
}

func (n *Node) usePins(pins map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pins = pins
}

// unpin removes a pin, if it is there.
func (n *Node) unpin(name string) error {
	n.mu.Lock()
	delete(n.pins, name)
	n.mu.Unlock()
	if err := os.Remove(filepath.Join(n.opts.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func pinName(name string, version []byte) string { return name + "-" + shortHash(version) }

type pinnable interface {
	Pin(string) error
	Close() error
}

// openPin opens the object pinned at path, or makes one and pins it there.
func openPin[T pinnable](path string, open func(string) (T, error), create func() (T, error)) (T, error) {
	obj, err := open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return obj, err
	}
	if obj, err = create(); err != nil {
		return obj, err
	}
	if err := obj.Pin(path); err != nil {
		return obj, errors.Join(err, obj.Close())
	}
	return obj, nil
}

// Program returns the program of a direction. It belongs to the node.
func (n *Node) Program(dir flow.Direction) *ebpf.Program { return n.progs[dir] }

// Flows returns how many flows of an address family the node remembers: those of Options.Capacity, or those of the table
// that was found at its pin.
func (n *Node) Flows() int { return int(n.maps[kernelMapFlows4].MaxEntries()) * flowWays }

// Capacity returns how many entries the tables have, but for flows: see Flows.
func (n *Node) Capacity() Capacity { return n.opts.Capacity }

// Dir returns the directory of the pins, empty where nothing is pinned.
func (n *Node) Dir() string { return n.opts.Dir }

// Epoch counts the switches between the banks; its low bit is the live one.
func (n *Node) Epoch() uint32 { return atomic.LoadUint32(&n.tables.Control.Epoch) }

func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}
