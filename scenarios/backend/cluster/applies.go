package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// Why a scenario does not apply to a cluster.
const (
	needsOutside   = "needs a host outside the cluster"
	needsAddresses = "needs pods at addresses of its choice, such as one that another pod had before"
	needsOneFamily = "has a pod with fewer address families than its cluster, which clusters do not make"
	needsOldPolicy = "has a policy that only an older API server would have taken"
	needsNodes     = "adds or removes nodes"
	needsEndpoints = "leads a Service to addresses that are not those of its pods"
)

// Applies returns nil if a scenario can be replayed on the cluster, else why not.
func (b *Backend) Applies(ctx context.Context, scenario *spec.Scenario, stages []spec.Stage) error {
	f, err := b.know(ctx)
	if err != nil {
		return err
	}
	if n := len(stages[0].Cluster.Nodes); n > len(f.nodes) {
		return fmt.Errorf("needs %d nodes, and the cluster has %d", n, len(f.nodes))
	}
	if reason := b.inapplicable(stages, len(scenario.AddressFamilies())); reason != "" {
		return errors.New(reason)
	}
	for _, family := range scenario.AddressFamilies() {
		if !slices.Contains(f.families, family) {
			return fmt.Errorf("needs %s, which the cluster does not have", familyName(family))
		}
	}
	return nil
}

func familyName(f flow.Family) string {
	if f == flow.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}

// inapplicable returns what no cluster does, "" if there is nothing of that.
func (b *Backend) inapplicable(stages []spec.Stage, families int) string {
	owners := map[netip.Addr]string{}
	for _, stage := range stages {
		for _, reason := range []string{
			b.outside(stage), nodesOf(stage, stages[0]), addressesOf(stage.Cluster, owners),
			familiesOfPods(stage.Cluster, families), policies(stage.Cluster), byHand(stage.Cluster),
		} {
			if reason != "" {
				return reason
			}
		}
	}
	return ""
}

func (b *Backend) outside(stage spec.Stage) string {
	if len(stage.Outside) > 0 && b.opts.Outside == nil {
		return needsOutside
	}
	return ""
}

func nodesOf(stage, first spec.Stage) string {
	same := slices.EqualFunc(stage.Cluster.Nodes, first.Cluster.Nodes, func(a, b *corev1.Node) bool {
		return a.Name == b.Name
	})
	if !same {
		return needsNodes
	}
	return ""
}

// addressesOf notes whose an address is, and finds one that was somebody else's.
func addressesOf(c *model.Cluster, owners map[netip.Addr]string) string {
	for _, p := range c.Pods {
		if p.Spec.HostNetwork {
			continue
		}
		name := p.Namespace + "/" + p.Name
		for _, a := range podAddrs(p) {
			if other, taken := owners[a]; taken && other != name {
				return needsAddresses
			}
			owners[a] = name
		}
	}
	return ""
}

func familiesOfPods(c *model.Cluster, families int) string {
	for _, p := range c.Pods {
		if n := len(podAddrs(p)); n > 0 && n < families {
			return needsOneFamily
		}
	}
	return ""
}

func policies(c *model.Cluster) string {
	for _, p := range c.Policies {
		if p.ResourceVersion != "" {
			return needsOldPolicy
		}
	}
	return ""
}

// byHand finds endpoints that no pod has.
func byHand(c *model.Cluster) string {
	known := map[string]bool{}
	for _, p := range c.Pods {
		for _, ip := range p.Status.PodIPs {
			known[ip.IP] = true
		}
	}
	for _, e := range writtenByHand(c.EndpointSlices) {
		for _, endpoint := range e.Endpoints {
			if slices.ContainsFunc(endpoint.Addresses, func(a string) bool { return !known[a] }) {
				return needsEndpoints
			}
		}
	}
	return ""
}
