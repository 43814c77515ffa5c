/* SPDX-License-Identifier: Apache-2.0 */
/* What the policies say: address -> class, (set, class) -> ports, port -> allowed. Arrays all the way for IPv4, so the cost
 * of a decision grows neither with the peers nor with the ports of the policy. */
#pragma once

static __always_inline __u32 class_of_mapped(const struct env *e, const __u8 *addr, __u32 fallback)
{
	struct net_key net = {.prefix_len = 32 + 128, .bank = e->epoch & 1};
	struct host_key host = {.bank = e->epoch & 1};
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

#define PAGE_SLOT(e, table, index, n) (ENTRY(e, table, index)->slot[(n) & (FANOUT - 1)])

/* The first FANOUT pages of a bank of peers4 are selected by the first byte of the address, their slots by the second. */
static __always_inline __u32 slot_of_ip4(const struct env *e, __u32 addr)
{
	__u32 slot = PAGE_SLOT(e, peers4, addr >> 24, addr >> 16);

	if (slot & PEER_PAGE) {
		slot = PAGE_SLOT(e, peers4, slot & PEER_INDEX_MASK, addr >> 8);
		if (slot & PEER_PAGE)
			slot = PAGE_SLOT(e, peers4, slot & PEER_INDEX_MASK, addr);
	}
	return slot;
}

static __always_inline __u32 class_of_ip4(const struct env *e, __be32 ip4)
{
	__u32 slot = slot_of_ip4(e, bpf_ntohl(ip4));

	if (slot & PEER_SPARSE) {
		__u8 mapped[16];
		map_to_ip6(ip4, mapped);
		return class_of_mapped(e, mapped, slot & PEER_CLASS_MASK);
	}
	return slot & PEER_CLASS_MASK;
}

static __always_inline bool port_allowed(const struct env *e, __u32 ports, const struct packet *p, __be16 be_port)
{
	struct port_set *ps = ENTRY(e, port_sets, ports);
	__u32 port = bpf_ntohs(be_port), word;

	if (p->protocol == IPPROTO_TCP)
		word = ps->tcp;
	else if (p->protocol == IPPROTO_UDP)
		word = ps->udp;
	else if (p->protocol == IPPROTO_SCTP)
		word = ps->sctp;
	else
		return false;
	if (word < PORTS_FIRST || !p->has_ports)
		return word == PORTS_ALL;
	word = PAGE_SLOT(e, port_pages, word, port >> 8);
	if (word < PORTS_FIRST)
		return word == PORTS_ALL;
	return ENTRY(e, port_leaves, word)->bits[(port >> 6) & 3] >> (port & 63) & 1;
}

/* What a decision was made on; travels into the event, where user space turns it into policies and rules. */
struct decision {
	__u32 set;
	__u32 class;
	__u8 reason;
};

/* May a packet of this flow travel between the pod and the peer under the pod's set of a direction? peer4/peer6 and port
 * are those of the side that direction speaks of: the peer's address, the port of the flow's destination. */
static __always_inline bool policy_allows(const struct env *e, enum direction dir, const struct packet *p, __be32 peer4,
					  const struct in6_addr *peer6, __be16 port, struct decision *d)
{
	__u32 set = e->pod->bank[e->epoch & 1].set[dir];

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
	if (p->family == 4)
		d->class = class_of_ip4(e, peer4);
	else
		d->class = class_of_mapped(e, (const __u8 *)peer6, 0);
	__u32 row = PAGE_SLOT(e, sets, set, d->class >> 8);
	__u32 ports = PAGE_SLOT(e, rows, row, d->class);
	bool allowed = ports == PORTS_ALL || (ports >= PORTS_FIRST && port_allowed(e, ports, p, port));
	d->reason = allowed ? REASON_POLICY : p->has_ports || !ports ? REASON_NO_RULE : REASON_FRAGMENT;
	return allowed;
}

/* The policy of a packet's own direction. */
static __always_inline bool forward_allowed(const struct env *e, enum direction dir, const struct packet *p, struct decision *d)
{
	return policy_allows(e, dir, p, dir == EGRESS ? p->dst4 : p->src4, dir == EGRESS ? &p->dst6 : &p->src6, p->dst_port, d);
}

/* The policy of direction dir on the flow of a packet that goes the other way: the packet's source is the peer for egress,
 * and its source port the destination port of the flow. */
static __always_inline bool reverse_allowed(const struct env *e, enum direction dir, const struct packet *p)
{
	struct decision ignored = {};

	return policy_allows(e, dir, p, dir == EGRESS ? p->src4 : p->dst4, dir == EGRESS ? &p->src6 : &p->dst6, p->src_port,
			     &ignored);
}
