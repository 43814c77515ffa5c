/* SPDX-License-Identifier: Apache-2.0 */
/* What the table of flows is used for: the replies to what was opened pass. State is a permission of its own only for packets that the
 * policy of their own direction does not allow, and it is believed only as long as the policy still allows the direction
 * in which the flow was opened.
 *
 * A connection is remembered by its first packet; later ones, which the policy allows by themselves, cost no look-up. State
 * that was lost heals on demand: a reply that finds none, of a flow that the policy would allow, is dropped, and makes the
 * pod's later packets look for a while whether their flow is known, and remember it if not. */
#pragma once

enum {
	HEAL_S = 30,
};

static __always_inline __u32 now(void)
{
	return bpf_jiffies64();
}

/* The flow that a packet belongs to when it goes in direction dir. */
static __always_inline void flow_of(struct flow_key *k, const struct packet *p, const struct env *e, enum direction dir)
{
	__be16 pod_port = dir == EGRESS ? p->src_port : p->dst_port;
	__be16 peer_port = dir == EGRESS ? p->dst_port : p->src_port;

	k->pod = FLOW_POD(e->pod->instance, p->protocol, e->ifindex);
	k->ends = FLOW_PORTS(pod_port, peer_port);
	if (p->family == 4) {
		k->ends = FLOW_ENDS4(dir == EGRESS ? p->dst4 : p->src4, k->ends);
		k->peer[0] = flow_between(flow_end4(p->src4, p->src_port), flow_end4(p->dst4, p->dst_port));
		k->peer[1] = 0;
	} else {
		const __u64 *src = (const __u64 *)&p->src6, *dst = (const __u64 *)&p->dst6;
		k->ends = FLOW_ENDS6(flow_between(flow_end6(src, p->src_port), flow_end6(dst, p->dst_port)), k->ends);
		__builtin_memcpy(k->peer, dir == EGRESS ? dst : src, 16);
	}
}

/* Was the flow opened in direction dir, and does the policy of that direction still allow it? Found allowed once, it is
 * not asked again until the epoch changes. The packet at hand goes the other way. */
static __always_inline bool flow_still_allowed(const struct flow_key *k, __u64 state, const struct packet *p, const struct env *e,
					       enum direction dir)
{
	__u32 opened = STATE_OPENED(state);

	if (!(opened & (1 << dir)))
		return false;
	if (STATE_EPOCH(state) == e->epoch || (dir == INGRESS && opened & OPENED_BY_NODE))
		return true;
	if (!reverse_allowed(e, dir, p))
		return false;
	flow_put(k, FLOW_STATE(e->epoch, opened), p->family == 6);
	return true;
}

static __always_inline bool is_healing(const struct pod *pod)
{
	return pod->heals && pod->heal_until - now() - 1 < HEAL_S * HZ; /* not again when jiffies have come round */
}

static __always_inline void start_healing(struct pod *pod)
{
	bool healing = is_healing(pod);

	pod->heal_until = now() + HEAL_S * HZ;
	pod->heals = 1;
	if (!healing)
		__sync_fetch_and_add(&tables_of_node()->control.changes, 1);
}

/* Remembers that a packet which the policy of its own direction allows may have opened a flow. Where packets do not say that they open
 * one, none of a known flow does, be it revoked: the late answer to a question that is denied by now would let the next
 * question pass as its reply. */
static __always_inline void track(const struct packet *p, const struct env *e, bool by_node)
{
	__u32 opened = 1 << e->dir | (by_node ? OPENED_BY_NODE : 0);
	bool v6 = p->family == 6;
	struct flow_key key;
	__u64 state;

	if (!p->has_ports || (has_connections(p->protocol) && !p->opens && !by_node && !is_healing(e->pod)))
		return;
	if (!TRACK_ALL && pod_set(e, !e->dir) == SET_OPEN)
		return;
	flow_of(&key, p, e, e->dir);
	state = p->opens && !by_node ? 0 : flow_get(&key, TOUCH(e->dir), v6);
	if (state && !p->opens)
		return;
	/* Of a connection that is not known, and that the pod may have opened, it is taken for the pod's, whose can be revoked. */
	if (!state && by_node && !p->opens && has_connections(p->protocol) && reverse_allowed(e, !e->dir, p))
		opened = 1 << !e->dir;
	if (state) /* from the node: what the pod had opened between the same ports is not over because of that */
		opened |= STATE_OPENED(state);
	flow_put(&key, FLOW_STATE(state ? STATE_EPOCH(state) : e->epoch, opened), v6);
}

/* Why a packet passes that the policy of its own direction does not allow: it is a reply to a flow that was opened the other way and is
 * still allowed, or of one that is kept. REASON_NONE: it does not. */
static __always_inline enum reason judge_flow(struct __sk_buff *skb, const struct packet *p, const struct env *e)
{
	struct flow_key key;
	__u64 state;

	if (!p->has_ports || p->opens)
		return REASON_NONE;
	flow_of(&key, p, e, e->dir);
	state = flow_get(&key, TOUCH_REPLY(!e->dir, e->epoch), p->family == 6);
	if (state) {
		if (e->dir == INGRESS && STATE_OPENED(state) & OPENED_BY_NODE && p->protocol == IPPROTO_TCP && !p->fragment && made_here(skb))
			return REASON_FROM_NODE; /* the last words of a connection, for which the node has no socket any more */
		if (flow_still_allowed(&key, state, p, e, !e->dir))
			return REASON_REPLY;
		return KEEP_ESTABLISHED ? REASON_ESTABLISHED : REASON_NONE;
	}
	/* Where not all flows are remembered, one that is not known may be one that was revoked, which would come back as the peer's. */
	if (TRACK_ALL && has_connections(p->protocol) && reverse_allowed(e, !e->dir, p))
		start_healing(e->pod);
	return REASON_NONE;
}

/* An error goes to the sender of what it is about, and nowhere else: else it could carry anything to anybody. */
static __always_inline bool goes_to_sender(const struct packet *error, const struct packet *inner)
{
	const __u64 *dst = (const __u64 *)&error->dst6, *src = (const __u64 *)&inner->src6;

	return error->dst4 == inner->src4 && dst[0] == src[0] && dst[1] == src[1]; /* of the other family, all are 0 */
}

/* Is the packet an ICMP error about a packet of a flow that is known and still allowed? The inner packet went the other
 * way, so the flow it belongs to is looked up, and re-evaluated, as if that packet were at hand. An error keeps no flow from
 * timing out. */
static __always_inline bool is_related(struct __sk_buff *skb, struct scratch *s, const struct env *e)
{
	const struct packet *p = &s->packet, *inner = &s->inner;
	struct decision ignored = {};
	struct flow_key key;
	__u64 state;

	if (!p->is_error || p->fragment || !parse_inner(skb) || !goes_to_sender(p, inner))
		return false;
	flow_of(&key, inner, e, !e->dir);
	state = flow_get(&key, 0, inner->family == 6);
	if (!state)
		return false;
	if (STATE_EPOCH(state) == e->epoch || STATE_OPENED(state) & OPENED_BY_NODE || KEEP_ESTABLISHED)
		return true;
	if ((STATE_OPENED(state) & (1 << !e->dir)) && forward_allowed(e, !e->dir, inner, &ignored))
		return true;
	return (STATE_OPENED(state) & (1 << e->dir)) && reverse_allowed(e, e->dir, inner);
}
