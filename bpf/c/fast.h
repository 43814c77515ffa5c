/* SPDX-License-Identifier: Apache-2.0 */
/* The short way for most packets of most clusters: plain TCP/IPv4, from the pod's own address or to it. It decides nothing
 * that the long way in judge() would decide otherwise; when in doubt it returns REASON_NONE, and then has changed nothing. */
#pragma once

/* The first 8 bytes of an IPv4 header as one little-endian number: version and size of the header are those of a plain one,
 * and no bit says fragment. */
#define IP4_PLAIN_MASK 0xff3f0000000000ffULL
#define IP4_PLAIN 0x45ULL

enum {
	REPLY_S = 1, /* how long a reply is believed without looking its flow up */
};

/* Is the packet a reply to a flow that was allowed in this epoch? It says no where that would have to be found out again. */
static __always_inline bool fast_reply(struct flow4_key *key, __be32 ports, const struct pod *pod, __u32 epoch,
				       enum direction dir)
{
	__u32 instance = pod->instance, at = (key->peer ^ ports * 0x9e3779b1 ^ key->ifindex) * 0x85ebca6b >> 20;
	struct flow_state *f;
	struct reply *r;

	at &= REPLIES_SIZE - 1;
	r = bpf_map_lookup_elem(&replies, &at);
	if (!r)
		return false;
	if (r->peer == key->peer && r->ports == ports && r->ifindex == key->ifindex && r->instance == instance &&
	    r->epoch == epoch && r->direction == dir && within_s(r->seen, REPLY_S))
		return true;
	KEEP_APART(11);
	f = bpf_map_lookup_elem(&flows4, key);
	KEEP_APART(12);
	if (!f || f->instance != instance || f->epoch != epoch || !(f->opened & (1 << !dir)))
		return false;
	r->epoch = epoch - 1; /* void while it is written: the other direction's program may interrupt this one */
	r->peer = key->peer;
	r->ports = ports;
	r->ifindex = key->ifindex;
	r->instance = instance;
	r->direction = dir;
	r->seen = now();
	*(volatile __u32 *)&r->epoch = epoch;
	return true;
}

/* Was the last packet on this CPU of the same flow, and did it pass under the same tables? */
static __always_inline enum reason same_as_last(const struct last *last, __be32 peer, __be32 ports, __u32 ifindex,
						const struct pod *pod, __u32 epoch)
{
	if (last->peer != peer || last->ports != ports || last->ifindex != ifindex || last->instance != pod->instance ||
	    last->epoch != epoch || pod->heals)
		return REASON_NONE;
	if (last->reason == REASON_REPLY && !within_s(last->seen, REPLY_S))
		return REASON_NONE;
	return last->reason;
}

static __always_inline void remember_last(struct last *last, __be32 peer, __be32 ports, __u32 ifindex, const struct pod *pod,
					  __u32 epoch, enum reason reason, __u32 class)
{
	*(volatile __u32 *)&last->epoch = epoch - 1; /* void while it is written: others may run on this CPU meanwhile */
	last->peer = peer;
	last->ports = ports;
	last->ifindex = ifindex;
	last->instance = pod->instance;
	last->reason = reason;
	if (harness)
		last->class = class;
	*(volatile __u32 *)&last->epoch = epoch;
}

static __always_inline enum reason fast(struct __sk_buff *skb, struct cpu *cpu, __u32 ifindex, __u32 epoch, enum direction dir)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *l4 = ip + sizeof(struct iphdr);
	struct last *last = &cpu->last[dir];
	struct pod *pod = pod_at(ifindex);
	__u64 bank = epoch & (BANKS - 1);
	enum reason reason;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present || (void *)(l4 + TCP_BYTES) > end)
		return REASON_NONE;
	__u64 head = *(__u64 *)ip, next = *(__u64 *)(ip + 8);
	__u32 total = bpf_ntohs(head >> 16);
	if ((head & IP4_PLAIN_MASK) != IP4_PLAIN || (next >> 8 & 0xff) != IPPROTO_TCP ||
	    total < sizeof(struct iphdr) + TCP_BYTES || ETH_HLEN + total > skb->len || !pod->instance)
		return REASON_NONE;
	__be32 src = next >> 32, peer = src, ports = *(__be32 *)l4;
	if (dir == EGRESS) {
		if (src != pod->ip4 || !pod->has_ip4)
			return REASON_NONE;
		peer = *(__be32 *)(ip + 16);
	} else if (from_node(skb)) {
		return REASON_NONE;
	}
	bool opens = (l4[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN, allowed;
	__u32 set, class = 0;
	OPAQUE(bank);
	if (!opens) {
		reason = same_as_last(last, peer, ports, ifindex, pod, epoch);
		if (reason != REASON_NONE) {
			if (harness)
				note(skb, pod->bank[bank].set[dir], last->class);
			return reason;
		}
	}

	set = pod->bank[bank].set[dir];
	if (set >= SET_FIRST) {
		struct rule_bank *b = rules_of(epoch);
		class = slot_of_ip4(epoch, bpf_ntohl(peer));
		if (class & PEER_SPARSE)
			return REASON_NONE;
		__u32 word = ports_of(b, set, class);
		allowed = word && page_allows(b, word >> PORTS_TCP_SHIFT, bpf_ntohs(ports >> 16));
		reason = allowed ? REASON_POLICY : REASON_NO_RULE;
	} else if (set == SET_OPEN) {
		allowed = true;
		reason = REASON_NOT_ISOLATED;
	} else if (set == SET_CLOSED) {
		allowed = false;
		reason = REASON_CLOSED;
	} else {
		return REASON_NONE;
	}
	note(skb, set, class);
	if (!allowed && opens)
		return tables_of_node()->control.events ? REASON_NONE : reason;
	if (allowed && opens && !track_all && pod->bank[bank].set[!dir] == SET_OPEN)
		return reason;
	if (allowed && !opens) {
		if (is_healing(pod))
			return REASON_NONE;
		remember_last(last, peer, ports, ifindex, pod, epoch, reason, class);
		return reason;
	}

	struct flow4_key key = {
		.peer = peer,
		.pod_port = dir == EGRESS ? ports : ports >> 16,
		.peer_port = dir == EGRESS ? ports >> 16 : ports,
		.ifindex = ifindex,
		.protocol = IPPROTO_TCP,
	};
	if (allowed) {
		struct flow_state f = {.instance = pod->instance, .epoch = epoch, .seen = now(), .opened = 1 << dir};
		KEEP_APART(13);
		bpf_map_update_elem(&flows4, &key, &f, BPF_ANY);
		KEEP_APART(14);
		return reason;
	}
	if (!fast_reply(&key, ports, pod, epoch, dir))
		return REASON_NONE;
	last->seen = now();
	remember_last(last, peer, ports, ifindex, pod, epoch, REASON_REPLY, class);
	return REASON_REPLY;
}
