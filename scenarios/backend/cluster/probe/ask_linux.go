package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// startup is how long a probe may take from the start of its container until it serves, on a machine that is busy.
const startup = time.Minute

// Ask brings a request to the probe that serves at a socket, or is about to, and returns its reply.
func Ask(ctx context.Context, socket string, r wire.Request) (wire.Reply, error) {
	c, err := dial(ctx, socket)
	if err != nil {
		return wire.Reply{}, fmt.Errorf("no probe serves here: %w", err)
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	if err := json.NewEncoder(c).Encode(r); err != nil {
		return wire.Reply{}, fmt.Errorf("send a request: %w", err)
	}
	var reply wire.Reply
	if err := json.NewDecoder(c).Decode(&reply); err != nil {
		return wire.Reply{}, fmt.Errorf("read a reply: %w", err)
	}
	return reply, nil
}

// dial waits for a probe that starts.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "unix", socket)
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ECONNREFUSED) {
			return c, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}
