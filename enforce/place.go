package enforce

import "slices"

// place gives each digest a number of its own from [first, first+room), where room is as small a power of two as leaves
// half of the numbers free, and at most limit. The number follows from the digest, and from others only where they are near
// it: one digest more or less moves few of the rest, and the order in which they come moves none. The digests must be
// distinct. ok is false where there are more of them than numbers.
func place(digests []digest, first, limit int) (numbers map[digest]int, ok bool) {
	return placeNear(digests, func(digest) digest { return digest{} }, first, limit)
}

// placeNear is place, but digests that are near the same one get numbers from a window that they choose together, as far as those are
// free. It is as large as place would make the room for them alone, and so they move as little as there.
func placeNear(digests []digest, near func(digest) digest, first, limit int) (numbers map[digest]int, ok bool) {
	if len(digests) > limit {
		return nil, false
	}
	room := min(roomFor(len(digests)), limit)
	together := map[digest]int{}
	for _, d := range digests {
		together[near(d)]++
	}
	numbers = make(map[digest]int, len(digests))
	taken := make([]bool, room)
	for _, d := range slices.SortedFunc(slices.Values(digests), digest.compare) {
		n := near(d)
		window := min(roomFor(together[n]), room)
		i := (int(n.number()%uint64(room))/window*window + int(d.number()%uint64(window))) % room
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
