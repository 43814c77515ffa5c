/* SPDX-License-Identifier: Apache-2.0 */
/* What the policies say: address -> class, (set, class) -> ports, port -> allowed. Arrays all the way for IPv4, so the cost
 * of a decision grows neither with the peers nor with the ports of the policy.
 *
 * policy4 and policy6 are functions that the verifier looks at once, for all arguments, and not again wherever they are
 * called from; that is why they take and return numbers only (all that kernel 5.10 allows), and find the tables themselves. */
#pragma once

/* A question to the policy, in numbers. */
#define BANK_SET(bank, set) ((__u64)(bank) << 32 | (set))
#define PROTO_PORT(p, port) ((__u64)(p)->has_ports << 32 | (__u64)(p)->protocol << 16 | bpf_ntohs(port))

/* An answer: the class, the reason, and whether the flow is allowed. */
#define ANSWER(class, reason, allowed) ((__u64)(class) << 32 | (__u64)(reason) << 8 | (allowed))

static __always_inline __u32 class_of_mapped(__u32 bank, const __u8 *addr, __u32 fallback)
{
	struct net_key net = {.prefix_len = 32 + 128, .bank = bank};
	struct host_key host = {.bank = bank};
	__u32 *class;

	__builtin_memcpy(host.addr, addr, 16);
	class = bpf_map_lookup_elem(&peer_hosts, &host);
	if (class)
		return *class;
	__builtin_memcpy(net.addr, addr, 16);
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
static __always_inline __u32 slot_of_ip4(struct tables *t, __u32 bank, __u32 addr)
{
	__u32 slot = PAGE_SLOT(t, bank, peers4, addr >> 24, addr >> 16);

	if (slot & PEER_PAGE) {
		slot = PAGE_SLOT(t, bank, peers4, slot & PEER_INDEX_MASK, addr >> 8);
		if (slot & PEER_PAGE)
			slot = PAGE_SLOT(t, bank, peers4, slot & PEER_INDEX_MASK, addr);
	}
	return slot;
}

static __always_inline bool word_allows(struct tables *t, __u32 bank, __u32 word, __u32 port)
{
	if (word < PORTS_FIRST)
		return word == PORTS_ALL;
	word = PAGE_SLOT(t, bank, port_pages, word, port >> 8);
	if (word < PORTS_FIRST)
		return word == PORTS_ALL;
	return ENTRY(t, bank, port_leaves, word)->bits[(port >> 6) & 3] >> (port & 63) & 1;
}

static __always_inline bool ports_allow(struct tables *t, __u32 bank, __u32 ports, __u64 proto_port)
{
	struct port_set *ps = ENTRY(t, bank, port_sets, ports);
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

static __always_inline __u64 answer(struct tables *t, __u64 bank_set, __u32 class, __u64 proto_port)
{
	__u32 bank = bank_set >> 32, set = bank_set;
	__u32 row = PAGE_SLOT(t, bank, sets, set, class >> 8);
	__u32 ports = PAGE_SLOT(t, bank, rows, row, class);

	if (ports_allow(t, bank, ports, proto_port))
		return ANSWER(class, REASON_POLICY, 1);
	return ANSWER(class, proto_port >> 32 || !ports ? REASON_NO_RULE : REASON_FRAGMENT, 0);
}

__noinline __u64 policy4(__u64 bank_set, __u32 peer, __u64 proto_port)
{
	__u32 zero = 0, bank = (bank_set >> 32) & 1, slot;
	struct tables *t = bpf_map_lookup_elem(&tables, &zero);

	if (!t)
		return ANSWER(0, REASON_TABLE, 0);
	slot = slot_of_ip4(t, bank, bpf_ntohl(peer));
	if (slot & PEER_SPARSE) {
		__u8 mapped[16];
		map_to_ip6(peer, mapped);
		slot = class_of_mapped(bank, mapped, slot & PEER_CLASS_MASK);
	}
	return answer(t, bank_set, slot & PEER_CLASS_MASK, proto_port);
}

/* The address comes in two halves, as they lie in memory. */
__noinline __u64 policy6(__u64 bank_set, __u64 peer_high, __u64 peer_low, __u64 proto_port)
{
	__u32 zero = 0, bank = (bank_set >> 32) & 1;
	struct tables *t = bpf_map_lookup_elem(&tables, &zero);
	__u64 peer[2] = {peer_high, peer_low};

	if (!t)
		return ANSWER(0, REASON_TABLE, 0);
	return answer(t, bank_set, class_of_mapped(bank, (__u8 *)peer, 0), proto_port);
}

/* What a decision was made on; travels into the event, where user space turns it into policies and rules. */
struct decision {
	__u32 set;
	__u32 class;
	__u8 reason;
};

/* May a packet of this flow travel between the pod and the peer under the pod's set of a direction? The peer is the
 * packet's source or destination, and port the one that direction speaks of: the flow's destination port. */
static __always_inline bool policy_allows(const struct env *e, enum direction dir, const struct packet *p, bool peer_is_src,
					  __be16 port, struct decision *d)
{
	__u32 bank = e->epoch & 1, set = e->pod->bank[bank].set[dir];
	__u64 a;

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
		a = policy4(BANK_SET(bank, set), peer_is_src ? p->src4 : p->dst4, PROTO_PORT(p, port));
	} else {
		const __u64 *peer = (const __u64 *)(peer_is_src ? &p->src6 : &p->dst6);
		a = policy6(BANK_SET(bank, set), peer[0], peer[1], PROTO_PORT(p, port));
	}
	d->class = a >> 32;
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
