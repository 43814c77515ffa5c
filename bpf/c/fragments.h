/* SPDX-License-Identifier: Apache-2.0 */
/* Later fragments carry no ports, so they follow the verdict on the first fragment of their datagram, under the policy
 * of that moment. A later fragment that comes before its first one, or belongs to none that passed, is dropped where
 * the pod is isolated and ports matter. So is one that begins before the end of the first one's transport header, which may lie
 * anywhere behind options that are cut: some receivers take the later bytes where fragments overlap, although RFC 5722 forbids it.
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

/* Nobody asks who opened a datagram, and of the epoch these bits are enough for the minutes in which it is remembered. So the state has room
 * for where later fragments may begin, in units of 8 bytes. */
enum { DATAGRAM_EPOCH_BITS = 24 };
#define DATAGRAM_STATE(epoch, from) ((__u64)(from) << DATAGRAM_EPOCH_BITS | ((epoch) & ((1U << DATAGRAM_EPOCH_BITS) - 1)))
#define DATAGRAM_FROM(state) ((state) >> DATAGRAM_EPOCH_BITS)
_Static_assert(((EXT_HEADERS - 1) * 256 + 3) >> (FLOW_STATE_BITS - DATAGRAM_EPOCH_BITS) == 0, "the end of the longest chain and of TCP fits");

/* The state of the datagram in this epoch, or 0. */
static __always_inline __u64 datagram_state(const struct flow_key *k, const struct packet *p, const struct env *e)
{
	__u64 state = flow_get(k, 0, p->family == 6);

	return state == DATAGRAM_STATE(e->epoch, DATAGRAM_FROM(state)) ? state : 0;
}

static __always_inline void fragment_passed(const struct packet *p, const struct env *e)
{
	__u64 from = (p->fragment_at + 7) / 8, known;
	struct flow_key key;

	datagram_of(&key, p, e);
	known = DATAGRAM_FROM(datagram_state(&key, p, e));
	if (known > from) /* which of two first ones counts is up to the receiver */
		from = known;
	flow_put(&key, DATAGRAM_STATE(e->epoch, from), p->family == 6);
}

static __always_inline bool follows_first(const struct packet *p, const struct env *e)
{
	struct flow_key key;
	__u64 state;

	datagram_of(&key, p, e);
	state = datagram_state(&key, p, e);
	return state && p->fragment_at / 8 >= DATAGRAM_FROM(state);
}
