package sctp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/sctp"
)

var initial = sctp.Packet{SrcPort: 40000, DstPort: 80, Type: sctp.Init, InitTag: 0xdeadbeef}

func TestParseReadsWhatMarshalWrites(t *testing.T) {
	for name, p := range map[string]sctp.Packet{
		"init":                      initial,
		"init ack":                  initial.Answer(7, []byte("default/web1")),
		"init ack with odd cookie":  initial.Answer(7, []byte("x")),
		"init ack of ten kilobytes": initial.Answer(7, bytes.Repeat([]byte{1}, 10_000)),
		"abort":                     initial.Answer(0, nil),
		"data":                      initial.WithData([]byte("12345678")),
		"data of odd length":        initial.Answer(7, nil).WithData([]byte("x")),
	} {
		t.Run(name, func(t *testing.T) {
			b := p.Marshal()
			if len(b)%4 != 0 {
				t.Errorf("%d bytes, not a multiple of 4", len(b))
			}
			got, err := sctp.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(p, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChecksumIsCRC32c(t *testing.T) {
	p := sctp.Packet{SrcPort: 1, DstPort: 2, Type: sctp.Abort, Tag: 3}
	b := p.Marshal()
	want := reference(append(append(append([]byte{}, b[:8]...), 0, 0, 0, 0), b[12:]...))
	if got := hex.EncodeToString(b[8:12]); got != want {
		t.Errorf("checksum = %s, want %s", got, want)
	}
	if got := reference(make([]byte, 32)); got != "aa36918a" {
		t.Errorf("reference of 32 zero bytes = %s, want aa36918a (RFC 3720, B.4)", got)
	}
}

// reference computes CRC32c bit by bit and returns it least significant byte first, as it stands in a packet.
func reference(b []byte) string {
	crc := ^uint32(0)
	for _, x := range b {
		crc ^= uint32(x)
		for range 8 {
			crc = crc>>1 ^ 0x82f63b78&-(crc&1)
		}
	}
	crc = ^crc
	return hex.EncodeToString([]byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)})
}

func TestAnswersOnlyItsOwnInit(t *testing.T) {
	answer := initial.Answer(9, nil)
	other := initial
	other.InitTag++
	elsewhere := initial
	elsewhere.DstPort++
	switch {
	case !answer.Answers(initial):
		t.Error("an INIT ACK does not answer its INIT")
	case !initial.Answer(0, nil).Answers(initial):
		t.Error("an ABORT does not answer its INIT")
	case answer.Answers(other):
		t.Error("an INIT ACK answers an INIT with another tag")
	case answer.Answers(elsewhere):
		t.Error("an INIT ACK answers an INIT to another port")
	case initial.Answers(initial):
		t.Error("an INIT answers itself")
	}
}

func TestParseRejects(t *testing.T) {
	good := initial.Marshal()
	flipped := bytes.Clone(good)
	flipped[20] ^= 1
	heartbeat := sctp.Packet{Type: 4, SrcPort: 1, DstPort: 1}.Marshal()
	for name, c := range map[string]struct {
		packet []byte
		want   error
	}{
		"nothing":         {nil, sctp.ErrShort},
		"header only":     {good[:12], sctp.ErrShort},
		"flipped bit":     {flipped, sctp.ErrChecksum},
		"cut chunk":       {good[:20], sctp.ErrChecksum},
		"HEARTBEAT first": {heartbeat, sctp.ErrChunk},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := sctp.Parse(c.packet); !errors.Is(err, c.want) {
				t.Errorf("Parse = %v, want %v", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(initial.Marshal())
	f.Add(initial.Answer(0, nil).Marshal())
	f.Add(initial.Answer(1, []byte("cookie")).Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sctp.Parse(sctp.Seal(b))
		if err != nil {
			return
		}
		again, err := sctp.Parse(p.Marshal())
		if err != nil {
			t.Fatalf("own packet: %v", err)
		}
		if d := cmp.Diff(p, again, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	})
}
