package fabric

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// doomed is the group of links that are about to be deleted.
const doomed = 1

// deleteLinks deletes links of the namespace by one request. One at a time, each would wait for the kernel's grace
// periods, about 40 ms in all; together they wait once.
func (s *space) deleteLinks(links []netlink.Link) error {
	if len(links) == 0 {
		return nil
	}
	for _, l := range links {
		if err := s.nl.LinkSetGroup(l, doomed); err != nil {
			return fmt.Errorf("mark link %s for deletion: %w", l.Attrs().Name, err)
		}
	}
	return s.Do(func() error {
		request := nl.NewNetlinkRequest(unix.RTM_DELLINK, unix.NLM_F_ACK)
		request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		request.AddData(nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(doomed)))
		if _, err := request.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			return fmt.Errorf("delete links: %w", err)
		}
		return nil
	})
}
