package enforce

import (
	"fmt"

	"github.com/palisade-netpol/palisade/bpf"
)

// Image gives numbers to the parts of the program and lays them out as the kernel's tables, together with the Legend
// that leads back. The error wraps bpf.ErrTooLarge where a table of capacity c has not enough room.
func (prog *Program) Image(c bpf.Capacity) (*bpf.Image, *Legend, error) {
	b := &builder{capacity: c.OrDefault(), prog: prog, classes: partition(prog.Peers)}
	for _, step := range []func() error{b.placeSets, b.placeClasses, b.unite, b.buildPorts, b.buildRows, b.buildPeers} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	b.buildPods()
	return &b.img, b.legend(), b.img.Fits(b.capacity)
}

type builder struct {
	capacity bpf.Capacity
	prog     *Program
	classes  *classes
	setNum   map[digest]int
	classNum map[digest]int
	rows     map[*Set]map[uint32]*Ports // what a set allows the peers of each class, by the class's number
	ports    map[string]uint32          // words of rows, by the normal form of the ports
	taken4   map[int]bool               // pages that IPv4 uses
	painted  map[int]bool               // pages that IPv6 uses
	img      bpf.Image
}

func tooLarge(table string, have, need int) error {
	return fmt.Errorf("%w: %s has %d entries, %d are needed", bpf.ErrTooLarge, table, have, need)
}

// empty says that a set allows nothing, for which there is a word.
func (s *Set) empty() bool { return len(s.Rules) == 0 }

func (b *builder) placeSets() error {
	var ids []digest
	for _, s := range b.prog.Sets {
		if !s.empty() {
			ids = append(ids, s.id)
		}
	}
	var ok bool
	if b.setNum, ok = place(ids, int(bpf.SetFirst), b.capacity.Sets-int(bpf.SetFirst)); !ok {
		return tooLarge("sets", b.capacity.Sets, len(ids)+int(bpf.SetFirst))
	}
	return nil
}

// placeClasses gives the classes of a policy numbers near each other, so that a set finds them in few rows. A class of more than one
// policy belongs to the first one.
func (b *builder) placeClasses() error {
	first := map[digest]Origin{}
	for _, s := range b.prog.Sets {
		for _, r := range s.Rules {
			origin := r.Origin
			origin.Index = 0
			if have, ok := first[r.Peers.id]; !ok || origin.compare(have) < 0 {
				first[r.Peers.id] = origin
			}
		}
	}
	ids, near := make([]digest, 0, len(b.classes.list)), map[digest]digest{}
	for _, c := range b.classes.list {
		origin := first[c.peers[0].id]
		for _, p := range c.peers[1:] {
			if other := first[p.id]; other.compare(origin) < 0 {
				origin = other
			}
		}
		h := newHasher("policy")
		h.str(origin.Namespace)
		h.str(origin.Policy)
		h.str(origin.Direction.String())
		ids, near[c.id] = append(ids, c.id), h.sum()
	}
	var ok bool
	if b.classNum, ok = placeNear(ids, func(d digest) digest { return near[d] }, 1, bpf.MaxClasses-1); !ok {
		return tooLarge("classes", bpf.MaxClasses, len(ids)+1)
	}
	return nil
}

// classNumber returns the number of a class; nil is class 0.
func (b *builder) classNumber(c *class) uint32 {
	if c == nil {
		return 0
	}
	return uint32(b.classNum[c.id])
}

// unite works out the rows: what the rules of each set together allow the peers of each class.
func (b *builder) unite() error {
	members := map[digest][]*class{}
	for _, c := range b.classes.list {
		for _, p := range c.peers {
			members[p.id] = append(members[p.id], c)
		}
	}
	b.rows = map[*Set]map[uint32]*Ports{}
	for _, s := range b.prog.Sets {
		allowed := map[uint32][]*Ports{}
		for _, r := range s.Rules {
			for _, c := range members[r.Peers.id] {
				n := b.classNumber(c)
				allowed[n] = append(allowed[n], r.Ports)
			}
		}
		row := make(map[uint32]*Ports, len(allowed))
		for n, ports := range allowed {
			row[n] = union(ports)
		}
		b.rows[s] = row
	}
	return nil
}

// buildRows lays out the rows that lead from a set and a class to the word for ports. Equal rows are one row; row 0 is the
// empty one.
func (b *builder) buildRows() error {
	type slot struct{ set, upper int }
	rows := map[digest]bpf.Row{}
	at := map[slot]digest{}
	for _, s := range b.prog.Sets {
		if s.empty() {
			continue
		}
		byUpper := map[int]*bpf.Row{}
		for class, ports := range b.rows[s] {
			upper := int(class) / bpf.RowClasses
			if byUpper[upper] == nil {
				byUpper[upper] = &bpf.Row{}
			}
			byUpper[upper].Ports[int(class)%bpf.RowClasses] = b.ports[ports.String()]
		}
		for upper, row := range byUpper {
			id := rowDigest(row)
			rows[id], at[slot{b.setNum[s.id], upper}] = *row, id
		}
	}
	numbers, ok := placeKeys(rows, 1, b.capacity.Rows-1)
	if !ok {
		return tooLarge("rows", b.capacity.Rows, len(rows)+1)
	}
	for id, row := range rows {
		put(&b.img.Rows, numbers[id], row)
	}
	for where, id := range at {
		grow(&b.img.Sets, where.set)
		b.img.Sets[where.set].Row[where.upper] = uint16(numbers[id])
	}
	return nil
}

func (b *builder) buildPods() {
	for _, p := range b.prog.Pods {
		pod := bpf.Pod{Ifindex: p.Ifindex, Instance: p.instance(), MayRoute: p.MayRoute}
		for _, a := range p.Addrs {
			switch a = a.Unmap(); {
			case a.Is4() && !pod.IP4.IsValid():
				pod.IP4 = a
			case a.Is6() && !pod.IP6.IsValid():
				pod.IP6 = a
			}
		}
		for dir, s := range p.Sets {
			if !p.Unknown {
				pod.Sets[dir] = b.setNumber(s)
			}
		}
		b.img.Pods = append(b.img.Pods, pod)
	}
}

func (b *builder) setNumber(s *Set) uint32 {
	switch {
	case s == nil:
		return bpf.SetOpen
	case s.empty():
		return bpf.SetClosed
	}
	return uint32(b.setNum[s.id])
}

// instance tells apart the pods that use an interface one after the other.
func (p Pod) instance() uint32 {
	if p.Instance != 0 {
		return p.Instance
	}
	h := newHasher("pod")
	h.str(p.Namespace)
	h.str(p.Name)
	h.str(p.UID)
	return max(1, uint32(h.sum().number()))
}

func rowDigest(r *bpf.Row) digest {
	h := newHasher("row")
	buf := make([]byte, 0, 4*len(r.Ports))
	for _, s := range r.Ports {
		buf = append(buf, byte(s), byte(s>>8), byte(s>>16), byte(s>>24))
	}
	h.bytes(buf)
	return h.sum()
}

// placeKeys is place for the keys of a map.
func placeKeys[V any](m map[digest]V, first, limit int) (map[digest]int, bool) {
	ids := make([]digest, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	return place(ids, first, limit)
}

// grow makes a table long enough to hold index i.
func grow[T any](table *[]T, i int) {
	if n := i + 1 - len(*table); n > 0 {
		*table = append(*table, make([]T, n)...)
	}
}

func put[T any](table *[]T, i int, v T) {
	grow(table, i)
	(*table)[i] = v
}
