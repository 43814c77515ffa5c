package service_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/service"
)

// proxied is a namespace in which a kube-proxy is played.
type proxied struct {
	*testing.T
	conn  *nftables.Conn
	table *service.Table
}

func newProxied(t *testing.T) *proxied {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to create network namespaces")
	}
	space, err := ns.New()
	check(t, err)
	t.Cleanup(func() { check(t, space.Close()) })
	conn, err := nftables.New(nftables.WithNetNSFd(space.FD()))
	check(t, err)
	table, err := service.Open(space.FD())
	check(t, err)
	t.Cleanup(func() { check(t, table.Close()) })
	return &proxied{t, conn, table}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add adds a chain to a table of a family.
func (p *proxied) add(family nftables.TableFamily, table, chain string) {
	p.Helper()
	t := p.conn.AddTable(&nftables.Table{Family: family, Name: table})
	p.conn.AddChain(&nftables.Chain{Table: t, Name: chain})
	check(p.T, p.conn.Flush())
}

// knows asks once whether a port has endpoints in families.
func (p *proxied) knows(port string, families ...flow.Family) bool {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	cancel()
	err := p.table.AwaitKubeProxy(ctx, port, families)
	if err != nil && !errors.Is(err, context.Canceled) {
		p.Fatal(err)
	}
	return err == nil
}

func TestKubeProxyKnowsAPortOnceItLeadsToEndpoints(t *testing.T) {
	p := newProxied(t)
	for _, other := range []string{"service-ABCDEFGH-a/web/tcp/r11", "local-ABCDEFGH-a/web/tcp/r1", "service-ABCDEFGH-a/web/udp/r1"} {
		p.add(nftables.TableFamilyIPv4, "kube-proxy", other)
	}
	p.add(nftables.TableFamilyIPv4, "another", "service-ABCDEFGH-a/web/tcp/r1")
	if p.knows("a/web/tcp/r1", flow.IPv4) {
		t.Error("known from the chains of other ports, of other protocols, of other kinds or of other tables")
	}
	p.add(nftables.TableFamilyIPv4, "kube-proxy", "service-ABCDEFGH-a/web/tcp/r1")
	if !p.knows("a/web/tcp/r1", flow.IPv4) {
		t.Error("not known from its chain")
	}
	if p.knows("a/web/tcp/r1", flow.IPv4, flow.IPv6) {
		t.Error("known in both families from a chain of one")
	}
	p.add(nftables.TableFamilyIPv6, "kube-proxy", "service-ABCDEFGH-a/web/tcp/r1")
	if !p.knows("a/web/tcp/r1", flow.IPv4, flow.IPv6) {
		t.Error("not known in both families from its chains")
	}
}

func TestKubeProxyIsAwaited(t *testing.T) {
	p := newProxied(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.table.AwaitKubeProxy(ctx, "a/web/tcp/r1", []flow.Family{flow.IPv4}) }()
	p.add(nftables.TableFamilyIPv4, "kube-proxy", "service-ABCDEFGH-a/web/tcp/r1")
	check(t, <-done)
}
