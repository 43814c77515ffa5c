package prober

import (
	"encoding/binary"
	"io"
)

// headLen is the length in bytes of a message without its name: number, length of the name.
const headLen = 8 + 2

// question is what a TCP or UDP probe sends.
func question(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// asked reads a question.
func asked(b []byte) (number uint64, ok bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// message is what a listener answers to a question.
func message(number uint64, name string) []byte {
	b := question(number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

// answered reads a message, ok only once it is complete.
func answered(b []byte) (number uint64, name string, ok bool) {
	if len(b) < headLen || len(b) != headLen+int(binary.BigEndian.Uint16(b[8:])) {
		return 0, "", false
	}
	return binary.BigEndian.Uint64(b), string(b[headLen:]), true
}

// readMessage reads the next message of a stream.
func readMessage(r io.Reader) (number uint64, err error) {
	head := make([]byte, headLen)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, err
	}
	_, err = io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint16(head[8:])))
	return binary.BigEndian.Uint64(head), err
}
