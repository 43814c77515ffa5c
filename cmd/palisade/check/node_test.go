package check

import (
	"errors"
	"testing"
)

// ready is a node on which an agent serves pods.
func ready() *Node {
	return &Node{
		Name: "n", Kernel: "6.12.43-1.amzn", JIT: true, Installed: true, Chained: true,
		Loads:    []Load{{Capabilities: []string{"BPF", "NET_ADMIN"}}},
		Programs: []Program{{"eni1", "tcx ingress", "pod_egress"}, {"eni1", "tcx egress", "pod_ingress"}},
		Rules:    []string{"kube-proxy", "KUBE-SERVICES"},
	}
}

func TestNode(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		change func(n *Node)
		id     string
		want   Status
		detail string
	}{
		"serves pods": {func(*Node) {}, "agent", OK, "the agent of this node answers"},
		"agent down": {
			func(n *Node) { n.Agent = refused }, "agent", Failed, "the agent of this node cannot serve pods: refused",
		},
		"no CNI plugin": {
			func(n *Node) { n.Chained = false }, "cni", Warning,
			"pods do not wait for their filters: the CNI plugin is not in the network configuration",
		},
		"needs PERFMON": {
			func(n *Node) {
				n.Loads[0].Err = refused
				n.Loads = append(n.Loads, Load{Capabilities: []string{"BPF", "NET_ADMIN", "PERFMON"}})
			}, "load", Warning, "the programs load only with BPF, NET_ADMIN, PERFMON",
		},
		"cannot load": {
			func(n *Node) { n.Loads[0].Err = refused }, "load", Failed,
			"the kernel refuses the programs, even with BPF, NET_ADMIN: refused",
		},
		"no tcx": {
			func(n *Node) { n.TCX = refused }, "hook", OK, "programs can be attached by clsact; there is no tcx: refused",
		},
		"no hook": {
			func(n *Node) { n.TCX, n.Clsact = refused, refused }, "hook", Failed,
			"programs can be attached neither by tcx (refused) nor by clsact (refused)",
		},
		"nothing mounted": {
			func(n *Node) { n.BPFFS = refused }, "bpffs", Failed, "policies could not outlive the agent: refused",
		},
		"no JIT": {
			func(n *Node) { n.JIT = false }, "kernel", Warning,
			"kernel 6.12.43-1.amzn interprets BPF programs instead of compiling them",
		},
		"old kernel": {
			func(n *Node) { n.Kernel = "4.19.0-1" }, "kernel", Failed, "kernel 4.19.0-1 lacks what the programs need",
		},
		"SELinux": {func(n *Node) { n.SELinux = true }, "selinux", Warning, "SELinux is enforced here"},
		"programs of an engine": {
			func(n *Node) { n.Programs = append(n.Programs, Program{"lxc1", "tcx ingress", "cil_from_contai"}) },
			"other-programs", Failed,
			"programs of other engines judge packets here: cil_from_contai (tcx ingress of lxc1) of Cilium",
		},
		"programs of somebody": {
			func(n *Node) { n.Programs = append(n.Programs, Program{"eth0", "clsact egress", "monitor"}) },
			"other-programs", Warning, "other programs see packets too: monitor (clsact egress of eth0)",
		},
		"rules of an engine": {
			func(n *Node) { n.Rules = append(n.Rules, "cali-FORWARD") }, "other-rules", Failed,
			"rules of other engines judge packets here: cali-FORWARD of Calico",
		},
		"rules nobody can read": {
			func(n *Node) { n.Legacy = true }, "other-rules", Warning,
			"there are rules of iptables-legacy, which cannot be read here",
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := ready()
			c.change(n)
			r, err := n.Report(Auto)
			if err != nil || r.Phase != After {
				t.Fatalf("phase %s, %v", r.Phase, err)
			}
			expect(t, r, c.id, c.want, c.detail)
		})
	}
}

// TestNodeWithoutRights: what cannot be seen is said to be unseen, and not to be fine.
func TestNodeWithoutRights(t *testing.T) {
	n := &Node{Name: "n", Kernel: "6.18.0", Denied: errors.New("CAP_BPF is missing")}
	r, err := n.Report(Auto)
	if err != nil || r.Phase != Before || len(r.Checks) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r.Count(Skipped) != 1 || r.Checks[2].Detail != "the rest cannot be seen: CAP_BPF is missing" {
		t.Errorf("%+v", r.Checks)
	}
}
