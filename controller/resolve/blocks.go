package resolve

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/types"
)

// blockTable finds the policies one of whose egress ipBlocks contains an address. It looks once per prefix length that
// is in use. Exceptions are not considered.
type blockTable struct {
	users   map[netip.Prefix]map[types.NamespacedName]bool
	lengths map[prefixLength]int // how many prefixes have it
}

type prefixLength struct {
	is4  bool
	bits int
}

func lengthOf(p netip.Prefix) prefixLength { return prefixLength{p.Addr().Is4(), p.Bits()} }

func newBlockTable() blockTable {
	return blockTable{users: map[netip.Prefix]map[types.NamespacedName]bool{}, lengths: map[prefixLength]int{}}
}

func (t *blockTable) add(p netip.Prefix, key types.NamespacedName) {
	if t.users[p] == nil {
		t.users[p] = map[types.NamespacedName]bool{}
		t.lengths[lengthOf(p)]++
	}
	t.users[p][key] = true
}

func (t *blockTable) remove(p netip.Prefix, key types.NamespacedName) {
	if t.users[p] == nil {
		return // a policy may have the same block twice
	}
	delete(t.users[p], key)
	if len(t.users[p]) > 0 {
		return
	}
	delete(t.users, p)
	length := lengthOf(p)
	t.lengths[length]--
	if t.lengths[length] == 0 {
		delete(t.lengths, length)
	}
}

// touch adds the policies with a block around a.
func (t *blockTable) touch(touched touchedSet, a netip.Addr) {
	for length := range t.lengths {
		if length.is4 != a.Is4() {
			continue
		}
		p, err := a.Prefix(length.bits)
		if err != nil {
			continue // impossible: the length is one of a's family
		}
		for key := range t.users[p] {
			touched[key] = true
		}
	}
}
