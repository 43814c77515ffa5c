/* SPDX-License-Identifier: Apache-2.0 */
/* The flows that were opened, so that their replies pass. State is a permission of its own only for packets that the
 * policy of their own direction does not allow, and it is believed only as long as the policy still allows the direction
 * in which the flow was opened.
 *
 * A connection is remembered by its first packet; later ones, which the policy allows by themselves, cost no look-up. State
 * that was lost heals on demand: a reply that finds none, of a flow that the policy would allow, is dropped, and makes the
 * pod's later packets look for a while whether their flow is known, and remember it if not. */
#pragma once

enum {
	UDP_TIMEOUT_S = 180, /* as nf_conntrack_udp_timeout_stream; also for everything else without connections */
	FRAGMENT_TIMEOUT_S = 30, /* as net.ipv4.ipfrag_time */
	HEAL_S = 30,
};

static __always_inline __u32 now(void)
{
	return bpf_jiffies64();
}

static __always_inline bool within_s(__u32 since, __u32 seconds)
{
	return now() - since <= seconds * hz;
}

static __always_inline bool has_connections(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP;
}

union flow_key {
	struct flow4_key v4;
	struct flow6_key v6;
};

static __always_inline void flow_key(union flow_key *k, const struct packet *p, const struct env *e, enum direction dir)
{
	__be16 pod_port = dir == EGRESS ? p->src_port : p->dst_port;
	__be16 peer_port = dir == EGRESS ? p->dst_port : p->src_port;

	__builtin_memset(k, 0, sizeof(*k)); /* the verifier does not know that the family stays the same */
	if (p->family == 4) {
		k->v4.peer = dir == EGRESS ? p->dst4 : p->src4;
		k->v4.pod_port = pod_port;
		k->v4.peer_port = peer_port;
		k->v4.ifindex = e->ifindex;
		k->v4.protocol = p->protocol;
	} else {
		__builtin_memcpy(k->v6.peer, dir == EGRESS ? &p->dst6 : &p->src6, 16);
		k->v6.pod_port = pod_port;
		k->v6.peer_port = peer_port;
		k->v6.ifindex = e->ifindex;
		k->v6.protocol = p->protocol;
	}
}

/* Returns the entry of the flow if it belongs to this instance of the pod and has not timed out. */
static __always_inline struct flow_state *flow_find(union flow_key *k, const struct packet *p, const struct env *e)
{
	struct flow_state *f;

	if (p->family == 4) {
		KEEP_APART(1);
		f = bpf_map_lookup_elem(&flows4, &k->v4);
		KEEP_APART(2);
	} else {
		f = bpf_map_lookup_elem(&flows6, &k->v6);
	}
	if (!f || f->instance != e->pod->instance)
		return NULL;
	if (!has_connections(p->protocol) && !within_s(f->seen, UDP_TIMEOUT_S))
		return NULL;
	return f;
}

static __always_inline void flow_insert(union flow_key *k, const struct packet *p, const struct env *e, __u32 opened)
{
	struct flow_state f = {
		.instance = e->pod->instance,
		.epoch = e->epoch,
		.seen = now(),
		.opened = opened,
	};

	if (p->family == 4) {
		KEEP_APART(3);
		bpf_map_update_elem(&flows4, &k->v4, &f, BPF_ANY);
		KEEP_APART(4);
	} else {
		bpf_map_update_elem(&flows6, &k->v6, &f, BPF_ANY);
	}
}

/* Was the flow opened in direction dir, and does the policy of that direction still allow it? Found allowed once, it is
 * not asked again until the epoch changes. The packet at hand goes the other way. */
static __always_inline bool flow_still_allowed(struct flow_state *f, const struct packet *p, const struct env *e,
					       enum direction dir)
{
	if (!(f->opened & (1 << dir)))
		return false;
	if (f->epoch == e->epoch || (dir == INGRESS && f->opened & OPENED_BY_NODE))
		return true;
	if (!reverse_allowed(e, dir, p))
		return false;
	f->epoch = e->epoch;
	return true;
}

static __always_inline bool is_healing(const struct pod *pod)
{
	return pod->heals && (__s32)(pod->heal_until - now()) > 0;
}

static __always_inline void start_healing(struct pod *pod)
{
	pod->heal_until = now() + HEAL_S * hz;
	pod->heals = 1;
}

/* Remembers that a packet which the policy of its own direction allows may have opened a flow. A packet that answers a
 * flow which is still allowed opens nothing. */
static __always_inline void track(const struct packet *p, const struct env *e, bool by_node)
{
	__u32 opened = 1 << e->dir | (by_node ? OPENED_BY_NODE : 0);
	bool connection = has_connections(p->protocol);
	union flow_key key;
	struct flow_state *f;

	if (!p->has_ports || (connection && !p->opens && !is_healing(e->pod)))
		return;
	if (!track_all && pod_set(e, !e->dir) == SET_OPEN)
		return;
	flow_key(&key, p, e, e->dir);
	f = p->opens && !by_node ? NULL : flow_find(&key, p, e);
	if (!f) {
		flow_insert(&key, p, e, opened);
		return;
	}
	if (p->opens) { /* from the node: what the pod had opened between the same ports is not over because of that */
		f->opened |= opened;
		f->seen = now();
		return;
	}
	if (connection)
		return;
	if (!within_s(f->seen, 1))
		f->seen = now();
	if (!(f->opened & (1 << e->dir)) && !flow_still_allowed(f, p, e, !e->dir))
		f->opened = opened;
}

/* Is the packet a reply to a flow that was opened the other way and is still allowed? */
static __always_inline bool is_reply(const struct packet *p, const struct env *e)
{
	union flow_key key;
	struct flow_state *f;

	if (!p->has_ports || p->opens)
		return false;
	flow_key(&key, p, e, e->dir);
	f = flow_find(&key, p, e);
	if (f)
		return flow_still_allowed(f, p, e, !e->dir);
	if (has_connections(p->protocol) && reverse_allowed(e, !e->dir, p))
		start_healing(e->pod);
	return false;
}

/* Is the packet an ICMP error about a packet of a flow that is known and still allowed? The inner packet went the other
 * way, so the flow it belongs to is looked up, and re-evaluated, as if that packet were at hand. */
static __always_inline bool is_related(struct __sk_buff *skb, struct scratch *s, const struct env *e)
{
	const struct packet *p = &s->packet, *inner = &s->inner;
	struct decision ignored = {};
	union flow_key key;
	struct flow_state *f;

	if (!p->is_error || p->fragment || !parse_inner(skb))
		return false;
	flow_key(&key, inner, e, !e->dir);
	f = flow_find(&key, inner, e);
	if (!f)
		return false;
	if (f->epoch == e->epoch || f->opened & OPENED_BY_NODE)
		return true;
	if ((f->opened & (1 << !e->dir)) && forward_allowed(e, !e->dir, inner, &ignored))
		return true;
	return (f->opened & (1 << e->dir)) && reverse_allowed(e, e->dir, inner);
}
