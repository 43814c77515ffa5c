package service

import (
	"net/netip"
	"slices"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// clause is a part of a rule that reads like a word of the nft language. The clauses here use registers 1 and 2 as
// scratch space, so no value lives longer than its clause.
type clause []expr.Any

const (
	scratch = unix.NFT_REG_1
	second  = unix.NFT_REG_2
)

// header says where a family keeps its addresses in the network header, in bytes.
type header struct {
	nfproto  byte
	src, dst uint32
}

func headerOf(a netip.Addr) header {
	if a.Is4() {
		return header{unix.NFPROTO_IPV4, 12, 16}
	}
	return header{unix.NFPROTO_IPV6, 8, 24}
}

// is compares the scratch register with a value.
func is(value []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: scratch, Data: value} }

// family matches packets of a's family.
func family(a netip.Addr) clause {
	return clause{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: scratch}, is([]byte{headerOf(a).nfproto})}
}

// address matches an address at an offset of the network header.
func address(offset uint32, a netip.Addr) clause {
	return clause{&expr.Payload{
		DestRegister: scratch, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(a.BitLen() / 8),
	}, is(a.AsSlice())}
}

// toward matches packets to a frontend.
func toward(f Frontend) clause {
	a := f.Addr.Addr()
	return slices.Concat(family(a), address(headerOf(a).dst, a), clause{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: scratch}, is([]byte{byte(f.Protocol)}),
		&expr.Payload{DestRegister: scratch, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		is(binaryutil.BigEndian.PutUint16(f.Addr.Port())),
	})
}

// fromTo matches packets between two addresses of one family.
func fromTo(src, dst netip.Addr) clause {
	h := headerOf(src)
	return slices.Concat(family(src), address(h.src, src), address(h.dst, dst))
}

// oneIn matches one packet of n, by chance.
func oneIn(n int) clause {
	if n == 1 {
		return nil
	}
	return clause{
		&expr.Numgen{Register: scratch, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM},
		is(binaryutil.NativeEndian.PutUint32(0)),
	}
}

// translate replaces the destination.
func translate(to netip.AddrPort) clause {
	return clause{
		&expr.Immediate{Register: scratch, Data: to.Addr().AsSlice()},
		&expr.Immediate{Register: second, Data: binaryutil.BigEndian.PutUint16(to.Port())},
		&expr.NAT{
			Type: expr.NATTypeDestNAT, Family: uint32(headerOf(to.Addr()).nfproto),
			RegAddrMin: scratch, RegProtoMin: second, Specified: true,
		},
	}
}

// toBeMasqueraded is the mark of packets whose source is to be replaced once they leave; the first packet of a
// connection decides for all.
const toBeMasqueraded = 1

func setMark() clause {
	return clause{
		&expr.Immediate{Register: scratch, Data: binaryutil.NativeEndian.PutUint32(toBeMasqueraded)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: scratch},
	}
}

func marked() clause {
	return clause{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: scratch}, is(binaryutil.NativeEndian.PutUint32(toBeMasqueraded)),
	}
}

// masquerade replaces the source by an address of the node.
func masquerade() clause { return clause{&expr.Masq{}} }

// refuse answers with "port unreachable" of either family.
func refuse() clause {
	return clause{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH}}
}

func jump(chain string) clause { return clause{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}} }
