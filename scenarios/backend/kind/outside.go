package kind

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// outside makes hosts outside the cluster on the network of its nodes, with hack/kind.
type outside struct{ *Backend }

// Host makes a host, if it is not there, and returns its addresses.
func (o outside) Host(ctx context.Context, number int) ([]netip.Addr, error) {
	text, err := o.kind(ctx, "outside", strconv.Itoa(number))
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, word := range strings.Fields(text) {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return nil, fmt.Errorf("addresses of host %d outside: %w", number, err)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// Probe runs palisade-probe on a host. It ends when its input does.
func (o outside) Probe(ctx context.Context, number int, args []string, in io.Reader, out, log io.Writer) error {
	c := o.command(ctx, o.tool, append([]string{"probe", "--name", o.opts.Name, strconv.Itoa(number)}, args...)...)
	c.Stdin, c.Stdout, c.Stderr = in, out, log
	return c.Run()
}
