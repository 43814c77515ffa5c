package random

import (
	"fmt"
	"net/netip"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
)

// Outside returns addresses that are no pod's, node's or Service's, inside and outside of the blocks.
func Outside() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("10.1.0.200"), netip.MustParseAddr("203.0.113.9"),
		netip.MustParseAddr("10.96.0.9"), netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("fd00:1::99"),
		netip.MustParseAddr("2001:4860::1"),
	}
}

// Probes returns ports that distinguish what the drawn policies can say.
func Probes() []flow.PortProto {
	var probes []flow.PortProto
	for _, proto := range []flow.Protocol{flow.TCP, flow.UDP, flow.SCTP} {
		for _, port := range ports {
			probes = append(probes, flow.PortProto{Protocol: proto, Port: uint16(port)})
		}
	}
	return probes
}

// Queries asks about every connection between pods, nodes and outside addresses of which a pod is one end, in both
// families, on each of the given ports.
func Queries(c *model.Cluster, probes []flow.PortProto) []model.Query {
	ends, pods := ends(c)
	var queries []model.Query
	for i, from := range ends {
		for j, to := range ends {
			if i >= pods && j >= pods {
				continue
			}
			for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
				for _, probe := range probes {
					queries = append(queries, model.Query{From: from, To: to, PortProto: probe, Family: family})
				}
			}
		}
	}
	return queries
}

// ends lists pods, then nodes and addresses, and says how many are pods.
func ends(c *model.Cluster) (all []model.Endpoint, pods int) {
	for _, p := range c.Pods {
		all = append(all, model.Endpoint{Pod: p})
	}
	for _, n := range c.Nodes {
		all = append(all, model.Endpoint{Node: n})
	}
	for _, a := range Outside() {
		all = append(all, model.Endpoint{Addr: a})
	}
	return all, len(c.Pods)
}

// Describe returns a query in words: "ns/pod to node/n TCP/80 ipv4".
func Describe(q model.Query) string {
	return fmt.Sprintf("%s to %s %s %s", describeEnd(q.From), describeEnd(q.To), q.PortProto, q.Family)
}

func describeEnd(e model.Endpoint) string {
	switch {
	case e.Pod != nil:
		return e.Pod.Namespace + "/" + e.Pod.Name
	case e.Node != nil:
		return "node/" + e.Node.Name
	}
	return e.Addr.String()
}
