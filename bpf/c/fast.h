/* SPDX-License-Identifier: Apache-2.0 */
/* The short way for most packets of most clusters: a plain TCP/IPv4 packet at an isolated pod that the tables decide without
 * state, because they allow it and it opens nothing, or deny it and it can be no reply. It decides nothing that the long
 * way in judge() would decide otherwise; when in doubt it returns REASON_NONE. */
#pragma once

static __always_inline enum reason fast(struct __sk_buff *skb, const struct env *e)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u8 *l4 = (void *)(ip + 1);
	__u32 bank = e->epoch & 1, set = pod_set(e, e->dir), slot;
	struct peer_tables *peers;
	struct rule_tables *t;
	__be32 peer;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present || set < SET_FIRST || !e->pod->instance)
		return REASON_NONE;
	if ((void *)(l4 + TCP_BYTES) > end || *(__u8 *)ip != 0x45 || ip->protocol != IPPROTO_TCP)
		return REASON_NONE;
	__u32 total = bpf_ntohs(ip->tot_len);
	if (ip->frag_off & bpf_htons(IP_OFFSET | IP_MORE) || total < sizeof(*ip) + TCP_BYTES || ETH_HLEN + total > skb->len)
		return REASON_NONE;
	if (e->dir == EGRESS) {
		if (!e->pod->has_ip4 || ip->saddr != e->pod->ip4)
			return REASON_NONE;
		peer = ip->daddr;
	} else {
		if (from_node(skb))
			return REASON_NONE;
		peer = ip->saddr;
	}
	peers = part(PART_PEERS + bank);
	t = part(PART_RULES);
	if (!peers || !t)
		return REASON_NONE;
	slot = slot_of_ip4(peers, bpf_ntohl(peer));
	if (slot & PEER_SPARSE)
		return REASON_NONE;
	__u32 class = slot & PEER_CLASS_MASK;
	note(skb, set, class);
	slot = PAGE_SLOT(t, bank, sets, set, class >> 8);
	slot = PAGE_SLOT(t, bank, rows, slot, class);
	bool opens = (l4[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	bool allowed = slot < PORTS_FIRST ? slot == PORTS_ALL
					  : word_allows(t, bank, ENTRY(e->node, bank, port_sets, slot)->tcp,
							bpf_ntohs(*(__be16 *)(l4 + 2)));
	if (allowed == opens || (allowed && is_healing(e)))
		return REASON_NONE;
	return allowed ? REASON_POLICY : REASON_NO_RULE;
}
