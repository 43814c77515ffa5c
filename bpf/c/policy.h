/* SPDX-License-Identifier: Apache-2.0 */
/* What the policies say: address -> class, (set, class) -> ports, port -> allowed. Arrays all the way, for IPv6 behind a small hash,
 * so the cost of a decision grows neither with the peers nor with the ports of the policy, as long as there are pages for the peers.
 *
 * Its steps are functions that the verifier looks at once, for all arguments, and not again wherever they are called from.
 * That is why they take and return numbers only (all that kernel 5.10 allows). */
#pragma once

/* A question to the policy, in numbers. */
#define EPOCH_SET(epoch, set) ((__u64)(epoch) << 32 | (set))
#define PROTO_PORT(p, port) ((__u64)(p)->has_ports << 32 | (__u64)(p)->protocol << 16 | bpf_ntohs(port))

/* An answer: the reason, and whether the flow is allowed. */
#define ANSWER(reason, allowed) ((reason) << 8 | (allowed))

/* The address comes in two halves, as they lie in memory. */
__noinline __u32 class_in_space(__u32 space, __u64 high, __u64 low, __u32 fallback)
{
	struct net_key net = {.prefix_len = 32 + 128, .space = space};
	struct host_key host = {.space = space};
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

/* The class of an address whose slot says PEER_SPARSE. That of IPv4 is looked up under its IPv4-mapped form. */
static __always_inline __u32 sparse_class4(__u32 epoch, __be32 peer, __u32 slot)
{
	return class_in_space((epoch & SPACE_BANK_MASK) | SPACE_IP4, 0, (__u64)peer << 32 | 0xffff0000, slot & PEER_CLASS_MASK);
}

static __always_inline __u32 sparse_class6(__u32 epoch, __u64 high, __u64 low, __u32 slot)
{
	return class_in_space(epoch & SPACE_BANK_MASK, high, low, slot & PEER_CLASS_MASK);
}

static __always_inline void map_to_ip6(__be32 ip4, __u8 *addr)
{
	__builtin_memset(addr, 0, 10);
	addr[10] = addr[11] = 0xff;
	__builtin_memcpy(addr + 12, &ip4, 4);
}

/* The slot of an address. The first FANOUT pages of peers4 lie behind one another, so that the first two bytes select a slot
 * of them together. */
static __always_inline __u32 slot_of_ip4(__u32 epoch, __u32 addr)
{
	struct addr_page *pages = peers_of(epoch)->pages;
	__u16 *third = &pages->slot[addr >> 8 & 0xff], *fourth = &pages->slot[addr & 0xff];
	__u32 slot = ((__u16 *)pages)[addr >> 16];

	EARLY(third);
	EARLY(fourth);
	if (slot & PEER_PAGE) {
		slot = third[(slot & PEER_PAGE_MASK) * FANOUT];
		if (slot & PEER_PAGE)
			slot = fourth[(slot & PEER_PAGE_MASK) * FANOUT];
	}
	return slot;
}

/* Where a prefix of 15 bytes may lie; prefixPlace in prefixes.go is the same. */
static __always_inline __u32 prefix_place(__u64 high, __u64 low)
{
	return (high * 0x9e3779b97f4a7c15ULL ^ low) * 0xc2b2ae3d27d4eb4fULL >> 48;
}

/* The slot of an IPv6 address, in two halves as they lie in memory. */
static __always_inline __u32 slot_of_ip6(__u32 epoch, __u64 high, __u64 low)
{
	struct prefix_bank *b = prefixes_of(epoch);
	__u64 net = low & ~(0xffULL << 56);
	__u32 at = prefix_place(high, net);
	__u16 *slots = &peers_of(epoch)->pages[0].slot[low >> 56];

	EARLY(slots);
#pragma unroll
	for (int i = 0; i < PREFIX6_PLACES; i++) {
		struct prefix6 *p = ENTRY(b, prefixes, at + i);
#pragma unroll
		for (int way = 0; way < PREFIX6_WAYS; way++) {
			if (p->low[way] == net && p->high[way] == high && p->page[way])
				return slots[(p->page[way] & PEER_PAGE_MASK) * FANOUT] & PEER_CLASS_MASK;
		}
		if (!p->page[PREFIX6_WAYS - 1])
			break;
	}
	return b->otherwise;
}

/* The word of a row that says which ports a set allows to the peers of a class. */
static __always_inline __u32 ports_of(struct rule_bank *b, __u32 set, __u32 class)
{
	struct set_rows *s = ENTRY(b, sets, set);
	__u32 row = s->row[0], *word = &b->rows[0].ports[class & (ROW_CLASSES - 1)];

	EARLY(word);
	if (class & PEER_CLASS_MASK & ~(ROW_CLASSES - 1)) /* few classes are usual, and their row is read before the class is known */
		row = s->row[(class & PEER_CLASS_MASK) / ROW_CLASSES];
	return word[(row & (ROWS_SIZE - 1)) * ROW_CLASSES];
}

static __always_inline bool page_allows(struct port_bank *b, __u32 page, __u32 port)
{
	__u16 *leaf = &b->port_pages[0].leaf[port >> 8 & (FANOUT - 1)];
	__u64 *bits = &b->port_leaves[0].bits[port >> 6 & 3];

	EARLY(leaf);
	EARLY(bits);
	bits += (leaf[(page & PORTS_PAGE_MASK) * FANOUT] & (PORT_LEAVES_SIZE - 1)) * (FANOUT / 64);
	return *bits >> (port & 63) & 1;
}

/* All bits where an edge is not beyond a port, else 0: a choice without a branch. */
static __always_inline __u64 not_beyond(__u64 edge, __u64 port)
{
	__u64 less = edge - port - 1;

	OPAQUE(less); /* or the compiler makes a branch of it after all */
	return (__s64)less >> 63;
}

/* How many edges of the list that a word names are not beyond a port, which comes with its protocol as an edge does. It is allowed where
 * that is an odd number. */
__noinline __u32 edges_passed(__u32 epoch, __u32 word, __u32 port)
{
	struct port_bank *b = port_bank_of(epoch);
	__u64 at = (word & PORTS_LISTED_AT_MASK) * 2, passed = word;
	__u64 size = 1ULL << (word >> PORTS_LISTED_SIZE_SHIFT & PORTS_LISTED_SIZE_MASK);

	/* A zero that the verifier does not know as one: without CAP_PERFMON it refuses an index that is a constant on one path only. */
	OPAQUE(passed);
	passed ^= word;
#pragma unroll
	for (__u64 step = 1 << (PORTS_LISTED_SIZE_MASK - 1); step; step >>= 1) {
		if (step < size)
			passed += step & not_beyond(*ENTRY(b, port_edges, at + passed + step - 1), port);
	}
	return passed + (1 & not_beyond(*ENTRY(b, port_edges, at + passed), port));
}

static __always_inline bool is_listed(__u64 word)
{
	return word >> PORTS_LISTED_BIT;
}

/* Does a list allow a port, or where it is not known, every port of its protocol? */
static __always_inline bool list_allows(__u32 epoch, __u32 word, __u64 proto_port)
{
	__u32 protocol = proto_port >> 16 & 0xff, first = proto_port & 0xffff, passed;

	if (protocol == IPPROTO_UDP)
		first |= 1 << PORT_EDGES_PROTOCOL_SHIFT;
	else if (protocol == IPPROTO_SCTP)
		first |= 2 << PORT_EDGES_PROTOCOL_SHIFT;
	else if (protocol != IPPROTO_TCP)
		return word & PORTS_OTHER;
	if (proto_port >> 32)
		return edges_passed(epoch, word, first) & 1;
	passed = edges_passed(epoch, word, first & ~0xffffU);
	return passed & 1 && passed == edges_passed(epoch, word, first | 0xffff);
}

static __always_inline bool ports_allow(struct port_bank *b, __u32 ports, __u64 proto_port)
{
	__u32 protocol = proto_port >> 16 & 0xff, page;

	if (protocol == IPPROTO_TCP)
		page = ports >> PORTS_TCP_SHIFT;
	else if (protocol == IPPROTO_UDP)
		page = ports >> PORTS_UDP_SHIFT;
	else if (protocol == IPPROTO_SCTP)
		page = ports >> PORTS_SCTP_SHIFT;
	else
		return ports & PORTS_OTHER;
	if (!(proto_port >> 32))
		return (page & PORTS_PAGE_MASK) == PORTS_EVERY;
	return page_allows(b, page, proto_port & 0xffff);
}

__noinline __u32 class_of_ip4(__u32 epoch, __be32 peer)
{
	__u32 slot = slot_of_ip4(epoch, bpf_ntohl(peer));

	return slot & PEER_SPARSE ? sparse_class4(epoch, peer, slot) : slot & PEER_CLASS_MASK;
}

__noinline __u32 class_of_ip6(__u32 epoch, __u64 high, __u64 low)
{
	__u32 slot = slot_of_ip6(epoch, high, low);

	return slot & PEER_SPARSE ? sparse_class6(epoch, high, low, slot) : slot & PEER_CLASS_MASK;
}

__noinline __u32 policy(__u64 epoch_set, __u32 class, __u64 proto_port)
{
	__u32 epoch = epoch_set >> 32, allowed = ports_of(rules_of(epoch), epoch_set, class);

	if (is_listed(allowed) ? list_allows(epoch, allowed, proto_port) : ports_allow(port_bank_of(epoch), allowed, proto_port))
		return ANSWER(REASON_POLICY, 1);
	return ANSWER(proto_port >> 32 || !allowed ? REASON_NO_RULE : REASON_FRAGMENT, 0);
}

/* What a verdict is about besides the packet. */
struct env {
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

	OPAQUE(mask);
	return even ^ ((even ^ odd) & mask);
}

/* May a packet of this flow travel between the pod and the peer under the pod's set of a direction? The peer is the
 * packet's source or destination, and port the one that direction speaks of: the flow's destination port. */
static __always_inline bool policy_allows(const struct env *e, enum direction dir, const struct packet *p, bool peer_is_src,
					  __be16 port, struct decision *d)
{
	__u32 set = pod_set(e, dir), a;

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
		d->class = class_of_ip4(e->epoch, peer_is_src ? p->src4 : p->dst4);
	} else {
		const __u64 *peer = (const __u64 *)(peer_is_src ? &p->src6 : &p->dst6);
		d->class = class_of_ip6(e->epoch, peer[0], peer[1]);
	}
	a = policy(EPOCH_SET(e->epoch, set), d->class, PROTO_PORT(p, port));
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
