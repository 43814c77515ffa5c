package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/nftables"

	"github.com/palisade-netpol/palisade/model/flow"
)

const (
	// kubeProxyTable is what kube-proxy calls its table, one for each family.
	kubeProxyTable = "kube-proxy"
	// portChain begins the names of kube-proxy's chains that lead to the endpoints of one port, which there are only where
	// it has endpoints: "service-HASH-NAMESPACE/SERVICE/PROTOCOL/PORT".
	portChain = "service-"
	// lookInterval is how often the tables of kube-proxy are looked at.
	lookInterval = 5 * time.Millisecond
)

var errUnknown = errors.New("kube-proxy has not programmed it")

// AwaitKubeProxy waits until the kube-proxy of the namespace leads, in each of families, to the endpoints of a Service's
// port, called NAMESPACE/SERVICE/PROTOCOL/PORT.
func (t *Table) AwaitKubeProxy(ctx context.Context, port string, families []flow.Family) error {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for _, f := range families {
		for {
			known, err := t.leadsTo(port, f)
			if err != nil {
				return err
			}
			if known {
				break
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return fmt.Errorf("%s of %s: %w: %w", port, f, errUnknown, context.Cause(ctx))
			}
		}
	}
	return nil
}

// leadsTo looks for a chain of kube-proxy.
func (t *Table) leadsTo(port string, f flow.Family) (bool, error) {
	family := nftables.TableFamilyIPv4
	if f == flow.IPv6 {
		family = nftables.TableFamilyIPv6
	}
	chains, err := t.conn.ListChainsOfTableFamily(family)
	if err != nil {
		return false, fmt.Errorf("read nftables: %w", err)
	}
	for _, c := range chains {
		if c.Table.Name == kubeProxyTable && strings.HasPrefix(c.Name, portChain) && strings.HasSuffix(c.Name, "-"+port) {
			return true, nil
		}
	}
	return false, nil
}
