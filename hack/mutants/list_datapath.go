package main

// Packets and states that a bug of the datapath misreads are played to the kernel by these.
const (
	headers = "sim/datapath:TestHeaders"
	flows   = "sim/datapath:TestFlows"
	twins   = "sim/datapath:TestTwinMatchesKernel"
)

// inTwin are bugs of the datapath's twin in Go, which only the kernel can find where no test states the verdict.
func inTwin() []Mutant {
	return []Mutant{
		{"twin-port-byte-order", "the second byte of a port selects the page",
			"sim/datapath/policy.go", `Leaf[port>>8]`, `Leaf[port&255]`,
			[]string{"sim/engine:TestSemantics|TestEnginesAgree$"}},
		{"twin-spoofing-allowed", "a pod sends from an address that is not its own",
			"sim/datapath/datapath.go", `p.src != pod.IP4 && p.src != pod.IP6:`, `p.src != pod.IP4 && false:`,
			[]string{twins}},
		{"twin-longer-chains", "nine extension headers are one too many, and not eight",
			"sim/datapath/packet.go", `maxExtHdr  = 8`, `maxExtHdr  = 9`,
			[]string{"sim/packets:TestKernelAndTwinAgree"}},
		{"twin-authentication-of-eights", "the length of an authentication header is read as that of others is",
			"sim/datapath/packet.go", `size = (int(rest[1]) + 2) * 4`, `size = (int(rest[1]) + 1) * 8`,
			[]string{"sim/packets:TestKernelAndTwinAgree"}},
		{"twin-revokes-what-is-kept", "KeepEstablished keeps nothing",
			"sim/datapath/flows.go", `		case d.keep:
			return bpf.ReasonEstablished
`, ``,
			[]string{"sim/packets:TestKernelAndTwinAgree"}},
	}
}

// inBPF are bugs of the Go around the kernel's tables.
func inBPF() []Mutant {
	return []Mutant{
		{"switch-before-the-tables", "a packet sees the new epoch with old tables",
			"bpf/sync.go", `	if err := n.writeBank(next, img, &s); err != nil {
		return s, err
	}
	if err := n.writePods(pods, next, &s); err != nil {
		return s, err
	}
	atomic.AddUint32(&n.tables.Control.Epoch, 1)`, `	atomic.AddUint32(&n.tables.Control.Epoch, 1)
	if err := n.writeBank(next, img, &s); err != nil {
		return s, err
	}
	if err := n.writePods(pods, next, &s); err != nil {
		return s, err
	}`,
			[]string{"bpf:TestSwitchIsAtomic"}},
		{"detach-lets-go-only", "a program that was taken off runs until the kernel finds that nobody holds its link",
			"bpf/hook/hook.go", `l.Detach(), os.Remove(pin)`, `os.Remove(pin)`,
			[]string{"bpf/hook:TestNothingRunsOnceDetachReturned"}},
		{"learning-makes-unknown", "a pod is unknown for the moment in which one of its addresses becomes known",
			"bpf/tables.go", `if atomic.LoadUint32(&e.Ifindex) == p.Ifindex && e.Instance == p.Instance {`, `if samePod(*e, p) {`,
			[]string{"bpf:TestAPodIsNeverVoidWhileItsAddressesChange"}},
		{"upgrade-forgets-pods", "a version with other tables does not know any more whose interface it is",
			"bpf/known.go", `n.former[ifindex] = k.entry(ifindex)`, `_ = k.entry(ifindex)`,
			[]string{"bpf:TestPodsAreKnownToOtherLayouts"}},
		{"note-that-failed-is-forgotten", "a pod that could not be noted is taken for noted the next time, and unknown after an upgrade",
			"bpf/sync.go", `		if err := n.note(ifindex, p); err != nil {
			return err
		}`, `		if err := n.note(ifindex, p); err != nil {
			n.pods[ifindex] = p
			return err
		}`,
			[]string{"bpf:TestPodThatCannotBeNoted"}},
		{"gone-pods-stay-known", "an interface is taken for that of a pod that has gone",
			"bpf/sync.go", `return n.forgetFormer()`, `return nil`,
			[]string{"bpf:TestPodsAreKnownToOtherLayouts"}},
		{"grown-table-is-empty", "programs come to read a table of peers into which nothing was written yet",
			"bpf/grow.go", `writeMap(next, map[[16]byte]uint32{}, n.banks[live].hosts,`, `writeMap(next, map[[16]byte]uint32{}, nil,`,
			[]string{"bpf:TestPeersGrowWhileProgramsAreReplaced"}},
		{"grown-table-of-the-other-bank", "what is written into a table that grows is what was in force before",
			"bpf/grow.go", `live := n.Epoch() & 1`, `live := n.Epoch()&1 ^ 1`,
			[]string{"bpf:TestPeersGrowWhileProgramsAreReplaced"}},
		{"grows-beside-what-failed", "each attempt that fails leaves programs that hold a table of peers of its own",
			"bpf/grow.go", `if err := n.Replace(programs, replace); err != nil {`, `if err := error(nil); err != nil {`,
			[]string{"bpf:TestPeersThatCannotGrow|TestPeersGrowWhereFlowsCouldNotMove"}},
		{"pins-that-stay-are-forgotten", "programs whose pins could not be removed keep their tables for good",
			"bpf/versions.go", `n.mixed = err != nil`, `n.mixed = false`,
			[]string{"bpf:TestMixedUntilPinsAreGone"}},
		{"written-while-mixed", "tables are written although programs read others",
			"bpf/sync.go", `if n.mixed {`, `if false {`,
			[]string{"bpf:TestPeersGrowAfterAnError"}},
		{"programs-known-by-size", "a program that reads a table which never came into use is taken for the one that is wanted",
			"bpf/node.go", `version = fmt.Appendf(version, "%d ", id)`, `version = fmt.Appendf(version, "%d ", min(id, 1))`,
			[]string{"bpf:TestPeersGrowAfterAnError|TestPeersGrowWhileProgramsAreReplaced"}},
		{"pins-of-others-go", "programs that decide by other tables are taken for somebody else's, and replaced by ones whose tables are empty",
			"bpf/versions.go", `func(v Version) bool { return !v.Shares }`, `func(Version) bool { return false }`,
			[]string{"bpf:TestVersionsOfAnotherLayoutShareNoTables"}},
		{"replaced-may-still-run", "a program that is being replaced meets an epoch of which its tables know nothing",
			"bpf/versions.go", `	n.barrier.restart()
`, ``,
			[]string{"bpf:TestSyncWaitsForProgramsThatWereReplaced"}},
		{"replace-believes", "what could not be replaced goes on by tables that nobody writes any more",
			"bpf/hook/hook.go", `	after, err := h.LookAll()`, `	after, err := map[int]Seen{}, error(nil)`,
			[]string{"bpf/hook:TestReplaceFailsWhileAnotherVersionIsLeft"}},
		{"pruned-while-mixed", "the pins by which attached programs are known go before they are replaced",
			"bpf/inspect.go", `if n.mixed {`, `if false {`,
			[]string{"bpf:TestPeersGrowAfterAnError"}},
		{"layouts-share-tables", "a version that lays out a table otherwise, in as many bytes, takes it for its own",
			"bpf/node.go", `return append(shape, marshalled...), err`, `_ = marshalled
	return shape, err`,
			[]string{"bpf:TestShapeTellsLayoutsApart"}},
		{"replaced-before-written", "a program that decides by complete tables of its own is replaced by one whose tables are empty yet",
			"bpf/hook/hook.go", `		if seen.Shares {
			errs`, `		if seen.State == Older {
			errs`,
			[]string{"bpf/hook:TestReplaceKeepsProgramsOfOtherTables"}},
		{"two-kinds-of-hooks", "another mode leaves the programs of the one before on the other kind of hook",
			"bpf/hook/hook.go", `return h.detach(ifindex, h.detachTCX)`, `return nil`,
			[]string{"bpf/hook:TestAnotherModeLeavesOneKindOfHook"}},
		{"batches-half-told", "what a batch has written is not known to be there",
			"bpf/batch.go", `e.tell(i, i+n); err == nil {`, `e.tell(i, i); err == nil {`,
			[]string{"bpf:TestReopenGoesOn|TestWhatIsBeyondATableIsCleared|TestPeersGrowWhileProgramsAreReplaced"}},
		{"live-bank-written", "tables change under the packets that they judge",
			"bpf/sync.go", `next := live ^ 1`, `next := live`,
			[]string{"bpf:TestSync|TestSwitch"}},
		{"written-always", "nothing changed, and everything is written and switched all the same",
			"bpf/sync.go", `if n.holds(live, img) && n.podsEqual(pods, live) {`, `if false {`,
			[]string{"bpf:TestSyncWritesNothing"}},
		{"too-large-is-cut", "trap 1: an image that does not fit is written as far as it goes",
			"bpf/sync.go", `if err := img.Fits(n.opts.Capacity); err != nil {`,
			`if err := img.Fits(n.opts.Capacity); err != nil && false {`,
			[]string{"bpf:TestTooLarge"}},
		{"old-slots-stay", "trap 23: slots beyond the new table keep what was there",
			"bpf/tables.go", `for i := range have {
		v := zero
		if i < len(want) {`, `for i := range have[:len(want)] {
		v := zero
		if i < len(want) {`,
			[]string{"bpf:TestWhatIsBeyond"}},
		{"stale-prefixes", "prefixes of deleted policies go on matching",
			"bpf/sync.go", `if _, ok := want[a]; ok {`, `if _, ok := want[a]; ok || len(want) > 0 {`,
			[]string{"bpf:TestWhatIsBeyond", "sim/engine:TestEnginesAgree$"}},
		{"gone-pods-stay", "trap 26: the entry of a deleted pod judges whoever gets its interface",
			"bpf/sync.go", `for _, ifindex := range slices.Sorted(maps.Keys(n.pods)) {
		if _, ok := want[ifindex]; ok {`, `for _, ifindex := range slices.Sorted(maps.Keys(n.pods)) {
		if _, ok := want[ifindex]; ok || true {`,
			[]string{"bpf:TestGonePod"}},
	}
}

// inC are bugs of the programs in the kernel.
func inC() []Mutant {
	return []Mutant{
		{"c-neighbours-from-afar", "rule 77: what claims to be neighbour discovery but was routed here",
			"bpf/c/packet.h", `if (hop_limit == ND_HOP_LIMIT)
		return`, `if (hop_limit)
		return`,
			[]string{headers}},
		{"c-neighbours-policed", "rule 77: under deny-all nothing finds anybody",
			"bpf/c/packet.h", `ND_FIRST = 133, /* router solicitation */`, `ND_FIRST = 136,`,
			[]string{headers}},
		{"c-options-not-walked", "trap 22: ports are read at a fixed offset",
			"bpf/c/packet.h", `parse_l4(skb, ETH_HLEN + header, total - header, p);`,
			`parse_l4(skb, ETH_HLEN + sizeof(ip), total - sizeof(ip), p);`,
			[]string{headers}},
		{"c-extension-length", "trap 22: extension headers are walked too short",
			"bpf/c/packet.h", `(h[1] + 2) * 4 : (h[1] + 1) * 8`, `8 : 8`,
			[]string{headers}},
		{"c-fragments-have-ports", "rule 78: payload of a later fragment is taken for ports",
			"bpf/c/packet.h", `	if (p->fragment != LATER_FRAGMENT)
		parse_l4(skb, ETH_HLEN + header`, `	if (p->fragment <= LATER_FRAGMENT)
		parse_l4(skb, ETH_HLEN + header`,
			[]string{headers}},
		{"c-fragment-of-anybody", "rule 78: any later fragment passes",
			"bpf/c/fragments.h", `return state && p->fragment_at / 8 >= DATAGRAM_FROM(state);`, `return !state || p->fragment_at;`,
			[]string{flows, headers}},
		{"c-fragment-over-options", "the ports of a datagram that passed are forged by a later fragment where options that were cut are before them",
			"bpf/c/fragments.h", `return state && p->fragment_at / 8 >= DATAGRAM_FROM(state);`, `return state;`,
			[]string{"sim/datapath:TestShapesOfFragments"}},
		{"c-fragment-over-another-first", "a second first fragment with fewer options opens the headers of the first one",
			"bpf/c/fragments.h", `if (known > from)`, `if (known > ~0U)`,
			[]string{"sim/datapath:TestFragmentsOfTwoFirstOnes"}},
		{"c-fragment-completes-ports", "a later fragment completes a header whose ports nobody saw",
			"bpf/c/packet.h", `CHAIN_CUT(chain) + l4_bytes(p->protocol, 6);`, `CHAIN_CUT(chain);`,
			[]string{"sim/datapath:TestFragmentsOfAHeader"}},
		{"c-short-headers-pass", "trap 22: a cut header is read as zeros",
			"bpf/c/packet.h", `if (!need || len < need)`, `if (!need || len < need / 8)`,
			[]string{headers}},
		{"c-super-packets-malformed", "an isolated pod gets no super-packet of IPv4 (BIG TCP)",
			"bpf/c/packet.h", `if (!total && skb->gso_size)`, `if (!total && 0)`,
			[]string{"sim/datapath:TestSuperPackets"}},
		{"c-super-packets-malformed-6", "likewise over IPv6",
			"bpf/c/packet.h", `if (!left && skb->gso_size)`, `if (!left && 0)`,
			[]string{"sim/datapath:TestSuperPackets"}},
		{"c-no-length-is-all", "a packet that says 0 about its length is believed to be as long as its frame",
			"bpf/c/packet.h", `if (!total && skb->gso_size)`, `if (!total)`,
			[]string{"sim/datapath:TestSuperPackets"}},
		{"c-no-length-is-all-6", "likewise over IPv6",
			"bpf/c/packet.h", `if (!left && skb->gso_size)`, `if (!left)`,
			[]string{"sim/datapath:TestSuperPackets"}},
		{"c-isolated-only-is-nobody", "with TrackIsolatedOnly, no plain flow is remembered, also where its answers are policed",
			"bpf/c/fast.h", `} else if (TRACK_ALL || pod->bank[bank].set[!dir] != SET_OPEN) {`, `} else if (TRACK_ALL) {`,
			[]string{"sim/datapath:TestFlowsOfIsolatedPodsOnly"}},
		{"c-isolated-only-is-nobody-long", "likewise for what takes the long way",
			"bpf/c/flows.h", `if (!TRACK_ALL && pod_set(e, !e->dir) == SET_OPEN)`, `if (!TRACK_ALL)`,
			[]string{"sim/datapath:TestFlowsOfIsolatedPodsOnly"}},
		{"isolated-only-is-all", "TrackIsolatedOnly changes nothing",
			"bpf/node.go", `number(!n.opts.TrackIsolatedOnly)`, `number(!n.opts.TrackIsolatedOnly || true)`,
			[]string{"sim/datapath:TestFlowsOfIsolatedPodsOnly"}},
		{"c-syn-with-more-answers", "rule 72: a SYN that says more than SYN passes as the answer to a connection between its ports",
			"bpf/c/fast.h", `return (l4[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN;`, `return l4[TCP_FLAGS_AT] == TCP_SYN;`,
			[]string{"sim/datapath:TestStatesOfTCP|TestOnlySYNOpens"}},
		{"c-syn-ack-opens", "the answer to a SYN is taken for one",
			"bpf/c/fast.h", `return (l4[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN;`, `return l4[TCP_FLAGS_AT] & TCP_SYN;`,
			[]string{"sim/datapath:TestStatesOfTCP"}},
		{"c-protocol-0-is-all", "trap 23: a slot for no protocol matches one",
			"bpf/c/policy.h", `return ports & PORTS_OTHER;`, `return ports;`,
			[]string{headers, flows}},
		{"c-sctp-is-tcp", "rule 79: SCTP ports are looked up among those of TCP",
			"bpf/c/policy.h", `page = ports >> PORTS_SCTP_SHIFT;`, `page = ports >> PORTS_TCP_SHIFT;`,
			[]string{semantics}},
		{"c-list-one-late", "the port at which an edge of a list lies is still before it",
			"bpf/c/policy.h", `__u64 less = edge - port - 1;`, `__u64 less = edge - port;`,
			[]string{"sim/datapath:TestListedPorts$"}},
		{"c-list-half-searched", "the longest lists are searched in their first half only",
			"bpf/c/policy.h", `step = 1 << (PORTS_LISTED_SIZE_MASK - 1); step;`, `step = 1 << (PORTS_LISTED_SIZE_MASK - 2); step;`,
			[]string{"sim/datapath:TestListedPorts$"}},
		{"c-list-of-tcp-only", "ports of SCTP are looked up among those of UDP in a list",
			"bpf/c/policy.h", `first |= 2 << PORT_EDGES_PROTOCOL_SHIFT;`, `first |= 1 << PORT_EDGES_PROTOCOL_SHIFT;`,
			[]string{"sim/datapath:TestListedPorts"}},
		{"c-list-fragment-by-first-port", "a later fragment passes where a list allows port 0 and not all",
			"bpf/c/policy.h", `return passed & 1 && passed == edges_passed(epoch, word, first | 0xffff);`, `return passed & 1;`,
			[]string{"sim/datapath:TestListedPortsOfFragments"}},
		{"c-list-quick-of-tcp", "the short way looks UDP up among the ports of TCP in a list",
			"bpf/c/fast.h", `edges_passed(epoch, word, protocol << PORT_EDGES_PROTOCOL_SHIFT | port)`, `edges_passed(epoch, word, port)`,
			[]string{"sim/datapath:TestListedPorts$"}},
		{"c-ip4-within-ip6", "::/0 contains the IPv4 addresses that have no page",
			"bpf/c/policy.h", `(epoch & SPACE_BANK_MASK) | SPACE_IP4, 0`, `epoch & SPACE_BANK_MASK, 0`,
			[]string{"sim/datapath:TestSparseNetwork"}},
		{"c-sparse-fallback-lost", "an address in a sparse network that no prefix holds loses its class",
			"bpf/c/policy.h", `return class ? *class : fallback;`, `return class ? *class : 0 * fallback;`,
			[]string{"sim/datapath:TestSparse"}},
		{"c-fast-sparse-fallback-lost", "likewise on the short way",
			"bpf/c/fast.h", `sparse_class4(epoch, peer, slot)`, `sparse_class4(epoch, peer, 0)`,
			[]string{"sim/datapath:TestSparse"}},
		{"c-fast-sparse-unknown-6", "the short way gives every IPv6 address without a page the class of those that no prefix holds",
			"bpf/c/fast.h", `	if (v6)
		*class = sparse_class6(`, `	if (v6)
		*class = slot & PEER_CLASS_MASK;
	else if (v6)
		*class = sparse_class6(`,
			[]string{"sim/datapath:TestSparse|TestLastPacket"}},
		{"c-fast-sparse-own-address", "the short way looks up the pod's address where that of an IPv4 peer has no page",
			"bpf/c/fast.h", `__be32 peer = dir == EGRESS ?`, `__be32 peer = dir == INGRESS ?`,
			[]string{"sim/datapath:TestSparse|TestLastPacket"}},
		{"c-fast-sparse-forgotten", "packets of peers without a page all take the long way",
			"bpf/c/fast.h", `return quick_sparse(q, epoch, set, slot, class, dir, v6);`, `return REASON_NONE;`,
			[]string{"bpf:TestSparse"}},
		{"c-last-byte-of-address", "addresses that differ in the last byte are one",
			"bpf/c/policy.h", `slot[addr & 0xff];`, `slot[0];`,
			[]string{semantics}},
		{"c-fast-reads-other-protocol", "the short way reads the ports of UDP for TCP",
			"bpf/c/fast.h", `word >> protocol * PORTS_UDP_SHIFT`, `word >> !protocol * PORTS_UDP_SHIFT`,
			[]string{semantics}},
		{"c-fast-reply-outlives-policy", "a reply that was allowed once is allowed under every policy",
			"bpf/c/fast.h", `state && STATE_EPOCH(state) == epoch && (STATE_OPENED`, `state && (STATE_OPENED`,
			[]string{flows}},
		{"c-last-outlives-policy", "the last packet's flow goes on under every policy",
			"bpf/c/fast.h", ` || last->version != version ||`, ` || last->version >> 32 != version >> 32 ||`,
			[]string{flows}},
		{"c-last-of-another-pod", "what the former pod of an interface may, the next one may",
			"bpf/c/fast.h", ` || last->version != version ||`, ` || (__u32)last->version != (__u32)version ||`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-at-another-interface", "what one pod may, all may",
			"bpf/c/fast.h", ` || ifindex != last->ifindex ||`, ` || ifindex >> 16 != last->ifindex >> 16 ||`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-of-another-source", "what one peer may, the next one may",
			"bpf/c/fast.h", `src != last->words[0] || dst`, `!src || dst`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-of-another-source-6", "likewise over IPv6",
			"bpf/c/fast.h", ` || addrs[1] != last->words[1]`, ``,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-of-another-destination", "what may be sent to one peer may be sent to the next one",
			"bpf/c/fast.h", ` || dst != last->words[1])`, `)`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-of-another-destination-6", "likewise over IPv6",
			"bpf/c/fast.h", ` || addrs[2] != last->words[2] ||`, ` ||`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-of-another-family", "an IPv6 packet without a protocol of its own passes as an IPv4 packet did",
			"bpf/c/fast.h", ` | (__u32)(protocol) << PODS_BITS | 1U << 31)`, ` | (__u32)(protocol) << PODS_BITS)`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-place-of-another", "a pod is judged as the one that has its place in the table",
			"bpf/c/fast.h", `if (pod->ifindex != ifindex || (dir`, `if (!pod->ifindex || (dir`,
			[]string{"bpf:TestPodsThatShareAPlace"}},
		{"c-far-flows-stay", "flows of a pod that has gone stay for an hour where its interface has a high number",
			"bpf/c/flowtable.h", `if (!pod || pod->instance != (__u32)w->pod)`, `if (pod && pod->instance != (__u32)w->pod)`,
			[]string{"sim/datapath:TestFlowsOfGonePods"}},
		{"pod-in-two-places", "a pod whose place becomes free gets a second entry there",
			"bpf/sync.go", `holder == 0 && !known && ifindex`, `holder == 0 && (!known || known) && ifindex`,
			[]string{"bpf:TestPodsThatShareAPlace"}},
		{"c-last-from-the-node", "what a process of the node sends is counted as the pod's peer's",
			"bpf/c/fast.h", `	if (dir == INGRESS && made_here(skb)) /* perhaps of a connection of the node */
		return false;
`, ``,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-of-another-protocol", "what is allowed over TCP is allowed over UDP, between the same ports over IPv6",
			"bpf/c/fast.h", ` || ifindex != last->ifindex ||`, ` || (ifindex ^ last->ifindex) & ~(0xffU << 16) ||`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-of-another-port", "what one port may, the next one may",
			"bpf/c/fast.h", `(ports ^ last->ports) & last->ports_mask ||`, `(__u16)(ports ^ last->ports) & last->ports_mask ||`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-last-answers-for-others", "an answer to one port passes as one from another port",
			"bpf/c/fast.h", `REASON_REPLY, BOTH_PORTS,`, `REASON_REPLY, DST_PORT,`,
			[]string{"sim/datapath:TestLastPacket|TestReplies"}},
		{"c-last-opens-unseen", "a flow of UDP is not remembered if one between the same pods was, so that its answers are dropped",
			"bpf/c/fast.h", `			ports_mask = BOTH_PORTS;
`, ``,
			[]string{"sim/datapath:TestLastPacketOpensNoOtherFlow"}},
		{"last-of-two-at-once", "with PREEMPT_RT, a packet passes as a mixture of two",
			"bpf/node.go", `number(!n.machine.realtime)`, `number(n.machine.hz > 0)`,
			[]string{"bpf:TestLastPacketsAreRemembered"}},
		{"c-last-is-nobody", "no packet is decided as one of the last",
			"bpf/c/fast.h", `if (LASTS && passes_as_last(`, `if (LASTS && version == ~0ULL && passes_as_last(`,
			[]string{"bpf:TestLastPacketsAreRemembered"}},
		{"cpus-share-an-entry", "a CPU decides by what another one is about to write",
			"bpf/machine.go", `bits.Len(uint(m.cpus-1))`, `bits.Len(uint(m.cpus/2-1))`,
			[]string{"bpf:TestEveryCPUHasAnEntry"}},
		{"c-last-while-healing", "a flow that is to be remembered again is not",
			"bpf/c/flows.h", `	if (!healing)
		__sync_fetch_and_add`, `	if (!healing && !pod)
		__sync_fetch_and_add`,
			[]string{flows}},
		{"last-of-the-former-pod", "what the former pod of an interface may, the next one may",
			"bpf/tables.go", `	}
	atomic.AddUint32(&t.Control.Changes, 1)
`, `	}
`,
			[]string{"sim/datapath:TestLastPacket"}},
		{"c-fast-reply-to-anybody", "a reply to one port is one to all",
			"bpf/c/fast.h", `FLOW_ENDS4(dir == EGRESS ? dst : src, ports);
		k->peer[0] = flow_between(flow_end4(src, src_port), flow_end4(dst, dst_port));`,
			`FLOW_ENDS4(dir == EGRESS ? dst : src, ports & 0xffff);
		k->peer[0] = flow_between(flow_end4(src, 0), flow_end4(dst, 0));`,
			[]string{"sim/datapath:TestRepliesAreRememberedForTheirFlowOnly"}},
		{"c-reply-from-another-address", "a pod that may route answers from any of its addresses",
			"bpf/c/flowtable.h", `((const struct flow4 *)w)->between == (__u32)k->peer[0]`, `true`,
			[]string{"sim/datapath:TestRepliesComeFromTheAddressThatWasCalled"}},
		{"c-reply-from-another-address-6", "likewise over IPv6",
			"bpf/c/flowtable.h", `	if (w->ends != k->ends || w->pod`, `	if ((v6 ? (__u32)(w->ends ^ k->ends) != 0 : w->ends != k->ends) || w->pod`,
			[]string{"sim/datapath:TestRepliesComeFromTheAddressThatWasCalled"}},
		{"c-move-forgets", "flows that no packet touches while they are moved are lost",
			"bpf/c/flowtable.h", `	if (k.pod && !(state >> FLOW_STATE_BITS))
		flow_insert(`, `	if (!k.pod && !(state >> FLOW_STATE_BITS))
		flow_insert(`,
			[]string{"bpf:TestMovedFlowsAreKnown"}},
		{"c-move-pushes-out-younger", "flows that are over push out those that are in use when a table gets smaller",
			"bpf/c/flowtable.h", `VICTIM_OF_MORE) && same_instance(`, `VICTIM_OF_MORE) && !same_instance(`,
			[]string{"bpf:TestTheYoungestFlowsFitIntoFewer"}},
		{"c-flood-pushes-out-other-peers", "a pod floods a server until what that has with others is forgotten",
			"bpf/c/flowtable.h", `		its &= same_peer(w, peer0, peer1, v6);
`, ``,
			[]string{"sim/datapath:TestFloodsOfAPeerPushOutItsOwn"}},
		{"c-flood-takes-peers-for-one", "likewise where the pod is on the same node, and has half of every place itself",
			"bpf/c/flowtable.h", `	return LANE_OF_POD | (v6`, `	return LANE_OF_POD | 0 * (v6`,
			[]string{"sim/datapath:TestFloodsOfAPeerPushOutItsOwn"}},
		{"c-scan-pushes-out-other-pods", "a pod that calls many addresses once pushes out the flows of others",
			"bpf/c/flowtable.h", `		of_pod = -(its >> (LANE_BITS - 1));`, `		of_pod = ~0ULL;`,
			[]string{"sim/datapath:TestScansPushOutTheirOwn"}},
		{"c-move-pushes-out-few", "a table that gets smaller keeps what a flood left in it, and not what was there before",
			"bpf/c/flowtable.h", `!(way & VICTIM_OF_MORE) && `, ``,
			[]string{"bpf:TestFewFlowsWithAPeerFitIntoFewer"}},
		{"what-runs-before-has-no-name", "somebody passes packets before the policies, and nobody is told",
			"bpf/hook/look.go", `if o.state == Bare && v.state == Bare {`, `if o.state != Bare && v.state == Bare {`,
			[]string{"bpf/hook:TestFiltersOfOthersStay|TestLookNames"}},
		{"c-moving-writes-one", "programs that are not replaced yet do not know what the others have seen",
			"bpf/c/flowtable.h", `	if (!MOVING)
		return;`, `	if (MOVING)
		return;`,
			[]string{"bpf:TestMovedFlowsAreKnown"}},
		{"c-moving-reads-one", "programs that were replaced do not know what was seen before",
			"bpf/c/flowtable.h", `	if (!MOVING)
		return 0;`, `	if (MOVING)
		return 0;`,
			[]string{"bpf:TestMovedFlowsAreKnown"}},
		{"moved-flows-keep-the-old-pin", "the next agent finds the table that flows were moved from",
			"bpf/move.go", `		if err := os.Rename(n.pin(nextPin(name), n.shape), n.pin(name, n.shape)); err != nil {
			return err
		}
`, `		_ = os.Remove(n.pin(nextPin(name), n.shape))
`,
			[]string{"bpf:TestMoveGoesOnAfterAnError"}},
		{"c-flows-crowd", "flows to one network after another share a few places",
			"bpf/c/flowtable.h", `low = bpf_be64_to_cpu(addr[1]);`, `low = addr[1];`,
			[]string{"sim/datapath:TestFlowsSpreadOverTheTable"}},
		{"c-place-of-one-end", "a pod does not find the flows that it is sent",
			"bpf/c/flowtable.h", `return (one + other) *`, `return (one + 2 * other) *`,
			[]string{flows}},
		{"c-unwritten-is-allowed", "an empty slot opens everything",
			"bpf/c/policy.h", `return word[(row & (ROWS_SIZE - 1)) * ROW_CLASSES];`,
			`return word[(row & (ROWS_SIZE - 1)) * ROW_CLASSES] ?: PORTS_ALL;`,
			[]string{headers, flows}},
		{"c-flow-of-another-instance", "traps 14 and 15: a new pod uses the flows of the last one on its interface",
			"bpf/c/flowtable.h", `((__u64)(instance) | (__u64)(protocol) << 32`, `((__u64)(!!(instance)) | (__u64)(protocol) << 32`,
			[]string{flows, twins}},
		{"c-revoked-flows-go-on", "a flow that the policy no longer allows is answered on",
			"bpf/c/flows.h", `	if (!reverse_allowed(e, dir, p))
		return false;`, `	if (!reverse_allowed(e, dir, p) && !opened)
		return false;`,
			[]string{flows}},
		{"c-late-answer-opens", "the answer to a question that is denied by now opens its flow the other way",
			"bpf/c/fast.h", `!flow_get_quick(k, TOUCH(dir), v6))`, `!(STATE_OPENED(flow_get_quick(k, TOUCH(dir), v6)) & (1 << dir)))`,
			[]string{flows}},
		{"c-node-is-revoked", "rule 33: a policy cuts what the node has opened",
			"bpf/c/flows.h", ` || (dir == INGRESS && opened & OPENED_BY_NODE))`, `)`,
			[]string{flows}},
		{"c-node-speaks-for-the-pod", "what the pod has opened is not revoked once the node has called it between the same ports",
			"bpf/c/flows.h", `(dir == INGRESS && opened & OPENED_BY_NODE)`, `opened & OPENED_BY_NODE`,
			[]string{flows}},
		{"c-flow-both-ways", "rule 72: a flow that was served lets the pod open one",
			"bpf/c/flows.h", `	if (!(opened & (1 << dir)))
		return false;`, `	if (!opened)
		return false;`,
			[]string{flows, twins}},
		{"c-syn-is-a-reply", "rule 72: a new connection passes as an answer",
			"bpf/c/flows.h", `	if (!p->has_ports || p->opens)
		return REASON_NONE;`, `	if (!p->has_ports)
		return REASON_NONE;`,
			[]string{flows}},
		{"c-icmp-errors-anywhere", "a closed pod sends an ICMP error about what it was sent, with anything in it, to anybody",
			"bpf/c/flows.h", ` || !goes_to_sender(p, inner))`, `)`,
			[]string{flows}},
		{"c-icmp-errors-of-fragments", "path MTU discovery fails for datagrams that are longer than a packet",
			"bpf/c/packet.h", `if (CHAIN_KIND(chain) != HEADER_TRANSPORT)`, `if (CHAIN_KIND(chain) != HEADER_TRANSPORT || CHAIN_CUT(chain))`,
			[]string{flows}},
		{"c-icmp-errors-of-options", "path MTU discovery fails for packets with extension headers",
			"bpf/c/packet.h", `read_chain(skb, off, error->end - off, ip.nexthdr);`, `CHAIN(HEADER_TRANSPORT, ip.nexthdr, off, 0);`,
			[]string{"sim/datapath:TestShapesOfQuotedPackets"}},
		{"c-icmp-errors-of-padding", "an error is about what lies behind it in the frame",
			"bpf/c/packet.h", `if (off + sizeof(h) > error->end || bpf_skb`, `if (off + sizeof(h) > skb->len || bpf_skb`,
			[]string{"sim/datapath:TestShapesOfQuotedPackets"}},
		{"c-discovery-to-afar", "a closed pod sends anything anywhere in a neighbour solicitation",
			"bpf/c/palisade.bpf.c", `if (is_of_link(&s->packet, e))`, `if (is_of_link(&s->packet, e) || s->packet.family)`,
			[]string{"sim/datapath:TestDiscovery"}},
		{"c-discovery-of-routers", "a pod says that it is a router",
			"bpf/c/palisade.bpf.c", `(p->discovery == ND_ROUTER || p->discovery == ND_LAST))`, `!p->discovery)`,
			[]string{"sim/datapath:TestDiscovery"}},
		{"c-discovery-spoofed", "a pod answers for the address of another",
			"bpf/c/palisade.bpf.c", `!is_link_local(src) && !source_is_own(p, e->pod))`, `!is_link_local(src) && !e->pod->has_ip6)`,
			[]string{"sim/datapath:TestDiscovery"}},
		{"c-upper-bits-cancel-out", "flows at two addresses of a pod are one where these differ in the upper bits of both halves",
			"bpf/c/flowtable.h", `	high = fold(fold((high ^ seed) * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL);
	return fold((high ^ low ^ seed >> 32) * 0x165667b19e3779f9ULL +`, `	return fold((high ^ seed) * 0x9e3779b97f4a7c15ULL + (low ^ seed >> 32) * 0x165667b19e3779f9ULL +`,
			[]string{"sim/datapath:TestAddressesThatDiffer"}},
		{"c-last-words-as-replies", "the last words of a connection of the node are counted as a reply that passed just before",
			"bpf/c/fast.h", `if (dir == INGRESS && made_here(skb)) /* perhaps`, `if (dir == INGRESS && from_node(skb)) /* perhaps`,
			[]string{flows}},
		{"c-revoked-comes-back", "where few flows are remembered, a revoked connection comes back as the peer's",
			"bpf/c/flows.h", `if (TRACK_ALL && has_connections(p->protocol) && reverse_allowed`, `if (has_connections(p->protocol) && reverse_allowed`,
			[]string{"sim/datapath:TestStatesOfTCP|TestFlowsOfIsolatedPodsOnly"}},
		{"in-force-unfiltered", "a policy is called in force before the interface of its pod is filtered",
			"agent/core/state.go", `s.policies.unsettled() || s.filtering()`, `s.policies.unsettled()`,
			[]string{"agent/core:TestAVersionIsInForce"}},
		{"c-listeners-from-afar", "whoever aims a hop limit sends anything to a closed pod by listener discovery",
			"bpf/c/palisade.bpf.c", `return of_link || is_link_scope((const __u8 *)&p->dst6);`, `return true;`,
			[]string{"sim/datapath:TestDiscoveryComes"}},
		{"c-neighbours-unseen", "a closed pod tells anybody beyond routers something in a neighbour solicitation",
			"bpf/c/palisade.bpf.c", `	return flow_get(&key, 0, true);`, `	return key.pod != 0;`,
			[]string{"sim/datapath:TestNeighbours"}},
		{"c-neighbours-forgotten", "a closed pod answers no neighbour that has no link-local address",
			"bpf/c/palisade.bpf.c", `if (!of_link && e->pod->instance &&`, `if (0 &&`,
			[]string{"sim/datapath:TestNeighbours"}},
		{"c-source-route", "a pod reaches anybody by a source route through its node",
			"bpf/c/packet.h", `if (option == IP4_OPTION_LSRR || option == IP4_OPTION_SSRR)`, `if (option == IP4_OPTION_LSRR)`,
			[]string{"sim/datapath:TestHeaders"}},
		{"c-routing-header", "a pod reaches anybody by a routing header through its node",
			"bpf/c/packet.h", `if (protocol == IPPROTO_ROUTING && h[3])`, `if (0)`,
			[]string{"sim/datapath:TestHeaders"}},
		{"c-revoked-question-stays", "who may not ask any more keeps the pod from asking between the same ports",
			"bpf/c/flows.h", `state = flow_get(&key, TOUCH_REPLY(!e->dir, e->epoch), p->family == 6);`, `state = flow_get(&key, ~0ULL, p->family == 6);`,
			[]string{"bpf:TestRevokedQuestions"}},
		{"c-revoked-question-quick", "a pod's question keeps alive what its peer asked between the same ports before",
			"bpf/c/fast.h", `!flow_get_quick(k, TOUCH(dir), v6))`, `!flow_get_quick(k, ~0ULL, v6))`,
			[]string{"bpf:TestRevokedQuestions"}},
		{"c-denied-keeps-alive", "denied packets keep a flow alive until it is allowed again",
			"bpf/c/flows.h", `TOUCH_REPLY(!e->dir, e->epoch)`, `TOUCH(!e->dir)`,
			[]string{"bpf:TestDeniedPackets"}},
		{"c-node-speaks-first", "what a process of the node answers to the pod is never revoked, once the pod's connection is forgotten",
			"bpf/c/flows.h", `		opened = 1 << !e->dir;
	if (state)`, `		;
	if (state)`,
			[]string{flows}},
		{"c-datagrams-in-one-place", "the datagrams of two hosts push each other out",
			"bpf/c/fragments.h", `id >> 24) & 15;`, `id >> 24) & 0;`,
			[]string{"sim/datapath:TestDatagramsOfTwoHosts"}},
		{"c-discovery-behind-options", "a closed pod sends anything to its neighbours behind extension headers",
			"bpf/c/palisade.bpf.c", `p->end > ETH_HLEN + sizeof(struct ipv6hdr) + ND_BYTES`, `p->end - p->inner + ICMP_BYTES > ND_BYTES`,
			[]string{"sim/datapath:TestShapesOfIPv6"}},
		{"c-heals-again", "half a round of the kernel's ticks later a pod heals again",
			"bpf/c/flows.h", `pod->heal_until - now() - 1 < HEAL_S * HZ`, `(__s32)(pod->heal_until - now()) > 0`,
			[]string{"bpf:TestHealing"}},
		{"c-node-does-not-heal", "a connection of the node whose state was lost is dead",
			"bpf/c/flows.h", `!p->opens && !by_node && !is_healing`, `!p->opens && !is_healing`,
			[]string{flows}},
		{"c-node-resets-dropped", "the node's reset of an IPv6 connection of its own does not reach the pod",
			"bpf/c/flows.h", `!p->fragment && made_here(skb))`, `!p->fragment && from_node(skb))`,
			[]string{flows}},
		{"c-stack-speaks-for-anybody", "what the node passes on without a socket counts as its own",
			"bpf/c/flows.h", `if (e->dir == INGRESS && STATE_OPENED(state) & OPENED_BY_NODE && p`, `if (e->dir == INGRESS && p`,
			[]string{flows}},
		{"c-datagrams-by-id", "a datagram that passed lets those of other protocols through that have its identification",
			"bpf/c/fragments.h", `flow_end4(p->src4, p->fragment_of)`, `flow_end4(p->src4, 0)`,
			[]string{"sim/datapath:TestFlows$"}},
		{"c-fragment-after-revocation", "a later fragment passes under a policy under which the first one would not",
			"bpf/c/fragments.h", `return state == DATAGRAM_STATE(e->epoch, DATAGRAM_FROM(state)) ? state : 0;`, `return e ? state : 0;`,
			[]string{"sim/datapath:TestFlows$"}},
		{"c-icmp-errors-dropped", "rule 76: path MTU discovery of an allowed flow fails",
			"bpf/c/flows.h", `if (!p->is_error || p->fragment`, `if (p->is_error || p->fragment`,
			[]string{flows}},
		{"c-icmp-errors-pass", "rule 76: an ICMP error about a flow that is not allowed any more",
			"bpf/c/flows.h", `return (STATE_OPENED(state) & (1 << e->dir)) && reverse_allowed(`, `return (STATE_OPENED(state) & (1 << e->dir)) || reverse_allowed(`,
			[]string{flows}},
		{"c-node-policed", "rule 33: the kubelet's probes are dropped",
			"bpf/c/palisade.bpf.c", `if (e->dir == INGRESS && from_node(skb)) {`, `if (e->dir == EGRESS && from_node(skb)) {`,
			[]string{flows, semantics}},
		{"c-spoofing-allowed", "a pod sends from an address that is not its own",
			"bpf/c/palisade.bpf.c", `if (e->dir == EGRESS && !source_is_own(`, `if (e->dir == INGRESS && !source_is_own(`,
			[]string{flows, twins}},
		{"c-fast-spoofing-allowed", "a pod sends plain packets from an address that is not its own",
			"bpf/c/fast.h", `(dir == EGRESS && !quick_source_is_own(`, `(dir == INGRESS && !quick_source_is_own(`,
			[]string{flows, twins, headers}},
		{"c-denied-passes", "the reason says dropped, the program does not drop",
			"bpf/c/palisade.bpf.c", `return reason < REASON_FIRST_DROP ? TC_ACT_UNSPEC`, `return reason <= REASON_FIRST_DROP ? TC_ACT_UNSPEC`,
			[]string{headers, flows}},
		{"c-malformed-passes", "trap 22: what cannot be parsed passes an isolated pod",
			"bpf/c/palisade.bpf.c", `	if (set == SET_OPEN || set == SET_UNKNOWN)
		return REASON_NOT_ISOLATED;`, `	if (set)
		return REASON_NOT_ISOLATED;`,
			[]string{headers}},
	}
}

// inAgent are bugs of the agent: of its step function, and of what runs around it.
func inAgent() []Mutant {
	return []Mutant{
		{"agent-failure-forgotten", "trap 9: a write that failed is logged and never tried again",
			"agent/core/programs.go", `p.dirty, p.since = true, earlier(p.since, p.runSince)`,
			`p.since = earlier(p.since, p.runSince)`,
			[]string{"agent/core:TestFailedProgram"}},
		{"agent-enforces-parts", "trap 7: after a restart a policy is enforced before all of its chunks are there",
			"agent/core/programs.go", `if p.done == 0 && s.policies.waiting() {`, `if false {`,
			[]string{"agent/core:TestRestart"}},
		{"agent-leaves-pins", "trap 26: what was pinned for an interface outlives it",
			"agent/core/iface.go", `		return
	}
	s.leave(ifindex)
`, `		return
	}
`,
			[]string{"agent/core:TestInterfaceThatIsGone"}},
		{"closed-by-way-of-open", "an interface that is down in strict mode comes up whenever it is to be taken down again",
			"agent/kernel.go", `		set := hostnet.Close
		if e.Up {
			set = hostnet.Open
		}
`, `		set := hostnet.Open
		if !e.Up {
			set = func(i int) error { return errors.Join(hostnet.Open(i), hostnet.Close(i)) }
		}
`,
			[]string{"cmd/palisade-agent:TestStrictMode"}},
		{"agent-programs-before-policies", "tables are written before anything is known, and close or open everything",
			"agent/core/programs.go", `p.running || !s.synced || !s.hostKnown {`, `p.running || !s.hostKnown {`,
			[]string{"agent/core:TestNothingIsProgrammed|TestRestart"}},
		{"agent-runs-hot", "a run that failed is asked for again at once, while something else is due",
			"agent/core/programs.go", `if !due || !p.retry.ready(s.now) || `, `if !due || !(p.retry.ready(s.now) || p.again.err != nil) || `,
			[]string{"agent/core:TestAFailedRunWaits"}},
		{"strict-opened-by-name", "in strict mode a pod is open for what policies say of one of its name that had another address",
			"enforce/compile.go", `if c.strict && len(selected) == 0 && !pod.Closed {`, `if false {`,
			[]string{"agent/core:TestNothingIsSaidOfAPod"}},
		{"memory-of-all-times", "what an object said is remembered by nobody, or for ever",
			"enforce/read.go", `	m.read = read
`, `	if m.read == nil {
		m.read = read
	}
`,
			[]string{"enforce:TestMemoryIsOfTheLastBuild"}},
		{"agent-opens-what-parts-select", "a pod that only an incomplete version selects stays open beside those of the former one",
			"agent/core/group.go", `	g.overdue, g.closed = true, nil
`, `	g.overdue, g.closed = true, nil
	if len(g.inForce) > 0 {
		return
	}
`,
			[]string{"agent/core:TestPodsThatOnlyAnIncomplete"}},
		{"agent-closes-by-old-rules", "a pod that only an incomplete version selects gets the rules of the former one",
			"agent/core/group.go", `o.Spec.PolicyRef.Name += ":closed"`, ``,
			[]string{"agent/core:TestPodsThatOnlyAnIncomplete"}},
		{"agent-starts-pods-of-parts", "a pod starts while the policy that selects it is not complete",
			"agent/core/requests.go", `r.partial = s.policies.awaits(&r.Pod)`, `r.partial = false`,
			[]string{"agent/core:TestAddWaits"}},
		{"agent-parts-are-in-force", "a version of which the node knows a part is said to be in force",
			"agent/core/policies.go", `len(g.kept) > 0 || g.waiting() {`, `len(g.kept) > 0 {`,
			[]string{"agent/core:TestAVersion"}},
		{"agent-keeps-once", "trap 7: what disappears while something else is kept is lost at once",
			"agent/core/group.go", `if lost := missing(g.inForce, objects); len(lost) > 0 {`,
			`if lost := missing(g.inForce, objects); len(lost) > 0 && len(g.kept) == 0 {`,
			[]string{"agent/core:TestWhatDisappears|TestUnmarked"}},
		{"agent-mixes-what-it-kept", "what disappeared at different times counts for each other's pods",
			"agent/core/group.go", `fmt.Sprintf(":kept%d", g.losses)`, `":kept"`,
			[]string{"agent/core:TestWhatDisappears"}},
		{"agent-keeps-pods-without-rules", "a pod that is about to appear elsewhere accepts nothing in between",
			"agent/core/group.go", `if pods || len(o.Annotations) > 0 {`, `if pods && rules {`,
			[]string{"agent/core:TestWhatDisappears|TestUnmarked"}},
		{"agent-socket-in-its-way", "an agent that was killed while it made its socket keeps all later ones from starting",
			"agent/socket/server.go", `err := os.Remove(fresh)`, `_, err := os.Lstat(fresh)`,
			[]string{"agent/socket:TestListen"}},
		{"agent-loses-api-in-silence", "an API server that refuses the connection is asked for ever, and nobody is told",
			"agent/watch.go", `	a.ended(ctx, err)
	return w, err`, `	return w, err`,
			[]string{"agent:TestALostAPIServer"}},
		{"agent-names-no-silence", "a node whose policies have been out of date for hours says that all is well",
			"agent/core/state.go", `, s.silence.conditions(s.now, s.cfg.Silence))`, `)`,
			[]string{"agent/core:TestAnAPIServer"}},
		{"agent-beside-another", "an agent that hangs in its end and the next one write the same tables",
			"agent/lock/lock.go", `unix.LOCK_EX|unix.LOCK_NB`, `unix.LOCK_SH|unix.LOCK_NB`,
			[]string{"agent/lock:TestOneAgentAtATime"}},
		{"agent-unmaps-what-it-reads", "a page of metrics that is asked for at the end reads memory that is gone",
			"agent/http.go", `ended <- end(server)`, `ended <- server.Close()`,
			[]string{"agent:TestServingEnds"}},
		{"agent-counts-objects-twice", "a pod that is closed in both directions counts as two",
			"enforce/input.go", `return slices.Compact(list)`, `return list`,
			[]string{"agent:TestPodsThatDoNotFit"}},
		{"agent-counts-conditions", "the number of objects with which something is wrong is that of what is wrong with them",
			"agent/metrics/metrics.go", `m.conditions.Set(float64(len(objects)))`, `m.conditions.Set(float64(len(all)))`,
			[]string{"agent/metrics:TestConditions"}},
		{"agent-instance-by-interface", "trap 15: a new interface with an old number inherits its flows",
			"agent/core/iface.go", `fmt.Fprintf(h, "%d %d %d", now.UnixNano(), ifindex, n)`, `fmt.Fprintf(h, "%d", ifindex)`,
			[]string{"agent/core:TestInstance"}},
	}
}

// allMutants lists every bug that is planted.
func allMutants() []Mutant {
	var all []Mutant
	for _, list := range [][]Mutant{
		inResolve(), inEnforce(), inModel(), inTwin(), inBPF(), inAgent(), inC(), inTestbed(), inHost(), inController(),
	} {
		all = append(all, list...)
	}
	return all
}
