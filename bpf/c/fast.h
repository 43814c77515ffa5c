/* SPDX-License-Identifier: Apache-2.0 */
/* The short way for most packets of most clusters: plain TCP and UDP, from the pod's own address or to it. It decides nothing
 * that the long way in judge() would decide otherwise; when in doubt it returns REASON_NONE, and then has changed nothing that
 * counts. Written once for both families: v6 is known where it is compiled. Most numbers here have 64 bits, also reasons: before it
 * compares one of 32, the compiler makes it one by two shifts. */
#pragma once

/* The first 8 bytes of an IPv4 header as one little-endian number: version and size of the header are those of a plain one,
 * and no bit says fragment. */
#define IP4_PLAIN_MASK 0xff3f0000000000ffULL
#define IP4_PLAIN 0x45ULL

/* Of the second 8 bytes, the protocol and the source. */
#define IP4_FLOW_MASK 0xffffffff0000ff00ULL

enum {
	REASON_COUNTED = REASON_COUNT, /* the packet passes, and was counted */
	REASON_DENIED,		       /* it does not, likewise */
	FLOW_S = 1,		       /* how long a decision is believed without looking again */
	UDP_BYTES = 8,
};

/* What the short way reads of a packet. IPv4: protocol and source, among others; destination; ports. IPv6: source and destination, in two
 * halves each; protocol and ports. */
struct quick {
	__u64 words[5];
};

enum quick_kind {
	QUICK_NONE, /* for the long way */
	QUICK_LATER,
	QUICK_OPENS, /* TCP SYN */
};

static __always_inline __u32 quick_protocol(const struct quick *q, bool v6)
{
	return v6 ? q->words[4] >> 32 : q->words[0] >> 8 & 0xff;
}

/* The ports as they lie in the packet. */
static __always_inline __be32 quick_ports(const struct quick *q, bool v6)
{
	return v6 ? q->words[4] : q->words[2];
}

static __always_inline bool quick_is_tcp(const struct quick *q, bool v6)
{
	return quick_protocol(q, v6) == IPPROTO_TCP;
}

/* Is it an IP header without options, of no fragment, of a packet that has at least so many bytes behind it? Whether the header of IPv6 has
 * extensions, or is one of a fragment, is told by the protocol. */
static __always_inline bool quick_is_plain(struct __sk_buff *skb, const __u8 *ip, __s64 bytes, bool v6)
{
	const __s64 header = v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u64 head = *(__u64 *)ip, size = v6 ? header + bpf_ntohs(head >> 32) : bpf_ntohs(head >> 16);

	return (v6 ? (head & 0xf0) == 0x60 : (head & IP4_PLAIN_MASK) == IP4_PLAIN) && size >= header + bytes && ETH_HLEN + size <= skb->len;
}

/* Does a TCP header at l4 say that the packet opens a flow? */
static __always_inline bool quick_is_syn(const __u8 *l4)
{
	return (l4[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __always_inline const __u8 *quick_l4(const __u8 *ip, bool v6)
{
	return ip + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
}

/* Reads a packet of the protocols of the short way. Where only_syn, none but a TCP SYN. */
static __always_inline __u64 quick_read(struct __sk_buff *skb, struct quick *q, bool only_syn, bool v6)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *l4 = quick_l4(ip, v6);
	const __u64 *addrs = (const __u64 *)(ip + 8);
	const __u32 bytes = only_syn ? TCP_BYTES : UDP_BYTES;

	if ((void *)(l4 + bytes) > end || (only_syn && !quick_is_syn(l4)) || !quick_is_plain(skb, ip, bytes, v6))
		return QUICK_NONE;
	q->words[0] = addrs[0];
	if (v6) {
		q->words[1] = addrs[1];
		q->words[2] = addrs[2];
		q->words[3] = addrs[3];
		q->words[4] = (__u64)ip[6] << 32 | *(__be32 *)l4;
	} else {
		q->words[1] = *(__be32 *)(ip + 16);
		q->words[2] = *(__be32 *)l4;
	}
	if (!quick_is_tcp(q, v6))
		return !only_syn && quick_protocol(q, v6) == IPPROTO_UDP ? QUICK_LATER : QUICK_NONE;
	if ((void *)(l4 + TCP_BYTES) > end || !quick_is_plain(skb, ip, TCP_BYTES, v6))
		return QUICK_NONE;
	return quick_is_syn(l4) ? QUICK_OPENS : QUICK_LATER;
}

/* Is the packet's source the pod's? A pod may send from others, too, if the long way says so. */
static __always_inline bool quick_source_is_own(const struct quick *q, const struct pod *pod, bool v6)
{
	const __u64 *own = (const __u64 *)pod->ip6;

	if (v6)
		return q->words[0] == own[0] && q->words[1] == own[1] && pod->has_ip6;
	return q->words[0] >> 32 == pod->ip4 && pod->has_ip4;
}

/* The flow of a packet. */
static __always_inline void quick_key(struct flow_key *k, const struct quick *q, const struct pod *pod, __u32 ifindex, enum direction dir,
				      bool v6)
{
	__u32 ports = quick_ports(q, v6);
	__be16 src_port = ports, dst_port = ports >> 16;

	if (dir == INGRESS)
		ports = ports >> 16 | ports << 16;
	k->pod = FLOW_POD(pod->instance, quick_protocol(q, v6), ifindex);
	if (v6) {
		k->ends = FLOW_ENDS6(flow_between(flow_end6(&q->words[0], src_port), flow_end6(&q->words[2], dst_port)), ports);
		k->peer[0] = q->words[dir == EGRESS ? 2 : 0];
		k->peer[1] = q->words[dir == EGRESS ? 3 : 1];
	} else {
		__be32 src = q->words[0] >> 32, dst = q->words[1];
		k->ends = FLOW_ENDS4(dir == EGRESS ? dst : src, ports);
		k->peer[0] = flow_between(flow_end4(src, src_port), flow_end4(dst, dst_port));
	}
}

/* Bits of the ports as they lie in the packet, read as a whole. */
#define BOTH_PORTS 0xffffffffU
#define DST_PORT 0xffff0000U

/* What stands for the interface among the last packets of IPv6: no IPv4 packet has it, whose protocol is in its words. */
#define LAST_IFINDEX6(ifindex, protocol) ((ifindex) | (__u32)(protocol) << PODS_BITS | 1U << 31)
_Static_assert(PODS_BITS + 8 <= 31, "the interface and the protocol are side by side");

/* Where a packet is looked for among the last ones: by interface, peer and destination port, which select one of 16. Of IPv6 addresses, the
 * lower halves are enough. */
static __always_inline struct last *last_of(struct cpu *cpu, __u64 ifindex, __u64 src, __u64 dst, __u64 ports, enum direction dir)
{
	__u64 peer = dir == EGRESS ? dst : src;
	struct last *last = &cpu->last[dir][((ports >> 16 ^ peer) + ifindex) * 0x9e3779b97f4a7c15ULL >> 60];

	_Static_assert(LASTS_SIZE == 16, "4 bits");
	EARLY(last);
	return last;
}

/* Ends here for a packet that opens no flow and is like one that passed on this CPU a moment ago, under the same tables, which differs only in what
 * did not matter. Then it is from one of the pod's addresses, too: the interface still has the pod that the last one was from. What
 * has no room for a TCP header, or would be a TCP SYN if it were TCP, is left to others, so that nothing depends on the protocol. */
static __always_inline void pass_as_last(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u64 version, enum direction dir,
					   bool v6)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *l4 = quick_l4(ip, v6);
	const __u64 *addrs = (const __u64 *)(ip + 8);
	__u64 ports, src, dst, differs; /* all that may differ, in one branch */
	struct last *last;

	if ((void *)(l4 + TCP_BYTES) > end || quick_is_syn(l4) || !quick_is_plain(skb, ip, TCP_BYTES, v6))
		return;
	if (dir == INGRESS && made_here(skb)) /* perhaps of a connection of the node */
		return;
	ports = *(__be32 *)l4;
	OPAQUE(ports);
	if (v6) {
		if (ifindex >> PODS_BITS)
			return;
		last = last_of(cpu, ifindex, addrs[1], addrs[3], ports, dir);
		differs = (addrs[0] ^ last->words[0]) | (addrs[1] ^ last->words[1]) | (addrs[2] ^ last->words[2]) | (addrs[3] ^ last->words[3]);
		ifindex = LAST_IFINDEX6(ifindex, ip[6]);
	} else {
		src = addrs[0] & IP4_FLOW_MASK;
		dst = *(__be32 *)(ip + 16);
		last = last_of(cpu, ifindex, src >> 32, dst, ports, dir);
		differs = (src ^ last->words[0]) | (dst ^ last->words[1]);
	}
	differs |= ((ports ^ last->ports) & last->ports_mask) | (ifindex ^ last->ifindex) | (version ^ last->version);
	if (differs || bpf_jiffies64() > last->until)
		return;
	if (HARNESS)
		note(skb, pod_at(ifindex)->bank[version & (BANKS - 1)].set[dir], last->class);
	count(skb, cpu, dir, last->reason);
	END(PASSED);
}

/* Remembers why a packet passed; returns that. */
static __always_inline __u64 remember_last(struct cpu *cpu, struct __sk_buff *skb, const struct quick *q, __u32 ifindex, __u64 version,
					   __u64 reason, __u32 ports_mask, enum direction dir, bool v6)
{
	__u64 src = v6 ? q->words[1] : q->words[0] >> 32, dst = v6 ? q->words[3] : q->words[1];
	struct last *last = last_of(cpu, ifindex, src, dst, quick_ports(q, v6), dir);
	__u64 until = bpf_jiffies64() + FLOW_S * HZ;

	if (!LASTS || (last->until == until && !HARNESS)) /* among many flows, not every packet */
		return reason;
	last->version = version;
	last->until = until;
	last->words[0] = v6 ? q->words[0] : q->words[0] & IP4_FLOW_MASK;
	last->words[1] = q->words[1];
	if (v6) {
		last->words[2] = q->words[2];
		last->words[3] = q->words[3];
	}
	last->ports = quick_ports(q, v6);
	last->ports_mask = ports_mask;
	last->ifindex = v6 ? LAST_IFINDEX6(ifindex, quick_protocol(q, v6)) : ifindex;
	last->reason = reason;
	if (HARNESS)
		last->class = skb->cb[3];
	return reason;
}

/* What a set of rules says of a packet whose peer has no page. All is asked by calls, and nothing but the verdict comes back: if a class came
 * back to the usual way, every packet there would put its own into memory and read it again. */
static __always_inline __u64 quick_sparse(const struct quick *q, __u32 epoch, __u32 set, __u32 slot, __u32 *class, enum direction dir, bool v6)
{
	__be32 peer = dir == EGRESS ? q->words[1] : q->words[0] >> 32; /* of IPv4 */
	__u64 proto_port = 1ULL << 32 | quick_protocol(q, v6) << 16 | bpf_ntohs(quick_ports(q, v6) >> 16);

	if (v6)
		*class = sparse_class6(epoch, q->words[dir == EGRESS ? 2 : 0], q->words[dir == EGRESS ? 3 : 1], slot);
	else
		*class = sparse_class4(epoch, peer, slot);
	return policy(EPOCH_SET(epoch, set), *class, proto_port) & 1 ? REASON_POLICY : REASON_NO_RULE;
}

/* What a set of rules says of the packet. */
static __always_inline __u64 quick_policy(const struct quick *q, __u32 epoch, __u32 set, __u32 *class, enum direction dir, bool v6)
{
	__u16 port = bpf_ntohs(quick_ports(q, v6) >> 16);
	__u64 word, protocol = quick_protocol(q, v6) >> 4 & 1; /* 6 is TCP and 17 is UDP */
	__u32 slot;

	if (v6)
		slot = slot_of_ip6(epoch, q->words[dir == EGRESS ? 2 : 0], q->words[dir == EGRESS ? 3 : 1]);
	else
		slot = slot_of_ip4(epoch, bpf_ntohl(dir == EGRESS ? (__u32)q->words[1] : q->words[0] >> 32));
	if (slot & PEER_SPARSE)
		return quick_sparse(q, epoch, set, slot, class, dir, v6);
	*class = slot & PEER_CLASS_MASK;
	word = ports_of(rules_of(epoch), set, slot);
	if (word - 1 >= (1ULL << PORTS_LISTED_BIT) - 1) { /* none, or a list */
		if (!word)
			return REASON_NO_RULE;
		return edges_passed(epoch, word, protocol << PORT_EDGES_PROTOCOL_SHIFT | port) & 1 ? REASON_POLICY : REASON_NO_RULE;
	}
	return page_allows(port_bank_of(epoch), word >> protocol * PORTS_UDP_SHIFT, port) ? REASON_POLICY : REASON_NO_RULE;
}

/* Remembers what an allowed packet may have opened: a connection, or UDP of a flow that is not known. */
static __always_inline void quick_track(const struct flow_key *k, bool opens, __u32 epoch, enum direction dir, bool v6)
{
	if (opens || !flow_get_quick(k, TOUCH(dir), v6))
		flow_put_quick(k, FLOW_STATE(epoch, 1 << dir), v6);
}

/* Counts the most usual verdicts, whose place is known without looking. */
static __always_inline __u64 quick_count(struct __sk_buff *skb, struct cpu *cpu, enum direction dir, __u64 reason)
{
	if (reason == REASON_POLICY) {
		count(skb, cpu, dir, REASON_POLICY);
		return REASON_COUNTED;
	}
	if (reason == REASON_NO_RULE) {
		count(skb, cpu, dir, REASON_NO_RULE);
		return REASON_DENIED;
	}
	return reason;
}

/* What the policy of the packet's own direction says, on what set and class. */
static __always_inline __u64 quick_forward(const struct quick *q, __u32 set, __u32 epoch, __u32 *class, enum direction dir, bool v6)
{
	if (set >= SET_FIRST)
		return quick_policy(q, epoch, set, class, dir, v6);
	if (set == SET_OPEN)
		return REASON_NOT_ISOLATED;
	return set == SET_CLOSED ? REASON_CLOSED : REASON_NONE;
}

static __always_inline __u64 quick_judge(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u64 version, enum direction dir,
					       bool v6)
{
	struct quick q = {}; /* all of it: without CAP_PERFMON the verifier goes both ways after every test */
	__u64 kind = QUICK_OPENS;
	struct flow_key key = {};
	struct pod *pod;
	__u64 bank, state, reason;
	__u32 set, class = 0, epoch = version, ports_mask = DST_PORT;
	const __u32 by_node = dir == INGRESS ? OPENED_BY_NODE : 0; /* what comes to the pod may be the node's own */
	__u64 opens;

	if (quick_read(skb, &q, true, v6) == QUICK_NONE) {
		kind = quick_read(skb, &q, false, v6);
		if (kind == QUICK_NONE)
			return REASON_NONE;
	}
	opens = kind == QUICK_OPENS;
	if (dir == INGRESS && from_node(skb))
		return REASON_NONE;
	pod = pod_at(ifindex);
	EARLY(pod);
	if (pod->ifindex != ifindex || (dir == EGRESS && !quick_source_is_own(&q, pod, v6)))
		return REASON_NONE;
	bank = version & (BANKS - 1);
	OPAQUE(bank);
	set = pod->bank[bank].set[dir];
	reason = quick_forward(&q, set, epoch, &class, dir, v6);
	if (reason == REASON_NONE)
		return REASON_NONE;
	note(skb, set, class);
	if (reason < REASON_FIRST_DROP) {
		if (!opens && quick_is_tcp(&q, v6)) {
			if (is_healing(pod))
				return REASON_NONE;
		} else if (TRACK_ALL || pod->bank[bank].set[!dir] != SET_OPEN) {
			quick_key(&key, &q, pod, ifindex, dir, v6);
			quick_track(&key, opens, epoch, dir, v6);
			ports_mask = BOTH_PORTS;
		}
		return opens ? quick_count(skb, cpu, dir, reason) : remember_last(cpu, skb, &q, ifindex, version, reason, ports_mask, dir, v6);
	}
	if (!opens) {
		quick_key(&key, &q, pod, ifindex, dir, v6);
		state = flow_get_quick(&key, TOUCH_REPLY(!dir, epoch), v6);
		if (state && STATE_EPOCH(state) == epoch && (STATE_OPENED(state) & (1 << !dir | by_node)) == 1 << !dir)
			return remember_last(cpu, skb, &q, ifindex, version, REASON_REPLY, BOTH_PORTS, dir, v6);
		if (state || quick_is_tcp(&q, v6)) /* the long way asks the policy again, or lets the pod heal */
			return REASON_NONE;
	}
	return tables_of_node()->control.events ? REASON_NONE : quick_count(skb, cpu, dir, reason);
}

/* Asked before all else. IPv4 comes first: all instructions of a packet of it that passes lie in one piece, since among those of the node's
 * network stack a packet has to fetch them anew. */
static __always_inline void pass_at_once(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u64 version, enum direction dir)
{
	__u64 protocol = skb->protocol;

	OPAQUE(protocol); /* else the compiler compares it with all that it may be, and puts IPv4 last */
	if (skb->vlan_present)
		return;
	if (protocol == bpf_htons(ETH_P_IP))
		pass_as_last(skb, cpu, ifindex, version, dir, false);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		pass_as_last(skb, cpu, ifindex, version, dir, true);
}

static __always_inline __u64 fast(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u64 version, enum direction dir)
{
	if (skb->vlan_present)
		return REASON_NONE;
	if (__builtin_expect(skb->protocol == bpf_htons(ETH_P_IP), true))
		return quick_judge(skb, cpu, ifindex, version, dir, false);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return quick_judge(skb, cpu, ifindex, version, dir, true);
	return REASON_NONE;
}
