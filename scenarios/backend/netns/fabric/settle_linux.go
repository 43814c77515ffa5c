package fabric

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The kernel finishes some changes in its own time: a link carries packets only once the link watch has run, and an IPv6
// address is local only once duplicate address detection, although it is off, has had its turn. Packets in between are
// lost without a trace, so the fabric looks every tick until both are done, and gives up after patience.
const (
	tick     = time.Millisecond
	patience = 5 * time.Second
)

// settle waits until the leaf can send and receive.
func (l *leaf) settle() error {
	if err := l.parent.carries(l.upper); err != nil {
		return err
	}
	if err := l.carries(l.lower); err != nil {
		return err
	}
	for _, a := range l.addrs {
		if err := l.owns(a); err != nil {
			return err
		}
	}
	return nil
}

// carries waits until a link is operational.
func (s *space) carries(link netlink.Link) error {
	return eventually("link "+link.Attrs().Name+" is not operational", func() (bool, error) {
		now, err := s.nl.LinkByIndex(link.Attrs().Index)
		if err != nil {
			return false, fmt.Errorf("look at link %s: %w", link.Attrs().Name, err)
		}
		return now.Attrs().OperState == netlink.OperUp, nil
	})
}

// owns waits until packets to a stay in the namespace.
func (s *space) owns(a netip.Addr) error {
	return eventually("address "+a.String()+" is not local", func() (bool, error) {
		routes, err := s.nl.RouteGet(a.AsSlice())
		if err != nil {
			return false, fmt.Errorf("look for the route to %s: %w", a, err)
		}
		return len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL, nil
	})
}

// eventually waits until done, and says what is not if that takes too long.
func eventually(not string, done func() (bool, error)) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(tick) {
		if ok, err := done(); err != nil || ok {
			return err
		}
	}
	return fmt.Errorf("%s after %s", not, patience)
}
