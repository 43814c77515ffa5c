/* SPDX-License-Identifier: Apache-2.0 */
/* What the policies say: address -> class, (set, class) -> ports, port -> allowed. Arrays all the way for IPv4, so the cost
 * of a decision grows neither with the peers nor with the ports of the policy.
 *
 * Its steps are functions that the verifier looks at once, for all arguments, and not again wherever they are called from.
 * That is why they take and return numbers only (all that kernel 5.10 allows), and find the tables themselves. */
#pragma once

/* A question to the policy, in numbers. */
#define BANK_SET(bank, set) ((__u64)(bank) << 32 | (set))
#define PROTO_PORT(p, port) ((__u64)(p)->has_ports << 32 | (__u64)(p)->protocol << 16 | bpf_ntohs(port))

/* An answer: the reason, and whether the flow is allowed. */
#define ANSWER(reason, allowed) ((reason) << 8 | (allowed))

/* The address comes in two halves, as they lie in memory. */
__noinline __u32 class_of_mapped(__u32 bank, __u64 high, __u64 low, __u32 fallback)
{
	struct net_key net = {.prefix_len = 32 + 128, .bank = bank};
	struct host_key host = {.bank = bank};
	__u32 *class;

	__builtin_memcpy(host.addr, &high, 8);
	__builtin_memcpy(host.addr + 8, &low, 8);
	class = bpf_map_lookup_elem(&peer_hosts, &host);
	if (class)
		return *class;
	__builtin_memcpy(net.addr, &high, 8);
	__builtin_memcpy(net.addr + 8, &low, 8);
	class = bpf_map_lookup_elem(&peer_nets, &net);
	return class ? *class : fallback;
}

static __always_inline void map_to_ip6(__be32 ip4, __u8 *addr)
{
	__builtin_memset(addr, 0, 10);
	addr[10] = addr[11] = 0xff;
	__builtin_memcpy(addr + 12, &ip4, 4);
}

/* The first FANOUT pages of a bank of peers4 are selected by the first byte of the address, their slots by the second. */
static __always_inline __u32 slot_of_ip4(struct peer_tables *t, __u32 addr)
{
	__u32 slot = CUT(t->peers4, addr >> 24)->slot[(addr >> 16) & (FANOUT - 1)];

	if (slot & PEER_PAGE) {
		slot = CUT(t->peers4, slot & PEER_INDEX_MASK)->slot[(addr >> 8) & (FANOUT - 1)];
		if (slot & PEER_PAGE)
			slot = CUT(t->peers4, slot & PEER_INDEX_MASK)->slot[addr & (FANOUT - 1)];
	}
	return slot;
}

static __always_inline bool word_allows(struct rule_tables *t, __u32 bank, __u32 word, __u32 port)
{
	if (word < PORTS_FIRST)
		return word == PORTS_ALL;
	word = PAGE_SLOT(t, bank, port_pages, word, port >> 8);
	if (word < PORTS_FIRST)
		return word == PORTS_ALL;
	return ENTRY(t, bank, port_leaves, word)->bits[(port >> 6) & 3] >> (port & 63) & 1;
}

static __always_inline bool ports_allow(struct node_tables *node, struct rule_tables *t, __u32 bank, __u32 ports,
					__u64 proto_port)
{
	struct port_set *ps = ENTRY(node, bank, port_sets, ports);
	__u32 protocol = (proto_port >> 16) & 0xff, word;

	if (ports < PORTS_FIRST)
		return ports == PORTS_ALL;
	if (protocol == IPPROTO_TCP)
		word = ps->tcp;
	else if (protocol == IPPROTO_UDP)
		word = ps->udp;
	else if (protocol == IPPROTO_SCTP)
		word = ps->sctp;
	else
		return false;
	if (!(proto_port >> 32))
		return word == PORTS_ALL;
	return word_allows(t, bank, word, proto_port & 0xffff);
}

static __always_inline __u32 answer(struct node_tables *node, struct rule_tables *t, __u64 bank_set, __u32 class, __u64 proto_port)
{
	__u32 bank = bank_set >> 32, set = bank_set;
	__u32 row = PAGE_SLOT(t, bank, sets, set, class >> 8);
	__u32 ports = PAGE_SLOT(t, bank, rows, row, class);

	if (ports_allow(node, t, bank, ports, proto_port))
		return ANSWER(REASON_POLICY, 1);
	return ANSWER(proto_port >> 32 || !ports ? REASON_NO_RULE : REASON_FRAGMENT, 0);
}

__noinline __u32 class_of_ip4(__u32 bank, __be32 peer)
{
	struct peer_tables *t = part(PART_PEERS + (bank & (BANKS - 1)));
	__u32 slot;

	if (!t)
		return 0;
	slot = slot_of_ip4(t, bpf_ntohl(peer));
	if (slot & PEER_SPARSE) {
		__u64 mapped[2];
		map_to_ip6(peer, (__u8 *)mapped);
		return class_of_mapped(bank, mapped[0], mapped[1], slot & PEER_CLASS_MASK);
	}
	return slot & PEER_CLASS_MASK;
}

__noinline __u32 policy(__u64 bank_set, __u32 class, __u64 proto_port)
{
	struct node_tables *node = part(PART_NODE);
	struct rule_tables *t = part(PART_RULES);

	if (!node || !t)
		return ANSWER(REASON_TABLE, 0);
	return answer(node, t, bank_set, class & PEER_CLASS_MASK, proto_port);
}

/* What a verdict is about besides the packet. */
struct env {
	struct node_tables *node;
	struct pod *pod;
	__u32 ifindex;
	__u32 epoch;
	__u32 mode;
	enum direction dir; /* of the packet */
};

/* The pod's set in the live bank. Both are read and one is chosen without a branch: after a branch the verifier knows the bank
 * on each side, and where CAP_PERFMON is missing it refuses an offset that is a constant on one path and a variable on
 * another (the defence against Spectre variant 1). */
static __always_inline __u32 pod_set(const struct env *e, enum direction dir)
{
	const volatile struct pod *pod = e->pod;
	__u32 even = dir == EGRESS ? pod->bank[0].set[EGRESS] : pod->bank[0].set[INGRESS];
	__u32 odd = dir == EGRESS ? pod->bank[1].set[EGRESS] : pod->bank[1].set[INGRESS];

	__u32 mask = -(e->epoch & 1);

	asm volatile("" : "+r"(mask)); /* keeps clang from making a branch of it */
	return even ^ ((even ^ odd) & mask);
}

/* May a packet of this flow travel between the pod and the peer under the pod's set of a direction? The peer is the
 * packet's source or destination, and port the one that direction speaks of: the flow's destination port. */
static __always_inline bool policy_allows(const struct env *e, enum direction dir, const struct packet *p, bool peer_is_src,
					  __be16 port, struct decision *d)
{
	__u32 bank = e->epoch & 1, set = pod_set(e, dir);
	__u32 a;

	if (set == SET_UNKNOWN && e->mode == MODE_STANDARD)
		set = SET_OPEN;
	d->set = set;
	if (set == SET_OPEN) {
		d->reason = REASON_NOT_ISOLATED;
		return true;
	}
	if (set < SET_FIRST) {
		d->reason = set == SET_CLOSED ? REASON_CLOSED : REASON_UNKNOWN_POD;
		return false;
	}
	if (p->family == 4) {
		d->class = class_of_ip4(bank, peer_is_src ? p->src4 : p->dst4);
	} else {
		const __u64 *peer = (const __u64 *)(peer_is_src ? &p->src6 : &p->dst6);
		d->class = class_of_mapped(bank, peer[0], peer[1], 0);
	}
	a = policy(BANK_SET(bank, set), d->class, PROTO_PORT(p, port));
	d->reason = a >> 8;
	return a & 1;
}

/* The policy of a packet's own direction. */
static __always_inline bool forward_allowed(const struct env *e, enum direction dir, const struct packet *p, struct decision *d)
{
	return policy_allows(e, dir, p, dir == INGRESS, p->dst_port, d);
}

/* The policy of direction dir on the flow of a packet that goes the other way: the packet's source is the peer for egress,
 * and its source port the destination port of the flow. */
static __always_inline bool reverse_allowed(const struct env *e, enum direction dir, const struct packet *p)
{
	struct decision ignored = {};

	return policy_allows(e, dir, p, dir == EGRESS, p->src_port, &ignored);
}
