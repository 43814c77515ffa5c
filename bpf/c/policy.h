/* SPDX-License-Identifier: Apache-2.0 */
/* What the policies say: address -> class, (set, class) -> ports, port -> allowed. Arrays all the way for IPv4, so the cost
 * of a decision grows neither with the peers nor with the ports of the policy. An index that leads out of its table
 * decides nothing, that is: denies. */
#pragma once

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

static __always_inline __u32 page_slot(void *table, __u32 index, __u32 slot)
{
	struct page *page = bpf_map_lookup_elem(table, &index);

	return page ? page->slot[slot & (FANOUT - 1)] : 0;
}

/* The first FANOUT pages of a bank of peers4 are selected by the first byte of the address, their slots by the second. */
static __always_inline __u32 class_of_ip4(__u32 bank, __be32 ip4)
{
	__u32 addr = bpf_ntohl(ip4), base = bank * peers4_size;
	__u32 slot = page_slot(&peers4, base + (addr >> 24), addr >> 16);

	if (slot & PEER_PAGE) {
		slot = page_slot(&peers4, base + (slot & PEER_INDEX_MASK), addr >> 8);
		if (slot & PEER_PAGE)
			slot = page_slot(&peers4, base + (slot & PEER_INDEX_MASK), addr);
	}
	if (slot & PEER_SPARSE) {
		__u8 mapped[16];
		map_to_ip6(ip4, mapped);
		return class_of_mapped(bank, mapped, slot & PEER_CLASS_MASK);
	}
	return slot & PEER_CLASS_MASK;
}

static __always_inline bool port_allowed(__u32 bank, __u32 ports, const struct packet *p, __be16 be_port)
{
	__u32 index = bank * port_sets_size + ports, port = bpf_ntohs(be_port), word;
	struct port_set *ps = bpf_map_lookup_elem(&port_sets, &index);

	if (!ps)
		return false;
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
	word = page_slot(&port_pages, bank * port_pages_size + word, port >> 8);
	if (word < PORTS_FIRST)
		return word == PORTS_ALL;
	index = bank * port_leaves_size + word;
	struct port_leaf *leaf = bpf_map_lookup_elem(&port_leaves, &index);
	if (!leaf)
		return false;
	return leaf->bits[(port >> 6) & 3] >> (port & 63) & 1;
}

/* What a decision was made on; travels into the event, where user space turns it into policies and rules. */
struct decision {
	__u32 set;
	__u32 class;
	__u8 reason;
};

/* May a packet of this flow travel between the pod and the peer under the given set? peer4/peer6 and port are those of the
 * side the set's direction speaks of: the peer's address, the port of the flow's destination. */
static __always_inline bool policy_allows(__u32 bank, __u32 set, const struct packet *p, __be32 peer4,
					  const struct in6_addr *peer6, __be16 port, struct decision *d)
{
	d->set = set;
	if (set == SET_OPEN) {
		d->reason = REASON_NOT_ISOLATED;
		return true;
	}
	if (set == SET_CLOSED) {
		d->reason = REASON_CLOSED;
		return false;
	}
	if (p->family == 4)
		d->class = class_of_ip4(bank, peer4);
	else
		d->class = class_of_mapped(bank, (const __u8 *)peer6, 0);
	__u32 row = page_slot(&sets, bank * sets_size + set, d->class >> 8);
	__u32 ports = page_slot(&rows, bank * rows_size + row, d->class);
	bool allowed = ports == PORTS_ALL || (ports >= PORTS_FIRST && port_allowed(bank, ports, p, port));
	d->reason = allowed ? REASON_POLICY : p->has_ports || !ports ? REASON_NO_RULE : REASON_FRAGMENT;
	return allowed;
}
