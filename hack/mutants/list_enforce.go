package main

// inEnforce are bugs of the compiler.
func inEnforce() []Mutant {
	return []Mutant{
		{"no-rules-is-open", "rule 23, kube-router#85: a policy without rules does not isolate",
			"enforce/compile.go", `if !p.isolates[dir] {
			continue`, `if !p.isolates[dir] || len(p.rules[dir]) == 0 {
			continue`,
			[]string{"enforce:TestVerdicts", semantics}},
		{"broken-rules-are-skipped", "what cannot be read is left out, and what remains is enforced",
			"enforce/compile.go", `closed = true
			c.closedBy[p]`, `closed = false
			c.closedBy[p]`,
			[]string{"enforce:TestMalformed"}},
		{"pods-by-name-only", "trap 5, aws-network-policy-agent#327: two pods of one name share a policy",
			"enforce/compile.go", `c.selects[podAddr{pod.Namespace, pod.Name, a.Unmap()}]`,
			`c.selects[podAddr{"default", pod.Name, a.Unmap()}]`,
			[]string{"enforce:TestPodsAreToldApart", semantics}},
		{"node-not-allowed", "rule 35: an isolated pod does not reach its node",
			"enforce/compile.go", `if dir == flow.Egress && c.node != nil {`, `if false {`,
			[]string{"enforce:TestOwnNode", semantics}},
		{"hostnetwork-subjects", "a pod on the host network is taken for one with an interface",
			"enforce/read.go", `case pod.PodIP != pod.HostIP:`, `default:`,
			[]string{"enforce:TestHostNetwork"}},
		{"foreign-policyref", "an object speaks for a policy of another namespace",
			"enforce/read.go", `foreign := pe.Spec.PolicyRef.Namespace != pe.Namespace`, `foreign := false`,
			[]string{"enforce:TestMalformed|FuzzBuild"}},
		{"chunks-are-policies", "the rules of one chunk do not apply to the pods of another",
			"enforce/read.go", `newPolicy(pe.Namespace, pe.Spec.PolicyRef.Name)`, `newPolicy(pe.Namespace, pe.Name)`,
			[]string{"enforce:TestVerdicts"}},
		{"except-is-global", "trap 2, aws-network-policy-agent#326: an exception denies what another rule allows",
			"enforce/classes.go", `add(x, change{p, -1})
				}`, `for _, q := range all {
						add(x, change{q, -1})
					}
				}`,
			[]string{"enforce:TestVerdicts", semantics}},
		{"the-next-block-like-the-last", "a block of one rule has the peers of the block before it",
			"enforce/classes.go", `if outer.inner == nil || !slices.Equal(outer.changes, e.changes) {`, `if outer.inner == nil || len(outer.changes) != len(e.changes) {`,
			[]string{"enforce:TestVerdicts", semantics}},
		{"longer-prefix-wins", "trap 3: an address in two blocks gets the ports of the longer one only",
			"enforce/classes.go", `maps.Copy(depth, outer.depth)`, `maps.Copy(depth, map[*Peers]int{})`,
			[]string{"enforce:TestVerdicts", semantics}},
		{"first-rule-wins", "rules add up: a class in two rules gets the ports of both",
			"enforce/image.go", `row[n] = union(ports)`, `row[n] = ports[0]`,
			[]string{"enforce:TestVerdicts", semantics}},
		{"ports-leak", "rule 20: ports of one rule for the peers of another",
			"enforce/image.go", `for _, c := range members[r.Peers.id] {`, `for _, c := range b.classes.list {`,
			[]string{"enforce:TestVerdicts", semantics}},
		{"range-end-lost", "rule 48: ranges that touch, merged one too short",
			"enforce/ports.go", `merged[n-1].last = max(merged[n-1].last, r.last)`,
			`merged[n-1].last = max(merged[n-1].last, r.first)`,
			[]string{"enforce:TestRanges"}},
		{"page-of-ports-cut", "the last port of each 256 is lost",
			"enforce/portimage.go", `first, last, count := upper*bpf.Fanout, upper*bpf.Fanout+bpf.Fanout-1, 0`,
			`first, last, count := upper*bpf.Fanout, upper*bpf.Fanout+bpf.Fanout-2, 0`,
			[]string{"enforce:TestVerdicts", "sim/engine:TestEnginesAgree$"}},
		{"node-ports-are-the-nodes", "a pod that may call nobody calls any Service by a port of its own node",
			"enforce/compile.go", `cmp.Or(in.NodePorts, DefaultNodePorts)`, `cmp.Or(in.NodePorts, NoNodePorts)`,
			[]string{"enforce:TestOwnNode"}},
		{"list-forgets-ping", "a list of ports takes the protocols without ports with it",
			"enforce/portimage.go", `bpf.Listed(numbers[l.text], l.bits) | l.other`, `bpf.Listed(numbers[l.text], l.bits)`,
			[]string{"enforce:TestOwnNode"}},
		{"list-of-ports-cut", "the last port of each range is lost where ports are in a list",
			"enforce/portlist.go", `protocol+uint32(r.last)+1)`, `protocol+uint32(r.last))`,
			[]string{"enforce:TestRanges"}},
		{"lists-of-ports-overlap", "a short list is written into the second half of a long one",
			"enforce/portlist.go", `		for i := range size {
			taken[slot*size+i] = true
		}`, `		taken[slot*size] = true`,
			[]string{"enforce:TestLists"}},
		{"limit-of-ports", "trap 1: more than 24 ports for a peer are dropped",
			"enforce/read.go", `p.normalize()
	return p, nil`, `p.normalize()
	for i := range p.ranges {
		p.ranges[i] = p.ranges[i][:min(24, len(p.ranges[i]))]
	}
	return p, nil`,
			[]string{"enforce:TestVerdicts"}},
		{"protocol-without-port-is-port-0", "rule 13: {protocol: UDP} is all ports of UDP",
			"enforce/read.go", `p.add(proto, 0, 65535)`, `p.add(proto, 0, 0)`,
			[]string{"enforce:TestVerdicts", semantics}},
		{"ports-all-is-tcp-udp-sctp", "rules 10 and 75: no ports means every protocol, also those without ports",
			"enforce/read.go", `p := &Ports{All: len(list) == 0}
	for`, `p := &Ports{}
	if len(list) == 0 {
		p.add(flow.TCP, 0, 65535)
		p.add(flow.UDP, 0, 65535)
		p.add(flow.SCTP, 0, 65535)
	}
	for`,
			[]string{semantics}},
		{"host-bits-in-entries", "trap 4: a prefix with host bits in an old object",
			"enforce/read.go", `return p.Masked(), nil`, `return p, nil`,
			[]string{"enforce:TestHostBits"}},
		{"mapped-is-ipv6", "rule 57: an IPv4-mapped address is on the wire an IPv4 one",
			"enforce/read.go", `a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil`, `return netip.PrefixFrom(a, a.BitLen()), nil`,
			[]string{"enforce"}},
		{"full-table-opens", "what does not fit makes the pod open instead of closed",
			"enforce/build.go", `p.Sets[largest.Direction] = closed`, `p.Sets[largest.Direction] = nil
			_ = closed`,
			[]string{"enforce:TestWhatDoesNotFit"}},
		{"page-forgets-what-was-there", "a longer prefix in an IPv4 page loses the class around it",
			"enforce/peerimage.go", `p.img.Peers4[n].Slot[s] = above`, `p.img.Peers4[n].Slot[s] = above & 0`,
			[]string{"enforce:TestVerdicts", "sim/engine:TestEnginesAgree$"}},
		{"numbers-by-order", "an image depends on the order of its input, so every event rewrites the tables",
			"enforce/place.go", `range slices.SortedFunc(slices.Values(digests), digest.compare) {`, `range slices.Clone(digests) {`,
			[]string{"enforce:TestManyParts"}},
		{"closed-for-good", "pods that were closed because a table could not grow stay closed until something else changes",
			"agent/core/programs.go", `p.again.fail(s.now, in.Again)`, ``,
			[]string{"agent/core:TestWhatDidNotFitIsTriedAgain"}},
		{"classes-anywhere", "what the rules of a policy tell apart takes rows all over the table, until pods are closed for want of them",
			"enforce/place.go", `window := min(roomFor(together[n]), room)`, `window := room`,
			[]string{"enforce:TestPoliciesNeedFewRows"}},
		{"classes-as-they-come", "one class more moves all others of its policy",
			"enforce/place.go", `int(d.number()%uint64(window))`, `len(numbers)%window`,
			[]string{"enforce:TestSmallChange"}},
		{"digest-without-length", "trap 6: \"ab\"+\"c\" is \"a\"+\"bc\"",
			"enforce/digest.go", `h.h.Write(n[:])
`, ``,
			[]string{"enforce"}},
		{"instance-by-name", "trap 15: a pod made anew under the same name gets the flows of the old one",
			"enforce/image.go", `h.str(p.UID)
`, ``,
			[]string{"enforce:TestInstance"}},
	}
}
