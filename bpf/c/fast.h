/* SPDX-License-Identifier: Apache-2.0 */
/* The short way for most packets of most clusters: plain TCP and UDP, from the pod's own address or to it. It decides nothing
 * that the long way in judge() would decide otherwise; when in doubt it returns REASON_NONE, and then has changed nothing that
 * counts. Written once for both families: v6 is known where it is compiled. */
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

/* What the short way reads of a packet: what all packets of its flow have in common, see struct last. */
struct quick {
	__u64 words[LAST_WORDS];
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

/* The protocols of the short way, at l4; left is how many bytes the packet says there are. */
static __always_inline enum quick_kind quick_read_l4(const struct quick *q, const __u8 *l4, const void *end, __u32 left, bool v6)
{
	if (quick_is_tcp(q, v6)) {
		if ((void *)(l4 + TCP_BYTES) > end || left < TCP_BYTES)
			return QUICK_NONE;
		return (l4[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN ? QUICK_OPENS : QUICK_LATER;
	}
	return quick_protocol(q, v6) == IPPROTO_UDP && left >= UDP_BYTES ? QUICK_LATER : QUICK_NONE;
}

static __always_inline enum quick_kind quick_read4(struct __sk_buff *skb, struct quick *q)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *l4 = ip + sizeof(struct iphdr);

	if ((void *)(l4 + UDP_BYTES) > end)
		return QUICK_NONE;
	__u64 head = *(__u64 *)ip;
	__u32 total = bpf_ntohs(head >> 16);
	if ((head & IP4_PLAIN_MASK) != IP4_PLAIN || total < sizeof(struct iphdr) || ETH_HLEN + total > skb->len)
		return QUICK_NONE;
	q->words[0] = *(__u64 *)(ip + 8);
	q->words[1] = *(__be32 *)(ip + 16);
	q->words[2] = *(__be32 *)l4;
	return quick_read_l4(q, l4, end, total - sizeof(struct iphdr), false);
}

static __always_inline enum quick_kind quick_read6(struct __sk_buff *skb, struct quick *q)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *l4 = ip + sizeof(struct ipv6hdr);
	const __u64 *addrs = (const __u64 *)(ip + 8);

	if ((void *)(l4 + UDP_BYTES) > end)
		return QUICK_NONE;
	__u64 head = *(__u64 *)ip;
	__u32 left = bpf_ntohs(head >> 32);
	if ((head & 0xf0) != 0x60 || ETH_HLEN + sizeof(struct ipv6hdr) + left > skb->len)
		return QUICK_NONE;
	q->words[0] = addrs[0];
	q->words[1] = addrs[1];
	q->words[2] = addrs[2];
	q->words[3] = addrs[3];
	q->words[4] = (head >> 48 & 0xff) << 32 | *(__be32 *)l4;
	return quick_read_l4(q, l4, end, left, true);
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

/* Was the last packet on this CPU of the same flow, and did it pass a moment ago, under the same tables? Then the packet is from
 * one of the pod's addresses, too: the interface still has the pod that the last one was from. */
static __always_inline bool same_as_last(const struct last *last, const struct quick *q, __u32 ifindex, __u64 version, bool v6)
{
	if ((v6 ? q->words[0] : q->words[0] & IP4_FLOW_MASK) != last->words[0] || q->words[1] != last->words[1] || q->words[2] != last->words[2])
		return false;
	if (v6 && (q->words[3] != last->words[3] || q->words[4] != last->words[4]))
		return false;
	return last->ifindex == ifindex && within_s(last->seen, FLOW_S) && *(volatile __u64 *)&last->version == version;
}

static __always_inline enum reason remember_last(struct last *last, struct __sk_buff *skb, const struct quick *q, __u32 ifindex,
						 __u64 version, enum reason reason, bool v6)
{
	*(volatile __u64 *)&last->version = version - 1; /* void while it is written: others may run on this CPU meanwhile */
	last->words[0] = v6 ? q->words[0] : q->words[0] & IP4_FLOW_MASK;
	last->words[1] = q->words[1];
	last->words[2] = q->words[2];
	if (v6) {
		last->words[3] = q->words[3];
		last->words[4] = q->words[4];
	}
	last->ifindex = ifindex;
	last->seen = now();
	last->reason = reason;
	if (HARNESS)
		noted(skb, &last->set, &last->class);
	*(volatile __u64 *)&last->version = version;
	return reason;
}

/* What a set of rules says of the packet; REASON_NONE where the tables of arrays do not know the peer. */
static __always_inline enum reason quick_policy(const struct quick *q, __u32 epoch, __u32 set, __u32 *class, enum direction dir, bool v6)
{
	struct rule_bank *b = rules_of(epoch);
	__u32 word, slot;

	if (v6)
		slot = slot_of_ip6(epoch, q->words[dir == EGRESS ? 2 : 0], q->words[dir == EGRESS ? 3 : 1]);
	else
		slot = slot_of_ip4(epoch, bpf_ntohl(dir == EGRESS ? (__u32)q->words[1] : q->words[0] >> 32));
	if (slot & PEER_SPARSE)
		return REASON_NONE;
	*class = slot & PEER_CLASS_MASK;
	word = ports_of(b, set, slot);
	if (!word)
		return REASON_NO_RULE;
	word >>= quick_is_tcp(q, v6) ? PORTS_TCP_SHIFT : PORTS_UDP_SHIFT;
	return page_allows(port_bank_of(epoch), word, bpf_ntohs(quick_ports(q, v6) >> 16)) ? REASON_POLICY : REASON_NO_RULE;
}

/* Remembers what an allowed packet may have opened: a connection, or UDP of a flow that is not known. */
static __always_inline void quick_track(const struct flow_key *k, bool opens, __u32 epoch, enum direction dir, bool v6)
{
	if (opens || !flow_get_quick(k, v6))
		flow_put_quick(k, FLOW_STATE(epoch, 1 << dir), v6);
}

/* Counts the most usual verdicts, whose place is known without looking. */
static __always_inline enum reason quick_count(struct __sk_buff *skb, struct cpu *cpu, enum direction dir, enum reason reason)
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
static __always_inline enum reason quick_forward(const struct quick *q, __u32 set, __u32 epoch, __u32 *class, enum direction dir, bool v6)
{
	if (set >= SET_FIRST)
		return quick_policy(q, epoch, set, class, dir, v6);
	if (set == SET_OPEN)
		return REASON_NOT_ISOLATED;
	return set == SET_CLOSED ? REASON_CLOSED : REASON_NONE;
}

static __always_inline enum reason quick_judge(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u64 version, enum direction dir,
					       bool v6)
{
	struct quick q = {}; /* all of it: without CAP_PERFMON the verifier goes both ways after every test */
	struct flow_key key = {};
	struct last *last = &cpu->last[dir][v6];
	struct pod *pod;
	enum reason reason;
	enum quick_kind kind = v6 ? quick_read6(skb, &q) : quick_read4(skb, &q);
	__u64 bank, state;
	__u32 set, class = 0, epoch = version;
	bool opens = kind == QUICK_OPENS;

	if (kind == QUICK_NONE)
		return REASON_NONE;
	if (dir == INGRESS && from_node(skb))
		return REASON_NONE;
	if (!opens && same_as_last(last, &q, ifindex, version, v6)) {
		if (HARNESS)
			note(skb, last->set, last->class);
		count(skb, cpu, dir, last->reason);
		return REASON_COUNTED;
	}

	if (ifindex >= PODS_SIZE)
		return REASON_NONE;
	pod = pod_at(ifindex);
	EARLY(pod);
	if (!pod->instance || (dir == EGRESS && !quick_source_is_own(&q, pod, v6)))
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
		}
		return opens ? quick_count(skb, cpu, dir, reason) : remember_last(last, skb, &q, ifindex, version, reason, v6);
	}
	if (!opens) {
		quick_key(&key, &q, pod, ifindex, dir, v6);
		state = flow_get_quick(&key, v6);
		if (state && STATE_EPOCH(state) == epoch && STATE_OPENED(state) & (1 << !dir))
			return remember_last(last, skb, &q, ifindex, version, REASON_REPLY, v6);
		if (state || quick_is_tcp(&q, v6)) /* the long way asks the policy again, or lets the pod heal */
			return REASON_NONE;
	}
	return tables_of_node()->control.events ? REASON_NONE : quick_count(skb, cpu, dir, reason);
}

static __always_inline enum reason fast(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u64 version, enum direction dir)
{
	if (skb->vlan_present)
		return REASON_NONE;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return quick_judge(skb, cpu, ifindex, version, dir, false);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return quick_judge(skb, cpu, ifindex, version, dir, true);
	return REASON_NONE;
}
