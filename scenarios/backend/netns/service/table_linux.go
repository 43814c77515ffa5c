package service

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// buffer is enough for the acknowledgements of some ten thousand rules in one transaction, in bytes.
const buffer = 32 << 20

// Table is the translation of one namespace.
type Table struct {
	conn *nftables.Conn
	now  []Frontend
	made bool
}

// Open returns the still empty translation of the namespace behind a descriptor, which must stay open as long.
func Open(namespace int) (*Table, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(namespace), nftables.AsLasting(), nftables.WithSockOptions(enlarge))
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return &Table{conn: conn}, nil
}

func enlarge(c *netlink.Conn) error {
	if err := c.SetReadBuffer(buffer); err != nil {
		return err
	}
	return c.SetWriteBuffer(buffer)
}

// Close closes the connection to the kernel. The rules stay as long as the namespace.
func (t *Table) Close() error {
	if err := t.conn.CloseLasting(); err != nil {
		return fmt.Errorf("close nftables: %w", err)
	}
	return nil
}

// Set makes the namespace translate exactly frontends, in one transaction.
func (t *Table) Set(frontends []Frontend) error {
	if t.made && slices.EqualFunc(t.now, frontends, equal) {
		return nil
	}
	b := t.begin()
	for _, f := range frontends {
		b.serve(f)
	}
	for _, a := range endpointAddrs(frontends) {
		b.add(b.leave, fromTo(a, a), masquerade())
	}
	b.add(b.leave, marked(), masquerade())
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("write nftables: %w", err)
	}
	t.now, t.made = frontends, true
	return nil
}

func equal(f, g Frontend) bool {
	return f.Compare(g) == 0 && f.Masquerade == g.Masquerade && slices.Equal(f.Endpoints, g.Endpoints)
}

// endpointAddrs are the addresses of all endpoints, sorted.
func endpointAddrs(frontends []Frontend) []netip.Addr {
	var out []netip.Addr
	for _, f := range frontends {
		for _, e := range f.Endpoints {
			out = append(out, e.Addr())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// batch is a table under construction.
type batch struct {
	conn  *nftables.Conn
	table *nftables.Table
	enter *nftables.Chain // new connections, before routing: translates the destination
	stray *nftables.Chain // packets that were not translated
	leave *nftables.Chain // new connections, after routing: translates the source
}

// begin replaces the table of the namespace by an empty one that is hooked up.
func (t *Table) begin() batch {
	table := &nftables.Table{Name: "services", Family: nftables.TableFamilyINet}
	t.conn.AddTable(table) // so that there is one to delete
	t.conn.DelTable(table)
	b := batch{conn: t.conn, table: t.conn.AddTable(table)}
	b.enter, b.stray = b.chain("enter"), b.chain("stray")
	nat, filter := nftables.ChainTypeNAT, nftables.ChainTypeFilter
	b.hook("prerouting", nat, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, b.enter)
	b.hook("output", nat, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, b.enter)
	b.hook("forward", filter, nftables.ChainHookForward, nftables.ChainPriorityFilter, b.stray)
	b.hook("sent", filter, nftables.ChainHookOutput, nftables.ChainPriorityFilter, b.stray)
	b.leave = b.base("postrouting", nat, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	return b
}

func (b batch) chain(name string) *nftables.Chain {
	return b.conn.AddChain(&nftables.Chain{Name: name, Table: b.table})
}

func (b batch) base(
	name string, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority,
) *nftables.Chain {
	return b.conn.AddChain(&nftables.Chain{Name: name, Table: b.table, Type: typ, Hooknum: hook, Priority: prio})
}

// hook makes a base chain that continues in to.
func (b batch) hook(
	name string, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority, to *nftables.Chain,
) {
	b.add(b.base(name, typ, hook, prio), jump(to.Name))
}

func (b batch) add(c *nftables.Chain, parts ...clause) {
	b.conn.AddRule(&nftables.Rule{Table: b.table, Chain: c, Exprs: slices.Concat(parts...)})
}

// serve adds the rules of one frontend. Of n endpoints the first is taken with probability 1/n, else the second with
// 1/(n-1) and so on, the last always: each gets the same share.
func (b batch) serve(f Frontend) {
	if len(f.Endpoints) == 0 {
		b.add(b.stray, toward(f), refuse())
		return
	}
	for i, e := range f.Endpoints {
		mark := clause(nil)
		if f.Masquerade {
			mark = setMark()
		}
		b.add(b.enter, toward(f), oneIn(len(f.Endpoints)-i), mark, translate(e))
	}
}
