package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// Ask brings a request to the probe that serves at a socket, and returns its reply.
func Ask(ctx context.Context, socket string, r wire.Request) (wire.Reply, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return wire.Reply{}, fmt.Errorf("no probe serves here: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return wire.Reply{}, fmt.Errorf("send a request: %w", err)
	}
	var reply wire.Reply
	if err := json.NewDecoder(c).Decode(&reply); err != nil {
		return wire.Reply{}, fmt.Errorf("read a reply: %w", err)
	}
	return reply, nil
}
