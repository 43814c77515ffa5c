/* SPDX-License-Identifier: Apache-2.0 */
/* The short way for most packets of most clusters: plain TCP and UDP, from the pod's own address or to it. It decides nothing
 * that the long way in judge() would decide otherwise; when in doubt it returns REASON_NONE, and then has changed nothing that
 * counts. Written once for both families: v6 is known where it is compiled. */
#pragma once

/* The first 8 bytes of an IPv4 header as one little-endian number: version and size of the header are those of a plain one,
 * and no bit says fragment. */
#define IP4_PLAIN_MASK 0xff3f0000000000ffULL
#define IP4_PLAIN 0x45ULL

enum {
	FLOW_S = 1, /* how long a flow is believed without looking it up */
	UDP_BYTES = 8,
};

/* What the short way reads of a packet. */
struct quick {
	struct flow_key key; /* its flow, once quick_key has completed it */
	__be32 ports;	     /* as they lie in the packet */
	__u32 shift;	     /* of the protocol's page in a word of a row */
	__u32 flags;	     /* of TCP; never TCP_SYN in UDP */
};

/* The protocols of the short way, at l4; left is how many bytes the packet says there are. */
static __always_inline bool quick_read_l4(struct quick *q, const __u8 *l4, const void *end, __u32 protocol, __u32 left)
{
	q->ports = *(__be32 *)l4;
	if (protocol == IPPROTO_TCP) {
		if ((void *)(l4 + TCP_BYTES) > end || left < TCP_BYTES)
			return false;
		q->flags = l4[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK);
		q->shift = PORTS_TCP_SHIFT;
		return true;
	}
	q->flags = 0;
	q->shift = PORTS_UDP_SHIFT;
	return protocol == IPPROTO_UDP && left >= UDP_BYTES;
}

static __always_inline bool quick_read4(struct __sk_buff *skb, struct quick *q, const struct pod *pod, enum direction dir)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *l4 = ip + sizeof(struct iphdr);

	if ((void *)(l4 + UDP_BYTES) > end)
		return false;
	__u64 head = *(__u64 *)ip, next = *(__u64 *)(ip + 8);
	__u32 total = bpf_ntohs(head >> 16);
	if ((head & IP4_PLAIN_MASK) != IP4_PLAIN || total < sizeof(struct iphdr) || ETH_HLEN + total > skb->len)
		return false;
	if (dir == EGRESS && (next >> 32 != pod->ip4 || !pod->has_ip4))
		return false;
	q->key.ends = dir == EGRESS ? *(__u32 *)(ip + 16) : next >> 32;
	return quick_read_l4(q, l4, end, next >> 8 & 0xff, total - sizeof(struct iphdr));
}

static __always_inline bool quick_read6(struct __sk_buff *skb, struct quick *q, const struct pod *pod, enum direction dir)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *l4 = ip + sizeof(struct ipv6hdr);
	const __u64 *own = (const __u64 *)pod->ip6;

	if ((void *)(l4 + UDP_BYTES) > end)
		return false;
	__u64 head = *(__u64 *)ip;
	__u32 left = bpf_ntohs(head >> 32);
	if ((head & 0xf0) != 0x60 || ETH_HLEN + sizeof(struct ipv6hdr) + left > skb->len)
		return false;
	const __u64 *src = (const __u64 *)(ip + 8), *peer = dir == EGRESS ? src + 2 : src;
	if (dir == EGRESS && (src[0] != own[0] || src[1] != own[1] || !pod->has_ip6))
		return false;
	q->key.ends = 0;
	q->key.peer[0] = peer[0];
	q->key.peer[1] = peer[1];
	return quick_read_l4(q, l4, end, head >> 48 & 0xff, left);
}

static __always_inline bool quick_is_tcp(const struct quick *q)
{
	return q->shift == PORTS_TCP_SHIFT;
}

static __always_inline bool quick_opens(const struct quick *q)
{
	return q->flags == TCP_SYN;
}

static __always_inline void quick_key(struct quick *q, const struct pod *pod, __u32 ifindex, enum direction dir, bool v6)
{
	__u32 ports = dir == EGRESS ? q->ports : q->ports >> 16 | q->ports << 16;

	q->key.ends |= v6 ? ports : (__u64)ports << 32;
	q->key.pod = FLOW_POD(pod->instance, quick_is_tcp(q) ? IPPROTO_TCP : IPPROTO_UDP, ifindex);
}

/* Was the last packet on this CPU of the same flow, and did it pass under the same tables? Where a flow stands behind that, it was
 * looked up lately. */
static __always_inline enum reason same_as_last(const struct last *last, const struct quick *q, const struct pod *pod, __u32 epoch,
						bool v6)
{
	if (last->ends != q->key.ends || last->pod != q->key.pod || last->epoch != epoch || pod->heals)
		return REASON_NONE;
	if (v6 && (last->peer[0] != q->key.peer[0] || last->peer[1] != q->key.peer[1]))
		return REASON_NONE;
	if ((last->reason == REASON_REPLY || !quick_is_tcp(q)) && !within_s(last->seen, FLOW_S))
		return REASON_NONE;
	return last->reason;
}

static __always_inline enum reason remember_last(struct last *last, const struct quick *q, __u32 epoch, enum reason reason, __u32 class,
						 bool v6)
{
	*(volatile __u32 *)&last->epoch = epoch - 1; /* void while it is written: others may run on this CPU meanwhile */
	last->pod = q->key.pod;
	last->ends = q->key.ends;
	if (v6) {
		last->peer[0] = q->key.peer[0];
		last->peer[1] = q->key.peer[1];
	}
	last->reason = reason;
	last->seen = now();
	if (harness)
		last->class = class;
	*(volatile __u32 *)&last->epoch = epoch;
	return reason;
}

/* What a set of rules says of the packet; REASON_NONE where the tables of arrays do not know the peer. */
static __always_inline enum reason quick_policy(const struct quick *q, __u32 epoch, __u32 set, __u32 *class, bool v6)
{
	struct rule_bank *b = rules_of(epoch);
	__u32 word, slot = v6 ? slot_of_ip6(epoch, q->key.peer[0], q->key.peer[1]) : slot_of_ip4(epoch, bpf_ntohl(q->key.ends));

	if (slot & PEER_SPARSE)
		return REASON_NONE;
	*class = slot & PEER_CLASS_MASK;
	word = ports_of(b, set, slot);
	if (!word)
		return REASON_NO_RULE;
	return page_allows(b, word >> q->shift, bpf_ntohs(q->ports >> 16)) ? REASON_POLICY : REASON_NO_RULE;
}

/* Remembers what an allowed packet may have opened: a connection, or UDP of a flow that is not known. */
static __always_inline void quick_track(const struct quick *q, __u32 epoch, enum direction dir, bool v6)
{
	if (quick_opens(q) || !flow_get_quick(&q->key, v6))
		flow_put_quick(&q->key, FLOW_STATE(epoch, 1 << dir), v6);
}

/* What the policy of the packet's own direction says, on what set and class. */
static __always_inline enum reason quick_forward(const struct quick *q, __u32 set, __u32 epoch, __u32 *class, bool v6)
{
	if (set >= SET_FIRST)
		return quick_policy(q, epoch, set, class, v6);
	if (set == SET_OPEN)
		return REASON_NOT_ISOLATED;
	return set == SET_CLOSED ? REASON_CLOSED : REASON_NONE;
}

static __always_inline enum reason quick_judge(struct __sk_buff *skb, struct last *last, struct pod *pod, __u32 ifindex, __u32 epoch,
					       enum direction dir, bool v6)
{
	struct quick q = {}; /* all of it: without CAP_PERFMON the verifier goes both ways after every test */
	enum reason reason;
	__u64 bank = epoch & (BANKS - 1), state;
	__u32 set, class = 0;
	bool opens;

	EARLY(last);
	if (!pod->instance || (v6 ? !quick_read6(skb, &q, pod, dir) : !quick_read4(skb, &q, pod, dir)))
		return REASON_NONE;
	if (dir == INGRESS && from_node(skb))
		return REASON_NONE;
	opens = quick_opens(&q);
	OPAQUE(bank);
	set = pod->bank[bank].set[dir];
	if (!opens) {
		quick_key(&q, pod, ifindex, dir, v6);
		reason = same_as_last(last, &q, pod, epoch, v6);
		if (reason != REASON_NONE) {
			if (harness)
				note(skb, set, last->class);
			return reason;
		}
	}

	reason = quick_forward(&q, set, epoch, &class, v6);
	if (reason == REASON_NONE)
		return REASON_NONE;
	note(skb, set, class);
	if (reason < REASON_FIRST_DROP) {
		if (opens)
			quick_key(&q, pod, ifindex, dir, v6);
		if (!opens && quick_is_tcp(&q)) {
			if (is_healing(pod))
				return REASON_NONE;
		} else if (track_all || pod->bank[bank].set[!dir] != SET_OPEN) {
			quick_track(&q, epoch, dir, v6);
		}
		return opens ? reason : remember_last(last, &q, epoch, reason, class, v6);
	}
	if (!opens) {
		state = flow_get_quick(&q.key, v6);
		if (state && STATE_EPOCH(state) == epoch && STATE_OPENED(state) & (1 << !dir))
			return remember_last(last, &q, epoch, REASON_REPLY, class, v6);
		if (state || quick_is_tcp(&q)) /* the long way asks the policy again, or lets the pod heal */
			return REASON_NONE;
	}
	return tables_of_node()->control.events ? REASON_NONE : reason;
}

static __always_inline enum reason fast(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u32 epoch, enum direction dir)
{
	struct pod *pod = pod_at(ifindex);

	EARLY(pod);
	if (skb->vlan_present)
		return REASON_NONE;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return quick_judge(skb, &cpu->last[dir][0], pod, ifindex, epoch, dir, false);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return quick_judge(skb, &cpu->last[dir][1], pod, ifindex, epoch, dir, true);
	return REASON_NONE;
}
