package check

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

const (
	// oldestKubernetes has the field status.hostIPs, from which agents learn their node's addresses.
	oldestKubernetes = "1.29"
	// oldestKernel has what the programs need at all; capable is the first on which they load with two capabilities.
	oldestKernel  = "5.10"
	capableKernel = "6.12"
)

// agentName and controllerName are the names of the chart's workloads.
const (
	agentName      = "palisade-agent"
	controllerName = "palisade-controller"
)

// Report judges a cluster. Auto becomes what fits.
func (c *Cluster) Report(p Phase) (Report, error) {
	known, err := engines()
	if err != nil {
		return Report{}, err
	}
	if p == Auto {
		p = Before
		if c.installed() {
			p = After
		}
	}
	r := Report{Place: "cluster " + c.Server, Phase: p}
	r.Checks = append(r.Checks, c.kubernetes(), c.engines(known), c.nodes())
	if p == Before {
		r.Checks = append(r.Checks, c.publisher(), c.policies())
	} else {
		r.Checks = append(r.Checks, c.definition(), c.controller(), c.agents(), c.published())
	}
	return r, nil
}

// installed says whether agents are deployed.
func (c *Cluster) installed() bool {
	for _, d := range c.DaemonSets {
		if d.Name == agentName {
			return true
		}
	}
	return false
}

func (c *Cluster) kubernetes() Check {
	const id = "kubernetes"
	v, err := version.ParseGeneric(c.Version)
	if err != nil {
		return check(id, Warning, "the version %q of the API server cannot be read", c.Version).
			do("make sure that it is %s or later", oldestKubernetes)
	}
	if v.LessThan(version.MustParseGeneric(oldestKubernetes)) {
		return check(id, Failed, "Kubernetes %s does not tell agents all addresses of their node", c.Version).
			do("upgrade to %s or later", oldestKubernetes)
	}
	return check(id, OK, "Kubernetes %s", c.Version)
}

// engines looks for others that enforce policies, and for what they left behind.
func (c *Cluster) engines(known []engine) Check {
	const id = "other-engines"
	if skipped, ok := c.unseen(id, daemonSets()); ok {
		return skipped
	}
	var running, remedies, left []string
	for _, e := range known {
		workloads := c.workloads(e)
		if len(workloads) > 0 {
			running = append(running, fmt.Sprintf("%s (DaemonSet %s)", e.Name, strings.Join(workloads, ", ")))
			remedies = append(remedies, e.Remedy)
		} else if slices.ContainsFunc(c.CRDs, func(d CRD) bool { return slices.Contains(e.Groups, d.Spec.Group) }) {
			left = append(left, fmt.Sprintf("%s (CRDs of %s)", e.Name, strings.Join(e.Groups, ", ")))
		}
	}
	switch {
	case len(running) > 0:
		return check(id, Failed, "other engines enforce policies here: %s", strings.Join(running, "; ")).
			do("%s. Where two engines enforce, a connection passes only if both allow it, and neither can explain it",
				strings.Join(remedies, "; "))
	case len(left) > 0:
		return check(id, Warning, "no other engine runs, but some have been here: %s", strings.Join(left, "; ")).
			do("run palisade check --node on a node: programs and rules may have been left there too")
	}
	return check(id, OK, "no other policy engine is found")
}

// workloads returns the DaemonSets that make an engine enforce.
func (c *Cluster) workloads(e engine) []string {
	var names []string
	for _, d := range c.DaemonSets {
		if e.runs(d) {
			names = append(names, d.Namespace+"/"+d.Name)
		}
	}
	return names
}

// nodes looks for nodes on which policies cannot be enforced.
func (c *Cluster) nodes() Check {
	const id = "nodes"
	if skipped, ok := c.unseen(id, nodes()); ok {
		return skipped
	}
	var unable, limited []string
	for _, n := range c.Nodes {
		if why := cannotRun(n); why != "" {
			unable = append(unable, n.Name+" ("+why+")")
		} else if older(n.Status.NodeInfo.KernelVersion, capableKernel) {
			limited = append(limited, n.Name+" (kernel "+n.Status.NodeInfo.KernelVersion+")")
		}
	}
	switch {
	case len(c.Nodes) == 0:
		return check(id, Failed, "there are no nodes")
	case len(unable) > 0:
		return check(id, Failed, "policies cannot be enforced on %s", some(unable)).
			do("keep pods that need policies off these nodes")
	case len(limited) > 0:
		return check(id, Warning, "the kernel may ask for more than CAP_BPF and CAP_NET_ADMIN on %s", some(limited)).
			do("run palisade check --node there; if it says so, install with --set agent.extraCapabilities={PERFMON}")
	}
	return check(id, OK, "%d nodes can run the agent", len(c.Nodes))
}

// cannotRun says why no agent can run on a node, or nothing.
func cannotRun(n corev1.Node) string {
	info := n.Status.NodeInfo
	switch {
	case n.Labels["eks.amazonaws.com/compute-type"] == "fargate":
		return "Fargate runs no DaemonSets"
	case info.OperatingSystem != "" && info.OperatingSystem != "linux":
		return info.OperatingSystem
	case info.Architecture != "" && info.Architecture != "amd64" && info.Architecture != "arm64":
		return "architecture " + info.Architecture
	case older(info.KernelVersion, oldestKernel):
		return "kernel " + info.KernelVersion
	}
	return ""
}

// older says whether a kernel's version, "5.4.0-150-generic", is known to be before another one.
func older(kernel, than string) bool {
	v, err := version.ParseGeneric(kernel)
	return err == nil && v.LessThan(version.MustParseGeneric(than))
}

// publisher looks for another controller, whose PolicyEndpoints carry none of our annotations.
func (c *Cluster) publisher() Check {
	const id = "other-controller"
	if skipped, ok := c.unseen(id, endpoints()); ok {
		return skipped
	}
	foreign := 0
	for _, e := range c.Endpoints {
		if e.Annotations[v1alpha1.ChunkHashAnnotation] == "" {
			foreign++
		}
	}
	if foreign > 0 {
		return check(id, Failed, "there are %d PolicyEndpoints already: another controller writes them, or has", foreign).
			do("if it is the hosted one of EKS, either install with --set controller.enabled=false, or turn it off in the " +
				"ConfigMap kube-system/amazon-vpc-cni (enable-network-policy-controller: \"false\") and delete what it wrote")
	}
	return check(id, OK, "no other controller publishes PolicyEndpoints")
}

// policies tells what will be in force at once.
func (c *Cluster) policies() Check {
	const id = "policies"
	if skipped, ok := c.unseen(id, policies()); ok {
		return skipped
	}
	if n := len(c.Policies); n > 0 {
		return check(id, Warning, "%d NetworkPolicies will be in force as soon as agents run", n).
			do("look at what they mean first: palisade matrix --context NAME")
	}
	return check(id, OK, "there are no NetworkPolicies yet, so no connection is cut by the installation")
}

// some lists names, and how many there are besides.
func some(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
