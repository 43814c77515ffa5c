/* SPDX-License-Identifier: Apache-2.0 */
/* Later fragments carry no ports, so they follow the verdict on the first fragment of their datagram, under the policy
 * of that moment. A later fragment that comes before its first one, or belongs to none that passed, is dropped where
 * the pod is isolated and ports matter.
 *
 * A datagram is remembered among the flows, where each pod has its share: as one of a protocol that flows do not have, with its
 * identification in place of the ports. Those of two ends lie in 16 places: in one they would push each other out, and in all places
 * the pod's flows. */
#pragma once

static __always_inline void datagram_of(struct flow_key *k, const struct packet *p, const struct env *e)
{
	__u32 id = p->fragment_id;
	__u16 part = (id ^ id >> 8 ^ id >> 16 ^ id >> 24) & 15; /* whichever end of the number counts up */

	k->pod = FLOW_POD(e->pod->instance, e->dir == EGRESS ? IPPROTO_FRAGMENT : IPPROTO_ROUTING, e->ifindex);
	k->ends = id;
	if (p->family == 4) {
		k->ends = FLOW_ENDS4(e->dir == EGRESS ? p->dst4 : p->src4, k->ends);
		k->peer[0] = flow_between(flow_end4(p->src4, p->fragment_of), flow_end4(p->dst4, part));
		k->peer[1] = 0;
	} else {
		const __u64 *src = (const __u64 *)&p->src6, *dst = (const __u64 *)&p->dst6;
		k->ends = FLOW_ENDS6(flow_between(flow_end6(src, p->fragment_of), flow_end6(dst, part)), k->ends);
		__builtin_memcpy(k->peer, e->dir == EGRESS ? dst : src, 16);
	}
}

static __always_inline void fragment_passed(const struct packet *p, const struct env *e)
{
	struct flow_key key;

	datagram_of(&key, p, e);
	flow_put(&key, FLOW_STATE(e->epoch, 1 << e->dir), p->family == 6);
}

static __always_inline bool follows_first(const struct packet *p, const struct env *e)
{
	struct flow_key key;
	__u64 state;

	datagram_of(&key, p, e);
	state = flow_get(&key, 0, p->family == 6);
	return state && STATE_EPOCH(state) == e->epoch;
}
