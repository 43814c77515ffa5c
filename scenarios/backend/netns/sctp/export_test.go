package sctp

import (
	"bytes"
	"encoding/binary"
)

// Seal returns b with the right checksum, so that a fuzzer gets past it.
func Seal(b []byte) []byte {
	if len(b) < headerLen {
		return b
	}
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint32(b[8:], checksum(b))
	return b
}
