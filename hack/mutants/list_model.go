package main

// inModel are bugs of the oracle itself, which everything else is held against.
func inModel() []Mutant {
	return []Mutant{
		{"model-local-node-forgotten", "rule 33: the own node always reaches its pods",
			"model/decide.go", `case dir == flow.Ingress && peer.isNode() && peer.host == subject.host:`, `case false:`,
			[]string{"model:TestSelfAndNode", semantics}},
		{"model-any-node-is-local", "rule 34: another node is subject to policy",
			"model/decide.go", `case dir == flow.Ingress && peer.isNode() && peer.host == subject.host:`,
			`case dir == flow.Ingress && peer.isNode():`,
			[]string{"model:TestSelfAndNode", semantics}},
		{"model-one-end-suffices", "rule 24: both ends must allow",
			"model/decide.go", `case egress == flow.Deny || ingress == flow.Deny:`,
			`case egress == flow.Deny && ingress == flow.Deny:`,
			[]string{"model:TestDefaulting", semantics}},
		{"model-selector-matches-addresses", "rule 52: a block matches pods by their address",
			"model/match.go", `case p.block != nil && p.block.contains(e.addr):`,
			`case p.block != nil && e.pod == nil && p.block.contains(e.addr):`,
			[]string{"model:TestIPBlocks", semantics}},
		{"model-hostnetwork-is-a-pod", "rule 36: selectors match pods on the host network for certain",
			"model/match.go", `case e.pod.hostNetwork:
		return maybe`, `case e.pod.hostNetwork:
		return yes`,
			[]string{"model:TestHostNetwork", semantics}},
		{"model-names-of-the-source", "rule 40, aws-network-policy-agent#149: a name is the destination's",
			"model/decide.go", `m := r.matches(*peer, c.PortProto, c.to.pod)`,
			`m := r.matches(*peer, c.PortProto, peer.pod)`,
			[]string{"model:TestNamedPorts", semantics}},
		{"model-older-pod-owns-the-address", "rule 67: the last owner wins",
			"model/pod.go", `cmp.Compare(p.name, other.name)) > 0`, `cmp.Compare(p.name, other.name)) < 0`,
			[]string{"model:TestNewerPod"}},
		{"model-completed-pods-count", "rule 65: a completed pod is nobody",
			"model/index.go", `if info.ended || info.hostNetwork {`, `if info.hostNetwork {`,
			[]string{"model:TestLifecycle", semantics}},
	}
}
