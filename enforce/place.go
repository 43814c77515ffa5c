package enforce

import "slices"

// place gives each digest a number of its own from [first, first+room), where room is as small a power of two as leaves
// half of the numbers free, and at most limit. The number follows from the digest, and from others only where they are near
// it: one digest more or less moves few of the rest, and the order in which they come moves none. The digests must be
// distinct. ok is false where there are more of them than numbers.
func place(digests []digest, first, limit int) (numbers map[digest]int, ok bool) {
	if len(digests) > limit {
		return nil, false
	}
	room := min(roomFor(len(digests)), limit)
	numbers = make(map[digest]int, len(digests))
	taken := make([]bool, room)
	for _, d := range slices.SortedFunc(slices.Values(digests), digest.compare) {
		i := int(d.number() % uint64(room))
		for taken[i] {
			i = (i + 1) % room
		}
		taken[i] = true
		numbers[d] = first + i
	}
	return numbers, true
}

// roomFor returns the power of two that leaves half of it free, at least 16.
func roomFor(n int) int {
	room := 16
	for room < 2*n {
		room *= 2
	}
	return room
}
