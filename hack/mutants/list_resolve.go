package main

// semantics is the test that plays every rule of the API from the policy to the packet.
const semantics = "sim/engine:TestSemantics"

// inResolve are bugs of the controller's resolver.
func inResolve() []Mutant {
	return []Mutant{
		{"unreadable-subject-isolates-nobody", "a policy whose podSelector cannot be read leaves everybody open",
			"controller/resolve/parse.go", `subjects = labels.Everything()`, `subjects = labels.Nothing()`,
			[]string{"controller/resolve:TestUnreadablePodSelector"}},
		{"egress-defaulted-always", "rules 1 and 3: isolates egress where nobody asked for it",
			"controller/resolve/parse.go", `if len(spec.Egress) > 0 {`,
			`if spec.Egress != nil || len(spec.Ingress) > 0 {`,
			[]string{"controller/resolve:TestIsolation", semantics}},
		{"egress-type-alone-by-default", "rule 2: an egress rule without policyTypes isolates ingress as well",
			"controller/resolve/parse.go", `return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}`,
			`return []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}`,
			[]string{"controller/resolve:TestIsolation", semantics}},
		{"ingress-rules-under-type-egress", "rules 5 and 6, trap 21: a section counts though its type is not listed",
			"controller/resolve/parse.go", `if slices.Contains(result.types, networkingv1.PolicyTypeIngress) {`,
			`if true {`,
			[]string{"controller/resolve:TestRulesOfOtherDirection|TestTrap21"}},
		{"absent-from-is-nobody", "rules 8 and 9: an absent from means everybody",
			"controller/resolve/parse.go", `if len(section) == 0 {
		return peers{`, `if section == nil {
		return peers{}
	}
	if len(section) == 0 {
		return peers{`,
			[]string{"controller/resolve:TestPeers", semantics}},
		{"absent-from-is-ipv4", "rule 55: everybody is both families",
			"controller/resolve/parse.go", `
			{prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)},`, ``,
			[]string{"controller/resolve:TestPeers", semantics}},
		{"named-ports-of-init-containers", "rule 45: ports of a plain init container are nobody's once it has run",
			"controller/resolve/pod.go", `if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {`,
			`if true {`,
			[]string{"controller/resolve:TestTrap19", semantics}},
		{"sidecar-ports-forgotten", "rule 45, kubernetes#125285: names of native sidecars count",
			"controller/resolve/pod.go", `*c.RestartPolicy == corev1.ContainerRestartPolicyAlways`,
			`*c.RestartPolicy == "Never"`,
			[]string{"controller/resolve:TestTrap19", semantics}},
		{"one-number-per-name", "rule 44, cilium#30003: two containers may give a name two numbers",
			"controller/resolve/pod.go", `ports[name] = append(ports[name], uint16(port.ContainerPort))`,
			`ports[name] = []uint16{uint16(port.ContainerPort)}`,
			[]string{"controller/resolve:TestTrap19", semantics}},
		{"name-of-any-protocol", "rule 42: a TCP name matches a UDP port",
			"controller/resolve/ports.go", `s.names = append(s.names, portName{name, protocol})`,
			`s.names = append(s.names, portName{name, "TCP"}, portName{name, "UDP"}, portName{name, "SCTP"})`,
			[]string{"controller/resolve:TestTrap19", semantics}},
		{"unknown-name-is-every-port", "rule 43, ovn-kubernetes#2117: no port at all becomes an empty list, which means all",
			"controller/resolve/ports.go", `return slices.Compact(ports), len(ports) > 0
}`, `return slices.Compact(ports), true
}`,
			[]string{"controller/resolve:TestTrap19|TestOneResolution", semantics}},
		{"port-without-protocol-is-any", "rules 11 and 12, kubernetes#22469: an absent protocol is TCP",
			"controller/resolve/ports.go", `case port.Port == nil:
		s.ports = append(s.ports, portRange{protocol: protocol})`, `case port.Port == nil && port.Protocol == nil:
		s.all = true
	case port.Port == nil:
		s.ports = append(s.ports, portRange{protocol: protocol})`,
			[]string{"controller/resolve:TestNumericPorts", semantics}},
		{"endport-ignored", "rule 48: the range is its first port",
			"controller/resolve/ports.go", `s.ports = append(s.ports, portRange{protocol, uint16(first), uint16(last)})`,
			`s.ports = append(s.ports, portRange{protocol, uint16(first), uint16(first)})`,
			[]string{"controller/resolve:TestNumericPorts", semantics}},
		{"endport-excluded", "rule 48: endPort belongs to the range",
			"controller/resolve/ports.go", `if r.last != r.first {
		p.EndPort = new(int32(r.last))`, `if r.last != r.first {
		p.EndPort = new(int32(r.last - 1))`,
			[]string{"controller/resolve:TestNumericPorts", semantics}},
		{"ingress-names-of-one-pod", "trap 19, amazon-network-policy-controller#81: all pods get the numbers of the first",
			"controller/resolve/variants.go", `if len(groups) <= 1 {`, `if len(groups) >= 0 {`,
			[]string{"controller/resolve:TestTrap19", semantics}},
		{"egress-names-not-on-blocks", "rule 41: a name on the pods of an ipBlock opens nothing",
			"controller/resolve/entries.go", `entries = append(entries, x.namedInBlocks(r)...)`, ``,
			[]string{"controller/resolve:TestTrap19", semantics}},
		{"egress-names-despite-except", "rule 53: a named port opens a pod that the block excepts",
			"controller/resolve/parse.go", `return b.prefix.Contains(a) && !slices.ContainsFunc(b.except, func(e netip.Prefix) bool { return e.Contains(a) })`,
			`return b.prefix.Contains(a)`,
			[]string{"controller/resolve:TestTrap19|TestSameAsTwin", "sim/engine:TestEnginesAgree$"}},
		{"completed-pods-are-peers", "trap 16, rule 65, antrea#6507: an address that is somebody else's by now",
			"controller/resolve/pod.go", `if hasEnded(p) || p.Spec.HostNetwork {`,
			`if hasEnded(p) && p.Status.PodIP == "" || p.Spec.HostNetwork {`,
			[]string{"controller/resolve:TestTrap16|TestSubjects", semantics}},
		{"first-owner-wins", "rule 67, weave#3177: a pod that terminates lends its rights to who has its address now",
			"controller/resolve/pods.go", `return slices.MaxFunc(x.byAddr[a], compareAges)`,
			`return slices.MinFunc(x.byAddr[a], compareAges)`,
			[]string{"controller/resolve:TestLastOwnerWins|TestOneAge|TestSameAsTwin"}},
		{"every-owner-wins", "rule 67: an address that two pods report has the rights of both",
			"controller/resolve/entries.go", `if x.ownerOf(a) == p {`, `if true {`,
			[]string{"controller/resolve:TestLastOwnerWins|TestSameAsTwin"}},
		{"change-of-owner-unnoticed", "rule 67: an address that comes from one pod to another touches the new one's policies only",
			"controller/resolve/pods.go", `x.touchOwners(touched, owners, x.ownersOf(before, now))`, `_ = owners`,
			[]string{"controller/resolve:TestLastOwnerWins|TestResolvingWhatIsTouchedIsEnough"}},
		{"terminating-pods-are-gone", "rule 66, calico#4518: a pod that terminates still runs",
			"controller/resolve/pod.go", `return p.Status.Phase == corev1.PodSucceeded`,
			`return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodSucceeded`,
			[]string{"controller/resolve:TestSubjects|TestPeers|TestTrap16", semantics}},
		{"pending-pods-are-ignored", "rule 62: a pod that has an address is isolated before its first container runs",
			"controller/resolve/pod.go", `return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed`,
			`return p.Status.Phase != corev1.PodRunning`,
			[]string{semantics, "sim/engine:TestEnginesAgree$"}},
		{"hostnetwork-pods-are-peers", "trap 17, rule 38: opens a whole node",
			"controller/resolve/pod.go", `if hasEnded(p) || p.Spec.HostNetwork {
		return nil, nil
	}
	addrs, err := podAddrs(&p.Status)`, `if hasEnded(p) {
		return nil, nil
	}
	addrs, err := parseAddrs([]string{p.Status.PodIP})`,
			[]string{"controller/resolve:TestTrap17|TestSubjects", semantics}},
		{"first-address-only", "rule 80: a selector covers every address of a dual-stack pod",
			"controller/resolve/pod.go", `for _, ip := range s.PodIPs {`, `for _, ip := range s.PodIPs[:0] {`,
			[]string{"controller/resolve:TestSubjects|TestPeers", semantics}},
		{"selector-in-every-namespace", "rule 16: a podSelector alone means the policy's namespace",
			"controller/resolve/parse.go", `if namespaces == nil {
		return p.index.selection(p.index.scopeOf(p.namespace), pods)`, `if namespaces == nil {
		return p.index.selection(p.index.scopeMatching(labels.Everything()), pods)`,
			[]string{"controller/resolve:TestPeers", semantics}},
		{"name-label-not-added", "rule 29: a namespace whose labels a tool replaced",
			"controller/resolve/namespaces.go", `set[corev1.LabelMetadataName] = name
	return set`, `if len(own) == 0 {
		set[corev1.LabelMetadataName] = name
	}
	return set`,
			[]string{"controller/resolve:TestPeers", semantics}},
		{"host-bits-kept", "trap 4, rule 56, aws-network-policy-agent#609: 10.2.0.77/16 is 10.2.0.0/16",
			"controller/resolve/address.go", `p = p.Masked()
`, `if p.Bits() >= 32 {
		p = p.Masked()
	}
`,
			[]string{"controller/resolve:TestCIDRsAreCanonical", semantics}},
		{"except-dropped", "rule 53: a block without its exceptions",
			"controller/resolve/parse.go", `result.except = append(result.except, e)`, `_ = e`,
			[]string{"controller/resolve:TestTrap2|TestPeers", semantics}},
		{"bad-except-ignored", "a block with an exception that cannot be read opens more than it says",
			"controller/resolve/parse.go", `p.fail(field.Invalid(path.Child("except").Index(i), s, err.Error()))
			return block{}, false`, `p.fail(field.Invalid(path.Child("except").Index(i), s, err.Error()))
			continue`,
			[]string{"controller/resolve:TestInvalidParts"}},
		{"clusterip-by-any-backend", "a ClusterIP opens though one of its backends is not allowed",
			"controller/resolve/clusterips.go", `if !allowed {
			return 0, false
		}`, `if !allowed {
			continue
		}`,
			[]string{"controller/resolve:TestClusterIPs|TestBackends", "sim/engine:TestClusterIPs"}},
		{"clusterip-in-a-wide-block", "rule 59: a block around the ClusterIP opens a Service whose backends it does not",
			"controller/resolve/clusterips.go", `closed = append(closed, f)`, `_ = closed`,
			[]string{"controller/resolve:TestClusterIPs", semantics}},
		{"closed-frontends-one-by-one", "a list that is copied for each of thousands of closed ClusterIPs",
			"controller/resolve/clusterips.go", `except = append(except, single(f.addr))
`, `except = append(slices.Clone(except), single(f.addr))
`,
			[]string{"controller/resolve:TestManyClosedServices"}},
		{"clusterip-excepted-per-port", "two closed ports of a ClusterIP are the same exception twice",
			"controller/resolve/clusterips.go", `slices.Compact(except)`, `except`,
			[]string{"controller/resolve:TestTwoClosedPortsAreOneException"}},
		{"clusterip-on-target-port", "rule 47: the ClusterIP is opened on the port of the pods",
			"controller/resolve/clusterips.go", `e.ports = append(e.ports, portRange{o.protocol, o.port, o.port})`,
			`e.ports = append(e.ports, portRange{o.protocol, o.backends[0].Port(), o.backends[0].Port()})`,
			[]string{"controller/resolve:TestClusterIPs", semantics}},
		{"clusterip-by-ready-backends", "an endpoint that is not ready now gets packets a moment later",
			"controller/resolve/services.go", `addrs, err := parseAddrs(s.Endpoints[i].Addresses)
`, `if r := s.Endpoints[i].Conditions.Ready; r != nil && !*r {
			continue
		}
		addrs, err := parseAddrs(s.Endpoints[i].Addresses)
`,
			[]string{"controller/resolve:TestBackends", "sim/engine:TestClusterIPs"}},
		{"clusterip-closed-by-ended-pods", "a rollout closes the ClusterIP, since no selector allows a pod that has ended",
			"controller/resolve/services.go", `slices.DeleteFunc(slices.Clone(e.list), left)`, `e.list`,
			[]string{"controller/resolve:TestBackendThatLeaves"}},
		{"clusterip-opened-by-ended-pods", "a pod that ended hides who has its address now",
			"controller/resolve/departed.go", ` && len(x.byAddr[e.addr]) == 0`, ``,
			[]string{"controller/resolve:TestBackendThatLeaves"}},
		{"clusterip-of-ended-pods-only", "a block covers a ClusterIP because its last backend ended",
			"controller/resolve/services.go", `f.backends = f.backendsOf(p.Name, all)`, ``,
			[]string{"controller/resolve:TestServiceThatLosesEveryBackendStaysClosed"}},
		{"variants-share-a-name", "trap 6: two objects of one policy get one name, and the second replaces the first",
			"controller/resolve/publish.go", `"%q %q %q", namespace, v.key(), chunk)`,
			`"%q %q", namespace, chunk)`,
			[]string{"controller/resolve:TestVariantsAreOneSet|TestObjectNames|TestTrap6"}},
		{"pods-before-rules", "trap 7: who applies chunks as they come closes pods before their rules are there",
			"controller/resolve/publish.go", `for _, c := range chunks(l.ingress, limit, entry.weight) {`,
			`for _, c := range chunks(l.pods, limit, podWeight) {
		set = append(set, newPolicyEndpoint(p, v, "pods/"+c.path, lists{pods: c.items}))
	}
	l.pods = nil
	for _, c := range chunks(l.ingress, limit, entry.weight) {`,
			[]string{"controller/resolve:TestRulesComeBeforePods"}},
		{"chunks-of-any-size", "few entries of many ports make an object that the API server refuses",
			"controller/resolve/chunk.go", `len(items) <= limit && bytes <= maxChunkBytes`, `len(items) <= limit && bytes >= 0`,
			[]string{"controller/resolve:TestObjectsFitIntoEtcd"}},
		{"large-object-kept-whole", "a policy of few long entries is not cut at all",
			"controller/resolve/publish.go", `return items <= limit && (bytes <= maxChunkBytes ||`,
			`return items <= limit && (bytes > 0 ||`,
			[]string{"controller/resolve:TestObjectsFitIntoEtcd"}},
		{"entry-that-does-not-fit", "an entry that no object can hold keeps the policy from being published",
			"controller/resolve/weight.go", `if e.weight() <= maxEntryBytes {`, `if e.weight() > 0 {`,
			[]string{"controller/resolve:TestEntryThatNoObjectHolds"}},
		{"last-chunk-lost", "trap 1: what does not fit is dropped",
			"controller/resolve/chunk.go", `if fits || len(path) == maxPath {`,
			`if len(path) == 2 && len(items) > limit {
		items = items[:limit]
		fits = true
	}
	if fits || len(path) == maxPath {`,
			[]string{"controller/resolve:TestChunkSize|TestSameAsTwin"}},
	}
}
