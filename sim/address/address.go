// Package address counts addresses, for those who need many.
package address

import (
	"encoding/binary"
	"net/netip"
)

// Nth returns the n-th address after a of those that are 2 to the power of bits apart. Neither half of 64 bits carries into the other.
func Nth(a netip.Addr, n uint64, bits int) netip.Addr {
	b := a.As16()
	half := b[8:]
	if bits >= 64 {
		half, bits = b[:8], bits-64
	}
	binary.BigEndian.PutUint64(half, binary.BigEndian.Uint64(half)+n<<bits)
	if a.Is4() {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}
