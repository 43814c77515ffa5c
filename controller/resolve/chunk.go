package resolve

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// chunk is a part of a list: the items whose hash begins with the bits of path.
type chunk[T any] struct {
	path  string // of '0' and '1'
	items []T    // in the order of the list
}

// maxPath is the length of a hash in bits.
const maxPath = 64

// hashed is an item with the bits that decide which chunk it is in.
type hashed[T any] struct {
	bits   uint64
	weight int
	item   T
}

// chunks cuts a list into parts of at most limit items and maxChunkBytes. Which part an item is in depends on the item
// itself: one that comes or goes touches its own chunk, and in the worst case splits it in two or joins two, but never
// moves the items of any other chunk. A part exceeds limit only if more than limit items are the same, and
// maxChunkBytes only if it is one item. Items are told apart by what %v prints of them.
func chunks[T any](list []T, limit int, weight func(T) int) []chunk[T] {
	items := make([]hashed[T], len(list))
	for i, item := range list {
		sum := sha256.Sum256(fmt.Appendf(nil, "%v", item))
		items[i] = hashed[T]{binary.BigEndian.Uint64(sum[:]), weight(item), item}
	}
	return split(items, limit, "")
}

// split cuts items, which all have the hash prefix path, as often as it takes.
func split[T any](items []hashed[T], limit int, path string) []chunk[T] {
	if len(items) == 0 {
		return nil
	}
	bytes := total(items, func(h hashed[T]) int { return h.weight })
	fits := len(items) == 1 || len(items) <= limit && bytes <= maxChunkBytes
	if fits || len(path) == maxPath {
		c := chunk[T]{path: path}
		for _, h := range items {
			c.items = append(c.items, h.item)
		}
		return []chunk[T]{c}
	}
	var halves [2][]hashed[T]
	for _, h := range items {
		bit := h.bits >> (maxPath - 1 - len(path)) & 1
		halves[bit] = append(halves[bit], h)
	}
	return append(split(halves[0], limit, path+"0"), split(halves[1], limit, path+"1")...)
}
