package check

import (
	"fmt"
	"slices"
	"strings"
)

// Node is what is judged of the machine that the check runs on.
type Node struct {
	Name   string
	Kernel string // its version, "6.1.0-18-cloud-amd64"
	// Denied says which right this process lacks to look further; nil with all.
	Denied error

	Loads    []Load // what the programs were loaded with, least first, until it succeeded
	TCX      error  // nil if a program could be attached there
	Clsact   error
	BPFFS    error // nil if a BPF file system is mounted at its usual place
	JIT      bool
	SELinux  bool // is enforced
	Programs []Program
	Rules    []string // tables and chains of nftables
	Legacy   bool     // rules of iptables that nftables does not show

	Installed bool  // pins of an agent are there
	Agent     error // what an agent answers; nil if it can serve pods
	Chained   bool  // the CNI plugin is in the network configuration
}

// Load is an attempt to load the programs.
type Load struct {
	Capabilities []string
	Err          error
}

// Program is a BPF program on an interface.
type Program struct {
	Interface string
	Hook      string // "tcx ingress", "clsact egress" and so on
	Name      string // as the kernel has it: up to 15 characters
}

func (p Program) String() string { return fmt.Sprintf("%s (%s of %s)", p.Name, p.Hook, p.Interface) }

// ourPrograms are the names of the programs of package bpf.
func ourPrograms() []string { return []string{"pod_egress", "pod_ingress", "palisade"} }

// Report judges a node. Auto becomes what fits.
func (n *Node) Report(p Phase) (Report, error) {
	known, err := engines()
	if err != nil {
		return Report{}, err
	}
	if p == Auto {
		p = Before
		if n.Installed {
			p = After
		}
	}
	r := Report{Place: "node " + n.Name, Phase: p}
	if n.Denied != nil {
		r.Checks = []Check{n.kernel(), n.mounted(p), check("rights", Skipped, "the rest cannot be seen: %v", n.Denied).
			do("run palisade check --node as root, in the network namespace of the node")}
		return r, nil
	}
	r.Checks = []Check{
		n.kernel(), n.load(), n.hook(), n.mounted(p), n.selinux(), n.programs(known), n.rules(known),
	}
	if p == After {
		r.Checks = append(r.Checks, n.agent(), n.chained())
	}
	return r, nil
}

func (n *Node) kernel() Check {
	const id = "kernel"
	switch {
	case older(n.Kernel, oldestKernel):
		return check(id, Failed, "kernel %s lacks what the programs need", n.Kernel).do("run %s or later", oldestKernel)
	case !n.JIT && n.Denied == nil:
		return check(id, Warning, "kernel %s interprets BPF programs instead of compiling them", n.Kernel).
			do("sysctl -w net.core.bpf_jit_enable=1")
	}
	return check(id, OK, "kernel %s", n.Kernel)
}

// load tells what it took to load the programs.
func (n *Node) load() Check {
	const id = "load"
	if len(n.Loads) == 0 {
		return check(id, Skipped, "the programs were not loaded")
	}
	last := n.Loads[len(n.Loads)-1]
	with := strings.Join(last.Capabilities, ", ")
	switch {
	case last.Err != nil:
		return check(id, Failed, "the kernel refuses the programs, even with %s: %v", with, last.Err).
			do("run a kernel of %s or later with BPF and cls_bpf", oldestKernel)
	case len(n.Loads) > 1:
		more := last.Capabilities[len(n.Loads[0].Capabilities):]
		return check(id, Warning, "the programs load only with %s", with).
			do("install with --set agent.extraCapabilities={%s}", strings.Join(more, ","))
	}
	return check(id, OK, "the programs load with %s alone", with)
}

// hook tells where programs can be attached.
func (n *Node) hook() Check {
	const id = "hook"
	switch {
	case n.TCX == nil:
		return check(id, OK, "programs can be attached by tcx")
	case n.Clsact == nil:
		return check(id, OK, "programs can be attached by clsact; there is no tcx: %v", n.TCX)
	}
	return check(id, Failed, "programs can be attached neither by tcx (%v) nor by clsact (%v)", n.TCX, n.Clsact).
		do("load the kernel modules sch_ingress and cls_bpf")
}

func (n *Node) mounted(p Phase) Check {
	const id = "bpffs"
	if n.BPFFS == nil {
		return check(id, OK, "a BPF file system is mounted at %s", bpffs)
	}
	c := check(id, Failed, "policies could not outlive the agent: %v", n.BPFFS)
	if p == After {
		return c.do("mount -t bpf bpf %s, or upgrade with --set agent.bpffs.mount=true", bpffs)
	}
	return c.do("mount -t bpf bpf %s, as systemd does on every host, or install with --set agent.bpffs.mount=true", bpffs)
}

func (n *Node) selinux() Check {
	const id = "selinux"
	if n.SELinux {
		return check(id, Warning, "SELinux is enforced here").
			do("if the agent is denied access to %s, install with --set agent.seLinuxOptions.type=spc_t", bpffs)
	}
	return check(id, OK, "SELinux is not enforced")
}

// programs looks for those of others on interfaces.
func (n *Node) programs(known []engine) Check {
	const id = "other-programs"
	var theirs, others []string
	for _, p := range n.Programs {
		i := slices.IndexFunc(known, func(e engine) bool { return begins(p.Name, e.Programs) })
		switch {
		case i >= 0:
			theirs = append(theirs, fmt.Sprintf("%s of %s", p, known[i].Name))
		case !slices.Contains(ourPrograms(), p.Name):
			others = append(others, p.String())
		}
	}
	switch {
	case len(theirs) > 0:
		return check(id, Failed, "programs of other engines judge packets here: %s", some(theirs)).
			do("remove the engine; if it has gone already, restart the pods or the node")
	case len(others) > 0:
		return check(id, Warning, "other programs see packets too: %s", some(others)).
			do("find out what they are: bpftool net show")
	}
	return check(id, OK, "no programs of others are on the interfaces")
}

// rules looks for those of other engines.
func (n *Node) rules(known []engine) Check {
	const id = "other-rules"
	var found []string
	for _, e := range known {
		for _, r := range n.Rules {
			if begins(r, e.Rules) {
				found = append(found, fmt.Sprintf("%s of %s", r, e.Name))
			}
		}
	}
	switch {
	case len(found) > 0:
		return check(id, Failed, "rules of other engines judge packets here: %s", some(found)).
			do("remove the engine, and its rules where they stay: nft list ruleset")
	case n.Legacy:
		return check(id, Warning, "there are rules of iptables-legacy, which cannot be read here").
			do("look for chains of a policy engine: iptables-legacy-save")
	}
	return check(id, OK, "no rules of other engines")
}

func (n *Node) agent() Check {
	const id = "agent"
	if n.Agent != nil {
		return check(id, Failed, "the agent of this node cannot serve pods: %v", n.Agent).
			do("kubectl -n kube-system logs of the pod palisade-agent on this node")
	}
	return check(id, OK, "the agent of this node answers")
}

func (n *Node) chained() Check {
	const id = "cni"
	if !n.Chained {
		return check(id, Warning, "pods do not wait for their filters: the CNI plugin is not in the network configuration").
			do("install with --set cni.install=true, unless the interfaces of pods begin with one of agent.interfacePrefixes")
	}
	return check(id, OK, "pods start when their filters are in force")
}
