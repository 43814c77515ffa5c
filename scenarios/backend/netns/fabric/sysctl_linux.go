package fabric

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// setting is one file under /proc/sys/net and what to write to it.
type setting struct{ path, value string }

// everywhere makes addresses usable at once and lets every packet and every ICMP error through, so that what is lost
// was lost to a policy. The last three do not exist in all kernels, or only in the initial namespace.
var everywhere = []setting{
	{"ipv6/conf/all/disable_ipv6", "0"},
	{"ipv6/conf/default/disable_ipv6", "0"},
	{"ipv6/conf/all/accept_dad", "0"},
	{"ipv6/conf/default/accept_dad", "0"},
	{"ipv6/conf/default/dad_transmits", "0"},
	{"ipv6/conf/default/accept_ra", "0"},
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	{"ipv4/icmp_ratemask", "0"},
	{"ipv6/icmp/ratelimit", "0"},
	{"ipv4/icmp_msgs_per_sec", "1000000"},
	{"ipv4/icmp_msgs_burst", "1000000"},
}

// routers forward besides.
var routers = []setting{
	{"ipv4/ip_forward", "1"},
	{"ipv6/conf/all/forwarding", "1"},
}

// configure writes settings inside n. A setting the kernel does not offer there is passed over.
func configure(n *ns.NS, settings []setting) error {
	return n.Do(func() error {
		for _, s := range settings {
			err := os.WriteFile(filepath.Join("/proc/sys/net", s.path), []byte(s.value), 0)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("configure the namespace: %w", err)
			}
		}
		return nil
	})
}
