// Package sctp reads and writes the packets of an SCTP association's first round trip (RFC 9260): INIT, and the INIT
// ACK or ABORT that answers it; and DATA, as it would follow later.
//
// It exists because many kernels have no SCTP sockets: with raw sockets these packets suffice to tell whether a network
// lets an association begin, and they are what a listening and a closed port would send. Packets carry the checksum
// that connection tracking verifies. Nothing beyond the first chunk is read.
package sctp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Type is the type of a chunk.
type Type uint8

// The chunks of the first round trip, and those that carry what people send.
const (
	Data    Type = 0
	Init    Type = 1
	InitAck Type = 2
	Abort   Type = 6
)

// Sizes in bytes, and the type of the parameter that the cookie travels in.
const (
	headerLen   = 12
	chunkLen    = 4
	initLen     = chunkLen + 16
	dataLen     = chunkLen + 12
	paramLen    = 4
	cookieParam = 7
)

// What an INIT offers: a receive window in bytes and streams each way. The values carry no meaning here.
const (
	window  = 1 << 16
	streams = 10
)

// Errors of Parse.
var (
	ErrShort    = errors.New("sctp: packet too short")
	ErrChecksum = errors.New("sctp: wrong checksum")
	ErrChunk    = errors.New("sctp: first chunk is none of DATA, INIT, INIT ACK, ABORT")
)

// Packet is one packet with one chunk.
type Packet struct {
	SrcPort, DstPort uint16
	Tag              uint32 // verification tag: zero for an INIT, else the initiate tag of the other side
	Type             Type
	InitTag          uint32 // initiate tag of an INIT or INIT ACK: never zero
	Cookie           []byte // state cookie of an INIT ACK
	Data             []byte // of DATA: one message, whole
}

// WithData returns a packet of the same association, in the same direction and with the same tag, that carries data.
func (p Packet) WithData(data []byte) Packet {
	return Packet{SrcPort: p.SrcPort, DstPort: p.DstPort, Tag: p.Tag, Type: Data, Data: data}
}

// Answer is the packet with which the owner of a port answers an INIT: an INIT ACK with the initiate tag and cookie
// given, or an ABORT where tag is zero.
func (p Packet) Answer(tag uint32, cookie []byte) Packet {
	a := Packet{SrcPort: p.DstPort, DstPort: p.SrcPort, Tag: p.InitTag, Type: Abort}
	if tag != 0 {
		a.Type, a.InitTag, a.Cookie = InitAck, tag, cookie
	}
	return a
}

// Answers reports whether p answers the INIT q.
func (p Packet) Answers(q Packet) bool {
	return p.Type != Init && p.Tag == q.InitTag && p.SrcPort == q.DstPort && p.DstPort == q.SrcPort
}

// Marshal returns the bytes of p that follow the IP header.
func (p Packet) Marshal() []byte {
	b := make([]byte, headerLen, headerLen+initLen+paramLen+len(p.Cookie)+3)
	binary.BigEndian.PutUint16(b[0:], p.SrcPort)
	binary.BigEndian.PutUint16(b[2:], p.DstPort)
	binary.BigEndian.PutUint32(b[4:], p.Tag)
	b = p.appendChunk(b)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	binary.LittleEndian.PutUint32(b[8:], checksum(b))
	return b
}

func (p Packet) appendChunk(b []byte) []byte {
	switch p.Type {
	case Abort:
		return appendHead(b, p.Type, 0, chunkLen)
	case Data:
		b = appendHead(b, p.Type, wholeMessage, dataLen+len(p.Data))
		b = append(b, make([]byte, dataLen-chunkLen)...) // transmission number, stream and so on: any value
		return append(b, p.Data...)
	case InitAck:
		b = appendHead(b, p.Type, 0, initLen+paramLen+len(p.Cookie))
	default:
		b = appendHead(b, p.Type, 0, initLen)
	}
	b = binary.BigEndian.AppendUint32(b, p.InitTag)
	b = binary.BigEndian.AppendUint32(b, window)
	b = binary.BigEndian.AppendUint16(b, streams)
	b = binary.BigEndian.AppendUint16(b, streams)
	b = binary.BigEndian.AppendUint32(b, p.InitTag) // initial TSN: any value
	if p.Type == InitAck {
		b = binary.BigEndian.AppendUint16(b, cookieParam)
		b = binary.BigEndian.AppendUint16(b, uint16(paramLen+len(p.Cookie)))
		b = append(b, p.Cookie...)
	}
	return b
}

// wholeMessage are the flags of a DATA chunk that begins and ends a message.
const wholeMessage = 3

func appendHead(b []byte, t Type, flags byte, length int) []byte {
	return binary.BigEndian.AppendUint16(append(b, byte(t), flags), uint16(length))
}

// checksum is CRC32c over the packet with a zero checksum field.
func checksum(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[:8])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return crc32.Update(sum, table, b[headerLen:])
}

// Parse reads what follows the IP header. The result shares memory with b.
func Parse(b []byte) (Packet, error) {
	if len(b) < headerLen+chunkLen {
		return Packet{}, ErrShort
	}
	if binary.LittleEndian.Uint32(b[8:]) != checksum(b) {
		return Packet{}, ErrChecksum
	}
	p := Packet{
		SrcPort: binary.BigEndian.Uint16(b[0:]), DstPort: binary.BigEndian.Uint16(b[2:]),
		Tag: binary.BigEndian.Uint32(b[4:]), Type: Type(b[headerLen]),
	}
	length := int(binary.BigEndian.Uint16(b[headerLen+2:]))
	if length < chunkLen || length > len(b)-headerLen {
		return Packet{}, fmt.Errorf("%w: chunk of %d bytes", ErrShort, length)
	}
	return p, p.parseChunk(b[headerLen : headerLen+length])
}

func (p *Packet) parseChunk(c []byte) error {
	switch p.Type {
	case Abort:
		return nil
	case Data:
		if len(c) < dataLen {
			return ErrShort
		}
		p.Data = c[dataLen:]
		return nil
	case Init, InitAck:
		if len(c) < initLen {
			return ErrShort
		}
		p.InitTag = binary.BigEndian.Uint32(c[chunkLen:])
		if p.Type == InitAck {
			p.Cookie = cookie(c[initLen:])
		}
		return nil
	}
	return ErrChunk
}

// cookie finds the state cookie among the parameters, nil if there is none.
func cookie(params []byte) []byte {
	for len(params) >= paramLen {
		typ, length := binary.BigEndian.Uint16(params), int(binary.BigEndian.Uint16(params[2:]))
		if length < paramLen || length > len(params) {
			return nil
		}
		if typ == cookieParam {
			return params[paramLen:length]
		}
		params = params[min((length+3)&^3, len(params)):]
	}
	return nil
}
