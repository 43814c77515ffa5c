package veth

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	mnl "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// nftBuffer is enough for the acknowledgements of some ten thousand rules in one transaction, in bytes.
const nftBuffer = 32 << 20

// nft is a filter of nftables: a chain on the forward hook that drops what no rule accepts.
type nft struct {
	bed   *bed
	rules func(conn *nftables.Conn, c *nftables.Chain) error
}

// nftConntrack accepts packets of known connections, and makes new ones known.
func nftConntrack(b *bed) (*filter, error) {
	if err := b.onNode(ignoreChecksums); err != nil {
		return nil, err
	}
	known := uint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return nft{b, func(conn *nftables.Conn, c *nftables.Chain) error {
		conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: accepting(inState(known)...)})
		conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: accepting(inState(expr.CtStateBitNEW)...)})
		return nil
	}}.filter(), nil
}

// ignoreChecksums makes conntrack track segments although their checksums are wrong. It would not check those of local
// senders.
func ignoreChecksums() error {
	if err := os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_checksum", []byte("0"), 0); err != nil {
		return fmt.Errorf("make conntrack ignore checksums: %w", err)
	}
	return nil
}

// nftRules accepts by a rule per address; those of the pods come last.
func nftRules(b *bed, n int) (*filter, error) {
	return nft{b, func(conn *nftables.Conn, c *nftables.Chain) error {
		for _, a := range allowed(n) {
			conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: accepting(append(destination(),
				&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: a.AsSlice()})...)})
		}
		return nil
	}}.filter(), nil
}

// nftSet accepts by one rule and a set of addresses.
func nftSet(b *bed, n int) (*filter, error) {
	return nft{b, func(conn *nftables.Conn, c *nftables.Chain) error {
		set := &nftables.Set{
			Table: c.Table, Name: "peers", KeyType: nftables.TypeIPAddr, KeyByteOrder: binaryutil.BigEndian,
			Size: uint32(n),
		}
		if err := fill(conn, set, allowed(n)); err != nil {
			return err
		}
		conn.AddRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: accepting(append(destination(),
			&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set.Name, SetID: set.ID})...)})
		return nil
	}}.filter(), nil
}

// fill makes a set with elements. They go in several messages: the list in one cannot be longer than 64 KiB, and would
// be cut without a word.
func fill(conn *nftables.Conn, set *nftables.Set, addrs []netip.Addr) error {
	if err := conn.AddSet(set, nil); err != nil {
		return err
	}
	for chunk := range slices.Chunk(addrs, 1000) {
		var elements []nftables.SetElement
		for _, a := range chunk {
			elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
		}
		if err := conn.SetAddElements(set, elements); err != nil {
			return err
		}
	}
	return nil
}

// allowed are n addresses, the last of which are those of the pods.
func allowed(n int) []netip.Addr {
	return append(others(n-len(podAddrs)), podAddrs[receiver], podAddrs[sender])
}

func accepting(match ...expr.Any) []expr.Any {
	return append(match, &expr.Verdict{Kind: expr.VerdictAccept})
}

// destination loads the destination of an IPv4 packet.
func destination() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
	}
}

func inState(bits uint32) []expr.Any {
	zero, mask := binaryutil.NativeEndian.PutUint32(0), binaryutil.NativeEndian.PutUint32(bits)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: unix.NFT_REG_1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: mask, Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: zero},
	}
}

func (n nft) filter() *filter { return &filter{install: n.install, remove: n.remove} }

// table is the same for all filters, which are installed one at a time.
func table() *nftables.Table { return &nftables.Table{Name: "bench", Family: nftables.TableFamilyIPv4} }

func (n nft) install() error {
	return n.change(func(conn *nftables.Conn) error {
		drop := nftables.ChainPolicyDrop
		chain := conn.AddChain(&nftables.Chain{
			Name: "forward", Table: conn.AddTable(table()), Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop,
		})
		return n.rules(conn, chain)
	})
}

// remove also forgets the connections: the next round's are new ones.
func (n nft) remove() error {
	err := n.change(func(conn *nftables.Conn) error {
		conn.AddTable(table()) // so that there is one to delete
		conn.DelTable(table())
		return nil
	})
	return errors.Join(err, netlink.ConntrackTableFlush(netlink.ConntrackTable))
}

// change is one transaction.
func (n nft) change(do func(*nftables.Conn) error) error {
	enlarge := func(c *mnl.Conn) error { return errors.Join(c.SetReadBuffer(nftBuffer), c.SetWriteBuffer(nftBuffer)) }
	conn, err := nftables.New(nftables.WithNetNSFd(n.bed.node.NS().FD()), nftables.WithSockOptions(enlarge))
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	if err := do(conn); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables: %w", err)
	}
	return nil
}
