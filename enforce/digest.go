package enforce

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// digest names content: equal digests mean equal content.
type digest [16]byte

func (d digest) compare(o digest) int { return bytes.Compare(d[:], o[:]) }

// hasher builds a digest from parts; each part is preceded by its length, so "ab","c" and "a","bc" differ.
type hasher struct{ h hash.Hash }

func newHasher(kind string) hasher {
	h := hasher{sha256.New()}
	h.str(kind)
	return h
}

func (h hasher) bytes(b []byte) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
	h.h.Write(n[:])
	h.h.Write(b)
}

func (h hasher) str(s string) { h.bytes([]byte(s)) }

func (h hasher) sum() (d digest) {
	copy(d[:], h.h.Sum(nil))
	return d
}

// number returns bits of d that are as good as random.
func (d digest) number() uint64 { return binary.LittleEndian.Uint64(d[8:]) }
