/* SPDX-License-Identifier: Apache-2.0 */
/* The table of flows: arrays of places with FLOW_WAYS ways each. A flow is written by a few stores where the hash tables of the kernel
 * take a lock and a list (measured: 230 ns), and these tables give every pod its share:
 *
 *   - Nothing is deleted, and a flow takes the first way that is free. So a search ends at the first free way, and what is in use
 *     of a table that is not full lies close together.
 *   - Where all ways are taken, the flow that was seen the longest ago gives way if it is over; else one of the pod that has the most in
 *     this place, the new one counted, and of those the oldest with the peer that has the most of them. So a pod that opens any number
 *     of flows, to however many addresses, pushes out its own and none of a pod that has fewer there; and of a pod that it opens them
 *     to, none with a peer that has fewer there.
 *   - A packet between two pods of a node is looked for twice, as a flow of each. Both lie in the same place, which the second
 *     search then finds in the cache.
 *   - There is no lock. What two CPUs write at the same time may mix, so the state is sealed with the hash of the flow it
 *     belongs to: read under another flow, it is a number of 64 random bits, and only FLOW_STATE_BITS of them may be set. One that
 *     looks right all the same carries a random epoch, and then the policy is asked again. */
#pragma once

/* Protocols of which a packet says that it opens a flow: their flows do not time out. */
static __always_inline bool has_connections(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP;
}

enum {
	UDP_TIMEOUT_S = 180, /* as nf_conntrack_udp_timeout_stream; also for everything else without connections */
	IDLE_S = 3600,	     /* others are the first to give way then */
};

struct flow_key {
	__u64 pod;
	__u64 ends;
	__u64 peer[2]; /* IPv6; of IPv4, the first one is flow_between() */
};

#define FLOW_POD(instance, protocol, ifindex) ((__u64)(instance) | (__u64)(protocol) << 32 | (__u64)(ifindex) << 40)
#define FLOW_PORTS(pod_port, peer_port) ((__u64)(pod_port) | (__u64)(peer_port) << 16)
#define FLOW_ENDS4(peer, ports) ((__u64)(peer) | (__u64)(ports) << 32)
#define FLOW_ENDS6(between, ports) ((__u64)(between) << 32 | (ports))

/* The state of a flow in a word; 0 is none. */
#define FLOW_STATE(epoch, opened) ((__u64)(opened) << 32 | (epoch))
#define STATE_EPOCH(state) ((__u32)(state))
#define STATE_OPENED(state) ((__u32)((state) >> 32))

/* The upper half of a product depends on all bits of its factors. */
static __always_inline __u64 fold(__u64 h)
{
	return h ^ h >> 32;
}

/* A hash of an address and a port, as they lie in the packet; with a seed, so that nobody outside knows which flows share a place. */
static __always_inline __u64 flow_end4(__be32 addr, __be16 port)
{
	return fold((((__u64)addr << 16 | port) ^ tables_of_node()->control.seed) * 0x9e3779b97f4a7c15ULL);
}

/* In the order of the host, addresses differ in the lower bits, which a product spreads; in the upper ones it does not, so that those of both
 * halves would cancel out if the first one were not spread twice. */
static __always_inline __u64 flow_end6(const __u64 addr[2], __be16 port)
{
	__u64 seed = tables_of_node()->control.seed, high = bpf_be64_to_cpu(addr[0]), low = bpf_be64_to_cpu(addr[1]);

	high = fold(fold((high ^ seed) * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL);
	return fold((high ^ low ^ seed >> 32) * 0x165667b19e3779f9ULL + port * 0xc2b2ae3d27d4eb4fULL);
}

/* A hash of a flow, whichever end is named first. */
static __always_inline __u32 flow_between(__u64 one, __u64 other)
{
	return (one + other) * 0xff51afd7ed558ccdULL >> 32;
}

/* A hash of a flow as one pod sees it, with which its state is sealed. */
static __always_inline __u64 flow_seal(const struct flow_key *k, bool v6)
{
	__u64 rest = v6 ? 0 : k->peer[0]; /* in ends, of IPv6 */

	return fold((k->ends ^ rest) * 0x9e3779b97f4a7c15ULL + k->pod * 0xc2b2ae3d27d4eb4fULL);
}

/* old: in the table that flows are moved from. */
static __always_inline void *flow_place(__u32 between, bool v6, bool old)
{
	__u32 at = between & (old ? v6 ? OLD6_MASK : OLD4_MASK : v6 ? FLOWS6_MASK : FLOWS4_MASK);

	if (old) {
		if (v6) {
			KEEP_APART(3);
			return bpf_map_lookup_elem(&old6, &at);
		}
		KEEP_APART(4);
		return bpf_map_lookup_elem(&old4, &at);
	}
	if (v6) {
		KEEP_APART(1);
		return bpf_map_lookup_elem(&flows6, &at);
	}
	KEEP_APART(2);
	return bpf_map_lookup_elem(&flows4, &at);
}

static __always_inline void *flow_place_of(const struct flow_key *k, bool v6, bool old)
{
	return flow_place(v6 ? k->ends >> 32 : k->peer[0], v6, old);
}

/* How many ways the short way looks at in place: a place holds eight flows when the table is half full. */
enum { FLOW_WAYS_QUICK = 4 };

/* A way of flows6 begins as one of flows4. */
static __always_inline struct flow6 *flow_way(void *place, __u64 way, bool v6)
{
	OPAQUE(way);
	return place + (way & (FLOW_WAYS - 1)) * (v6 ? sizeof(struct flow6) : sizeof(struct flow4));
}

static __always_inline bool flow_is(const struct flow6 *w, const struct flow_key *k, bool v6)
{
	if (w->ends != k->ends || w->pod != k->pod)
		return false;
	return v6 ? w->peer[0] == k->peer[0] && w->peer[1] == k->peer[1] : ((const struct flow4 *)w)->between == (__u32)k->peer[0];
}

/* How long ago a flow was seen, in jiffies. Another CPU may have seen it in a tick that has begun only now. */
static __always_inline __u32 flow_age(const struct flow6 *w, __u32 now)
{
	return now + 1 - w->seen;
}

/* Which flows a packet keeps from timing out: those that were opened in a direction, that of a packet which passes by itself, or the other one of
 * a reply, and then only where the policies did not change since they were found allowed, since what is dropped keeps none. Where flows are
 * kept whatever policies say, all. */
enum { TOUCH_ANY_EPOCH = 1 << 8 };
#define TOUCH(dir) (KEEP_ESTABLISHED ? ~0ULL : 1ULL << (dir) | TOUCH_ANY_EPOCH)
#define TOUCH_REPLY(dir, epoch) (KEEP_ESTABLISHED ? ~0ULL : 1ULL << (dir) | (__u64)(epoch) << 32)

/* Reads a way that holds the flow. What keeps a flow from timing out, and from being the one that was seen the longest ago, is
 * written down once a second; see TOUCH. */
static __always_inline __u64 flow_read(struct flow6 *w, const struct flow_key *k, __u64 seal, __u64 touch)
{
	__u64 state = *(volatile __u64 *)&w->state ^ seal;
	__u32 now = bpf_jiffies64(), age = flow_age(w, now);

	if (state >> FLOW_STATE_BITS)
		return 0; /* torn */
	if (!has_connections(k->pod >> 32) && age > UDP_TIMEOUT_S * HZ)
		return 0;
	if (age > HZ && STATE_OPENED(state) & touch &&
	    (touch & TOUCH_ANY_EPOCH || STATE_EPOCH(state) == touch >> 32 || STATE_OPENED(state) & OPENED_BY_NODE))
		w->seen = now;
	return state;
}

static __always_inline void flow_write(struct flow6 *w, const struct flow_key *k, __u64 seal, __u64 state, __u32 seen, bool v6)
{
	w->pod = k->pod;
	w->ends = k->ends;
	if (v6) {
		w->peer[0] = k->peer[0];
		w->peer[1] = k->peer[1];
	} else {
		((struct flow4 *)w)->between = k->peer[0];
	}
	*(volatile __u64 *)&w->state = state ^ seal;
	w->seen = seen;
}

static __always_inline __u64 flow_search(const struct flow_key *k, __u64 touch, bool v6, bool old)
{
	void *place = flow_place_of(k, v6, old);
	__u64 seal = flow_seal(k, v6);

	if (!place)
		return 0;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		if (flow_is(w, k, v6))
			return flow_read(w, k, seal, touch);
		if (!w->pod)
			return 0;
	}
	return 0;
}

/* 1 where the instances in the lower halves of two words are the same, else 0. As the next one without a branch, which the CPU would
 * have to guess, and of which the verifier would have to follow both ways, way after way. */
static __always_inline __u64 same_instance(__u64 a, __u64 b)
{
	return ((__u64)(__u32)(a ^ b) - 1) >> 63;
}

/* Likewise where a flow is with a peer. */
static __always_inline __u64 same_peer(const struct flow6 *w, __u64 peer0, __u64 peer1, bool v6)
{
	__u64 differ = v6 ? (w->peer[0] ^ peer0) | (w->peer[1] ^ peer1) : (__u32)(w->ends ^ peer0);

	return ((v6 ? (__u32)differ | differ >> 32 : differ) - 1) >> 63;
}

/* The larger one of two numbers of less than 64 bits. */
static __always_inline __u64 larger(__u64 a, __u64 b)
{
	__u64 less = a - b;

	OPAQUE(less); /* or the compiler makes a branch of it after all */
	less = (__s64)less >> 63;
	OPAQUE(less);
	return a ^ ((a ^ b) & less);
}

/* How long ago the flow of a way was seen, in jiffies; in the lowest bits, the way. */
#define AGED(age, way) ((__u64)(__u32)(age) << 4 | (way))
#define AGED_WAY(aged) ((aged) & (FLOW_WAYS - 1))
#define AGED_BITS 36

/* Is a flow of no use any more: its pod has gone, it has timed out, or it was not seen for an hour? Most connections that end do so
 * without the table being told. */
static __always_inline bool flow_is_over(const struct flow6 *w, __u32 now)
{
	__u32 ifindex = w->pod >> 40;
	struct pod *pod = pod_at(ifindex);

	if (pod->ifindex != ifindex)
		pod = pod_far(ifindex);
	if (!pod || pod->instance != (__u32)w->pod)
		return true;
	return flow_age(w, now) > (has_connections(w->pod >> 32) ? IDLE_S : UDP_TIMEOUT_S) * HZ;
}

/* How many flows the pod of a way has in the place, a new one of pod counted; below it the way's age. As functions of numbers, which
 * the verifier looks at once, and takes the result to be any number: without CAP_PERFMON it refuses an index that is a constant on
 * each of several paths. */
static __always_inline __u64 flow_burden(__u32 between, __u64 pod, __u64 way, bool v6, bool old)
{
	void *place = flow_place(between, v6, old);
	struct flow6 *w;
	__u64 flows;

	if (!place)
		return 0;
	w = flow_way(place, way, v6);
	flows = same_instance(w->pod, pod);
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		flows += same_instance(w->pod, flow_way(place, i, v6)->pod);
		OPAQUE(flows); /* one after the other: the stack has no room for all */
	}
	return flows << AGED_BITS | AGED(flow_age(w, bpf_jiffies64()), way & (FLOW_WAYS - 1));
}

/* Once for each table, and the call of that of one. */
#define IN_EACH_TABLE(IN) IN(flows4, false, false) IN(flows6, true, false) IN(old4, false, true) IN(old6, true, true)
#define IN_TABLE(v6, old, what, ...)                                                                                   \
	((old) ? (v6) ? old6_##what(__VA_ARGS__) : old4_##what(__VA_ARGS__) :                                          \
		 (v6) ? flows6_##what(__VA_ARGS__) : flows4_##what(__VA_ARGS__))

#define BURDEN_IN(table, v6, old)                                                                                      \
	__noinline __u64 table##_burden(__u32 between, __u64 pod, __u64 way)                                           \
	{                                                                                                              \
		return flow_burden(between, pod, way, v6, old);                                                        \
	}

IN_EACH_TABLE(BURDEN_IN)

static __always_inline __u64 flow_most(__u32 between, __u64 pod, bool v6, bool old)
{
	__u64 most = 0;

#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++)
		most = larger(most, IN_TABLE(v6, old, burden, between, pod, i));
	return AGED_WAY(most);
}

/* The peers of all ways of a place in lanes of 16 bits, of which four are compared at a time: way by way, as pods are, an insert took up to
 * 24 times a program that only returns OK, instead of 11. */
enum { LANES = 4, LANE_BITS = 16 };
#define EACH_LANE(bits) ((bits) * 0x0001000100010001ULL)
#define LANE_OF_POD 0x8000 /* else it is the way's number, like no other */

/* A hash of a flow's peer, for a lane. Of 32,768 peers, one is taken for the same as another one. */
static __always_inline __u64 flow_lane(__u64 ends, __u64 peer0, __u64 peer1, bool v6)
{
	__u64 peer[2] = {peer0, peer1};

	return LANE_OF_POD | (v6 ? flow_end6(peer, 0) : flow_end4(ends, 0)) >> (64 - LANE_BITS + 1);
}

/* The oldest flow of a pod with the peer that it has the most flows with in the place, a new one with a peer counted; above its age,
 * how many these are. */
static __always_inline __u64 flow_most_with(__u32 between, __u64 pod, __u64 lane, bool v6, bool old)
{
	void *place = flow_place(between, v6, old);
	__u64 with[FLOW_WAYS / LANES] = {}, most = 0;
	__u32 now = bpf_jiffies64();

	if (!place)
		return 0;
#pragma unroll
	for (__u64 i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		__u64 of_pod = -same_instance(w->pod, pod), its;
		OPAQUE(of_pod);
		its = v6 ? flow_lane(0, w->peer[0], w->peer[1], true) : flow_lane(w->ends, 0, 0, false);
		with[i / LANES] |= ((its & of_pod) | (i & ~of_pod)) << i % LANES * LANE_BITS;
		OPAQUE(with[i / LANES]);
	}
#pragma unroll
	for (__u64 i = 0; i < FLOW_WAYS; i++) {
		__u64 its = with[i / LANES] >> i % LANES * LANE_BITS & 0xffff, flows = FLOW_WAYS, of_pod, differ = 0;
		OPAQUE(its);
#pragma unroll
		for (int j = 0; j < FLOW_WAYS / LANES; j++) {
			__u64 x = with[j] ^ EACH_LANE(its);
			differ += (((x & EACH_LANE(0x7fff)) + EACH_LANE(0x7fff)) | x) >> (LANE_BITS - 1) & EACH_LANE(1);
			OPAQUE(differ);
		}
		flows += same_instance(its, lane) - (EACH_LANE(differ) >> (64 - LANE_BITS));
		of_pod = -(its >> (LANE_BITS - 1));
		OPAQUE(of_pod);
		most = larger(most, (flows << AGED_BITS | AGED(flow_age(flow_way(place, i, v6), now), i)) & of_pod);
		OPAQUE(most);
	}
	return most;
}

#define MOST_WITH_IN(table, v6, old)                                                                                   \
	__noinline __u64 table##_most_with(__u32 between, __u64 pod, __u64 lane)                                       \
	{                                                                                                              \
		return flow_most_with(between, pod, lane, v6, old);                                                    \
	}

IN_EACH_TABLE(MOST_WITH_IN)

/* Beside the way of a victim: its peer has more flows there than that of the new one, so it gives way whichever is younger. */
enum { VICTIM_OF_MORE = FLOW_WAYS };

/* The way of a full place that has to give way to a flow of a pod with a peer. */
static __always_inline __u64 flow_victim(__u32 between, __u64 pod, __u64 peer0, __u64 peer1, bool v6, bool old)
{
	void *place = flow_place(between, v6, old);
	__u64 oldest = 0, own = 0, flows = 1, with_peer = 1, whose = pod, lane, most;
	__u32 now = bpf_jiffies64();

	if (!place)
		return 0;
#pragma unroll
	for (__u64 i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		__u64 its = same_instance(w->pod, pod), aged = AGED(flow_age(w, now), i);

		OPAQUE(its);
		flows += its;
		its &= same_peer(w, peer0, peer1, v6);
		OPAQUE(its);
		with_peer += its;
		oldest = larger(oldest, aged);
		own = larger(own, aged & -its);
		OPAQUE(oldest); /* one after the other: the stack has no room for all */
		OPAQUE(own);
		OPAQUE(flows);
		OPAQUE(with_peer);
	}
	if (flow_is_over(flow_way(place, AGED_WAY(oldest), v6), now))
		return AGED_WAY(oldest);
	if (with_peer > FLOW_WAYS / 2) /* no pod has more, nor has this one with another peer */
		return AGED_WAY(own);
	if (flows <= FLOW_WAYS / 2)
		whose = ((struct flow6 *)flow_way(place, flow_most(between, pod, v6, old), v6))->pod;
	lane = flow_lane(peer0, peer0, peer1, v6) & -same_instance(whose, pod);
	most = IN_TABLE(v6, old, most_with, between, whose, lane);
	return AGED_WAY(most) | ((with_peer - (most >> AGED_BITS)) >> 63) * VICTIM_OF_MORE;
}

#define VICTIM_IN(table4, table6, old)                                                                                 \
	__noinline __u64 table4##_victim(__u32 between, __u64 pod, __u32 peer)                                         \
	{                                                                                                              \
		return flow_victim(between, pod, peer, 0, false, old);                                                 \
	}                                                                                                              \
	__noinline __u64 table6##_victim(__u32 between, __u64 pod, __u64 peer0, __u64 peer1)                           \
	{                                                                                                              \
		return flow_victim(between, pod, peer0, peer1, true, old);                                             \
	}

VICTIM_IN(flows4, flows6, false)
VICTIM_IN(old4, old6, true)

/* Writes a flow that was seen at a time, in jiffies. Where it is not to replace what is known, it neither does so if it is known itself,
 * nor pushes out a younger one of its pod, unless that is with a peer that has more. */
static __always_inline void flow_insert(const struct flow_key *k, __u64 state, __u32 seen, bool replace, bool v6, bool old)
{
	void *place = flow_place_of(k, v6, old);
	__u64 seal = flow_seal(k, v6), way;
	__u32 between = v6 ? k->ends >> 32 : k->peer[0];
	struct flow6 *victim;

	if (!place)
		return;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		bool free = !w->pod;
		if (free || flow_is(w, k, v6)) {
			if (free || replace)
				flow_write(w, k, seal, state, seen, v6);
			return;
		}
	}
	if (old)
		way = v6 ? old6_victim(between, k->pod, k->peer[0], k->peer[1]) : old4_victim(between, k->pod, k->ends);
	else
		way = v6 ? flows6_victim(between, k->pod, k->peer[0], k->peer[1]) : flows4_victim(between, k->pod, k->ends);
	victim = flow_way(place, way, v6);
	if (!replace && !(way & VICTIM_OF_MORE) && same_instance(victim->pod, k->pod) && (__s32)(victim->seen - seen) > 0)
		return;
	flow_write(victim, k, seal, state, seen, v6);
}

/* As functions, for the long way, and for where the short way ends. */
#define FLOWS_IN(table4, table6, old)                                                                                  \
	__noinline __u64 table4##_get(__u64 pod, __u64 ends, __u32 between, __u64 touch)                               \
	{                                                                                                              \
		struct flow_key k = {.pod = pod, .ends = ends, .peer = {between}};                                     \
		return flow_search(&k, touch, false, old);                                                             \
	}                                                                                                              \
	__noinline __u64 table6##_get(__u64 pod, __u64 ends, __u64 peer0, __u64 peer1, __u64 touch)                    \
	{                                                                                                              \
		struct flow_key k = {.pod = pod, .ends = ends, .peer = {peer0, peer1}};                                \
		return flow_search(&k, touch, true, old);                                                              \
	}                                                                                                              \
	__noinline int table4##_put(__u64 pod, __u64 ends, __u32 between, __u64 state)                                 \
	{                                                                                                              \
		struct flow_key k = {.pod = pod, .ends = ends, .peer = {between}};                                     \
		flow_insert(&k, state, bpf_jiffies64(), true, false, old);                                             \
		return 0;                                                                                              \
	}                                                                                                              \
	__noinline int table6##_put(__u64 pod, __u64 ends, __u64 peer0, __u64 peer1, __u64 state)                      \
	{                                                                                                              \
		struct flow_key k = {.pod = pod, .ends = ends, .peer = {peer0, peer1}};                                \
		flow_insert(&k, state, bpf_jiffies64(), true, true, old);                                              \
		return 0;                                                                                              \
	}

FLOWS_IN(flows4, flows6, false)
FLOWS_IN(old4, old6, true)

/* While flows are moved, the programs of some pods and directions are not replaced yet and know the old table only. So what is not in
 * the new one is looked up in the old one, and what is written is written to both. */
static __always_inline __u64 flow_get_old(const struct flow_key *k, __u64 touch, bool v6)
{
	if (!MOVING)
		return 0;
	return v6 ? old6_get(k->pod, k->ends, k->peer[0], k->peer[1], touch) : old4_get(k->pod, k->ends, k->peer[0], touch);
}

static __always_inline void flow_put_old(const struct flow_key *k, __u64 state, bool v6)
{
	if (!MOVING)
		return;
	if (v6)
		old6_put(k->pod, k->ends, k->peer[0], k->peer[1], state);
	else
		old4_put(k->pod, k->ends, k->peer[0], state);
}

static __always_inline __u64 flow_get(const struct flow_key *k, __u64 touch, bool v6)
{
	__u64 state = v6 ? flows6_get(k->pod, k->ends, k->peer[0], k->peer[1], touch) : flows4_get(k->pod, k->ends, k->peer[0], touch);

	return state ?: flow_get_old(k, touch, v6);
}

static __always_inline void flow_put(const struct flow_key *k, __u64 state, bool v6)
{
	if (v6)
		flows6_put(k->pod, k->ends, k->peer[0], k->peer[1], state);
	else
		flows4_put(k->pod, k->ends, k->peer[0], state);
	flow_put_old(k, state, v6);
}

/* For the short way: the first ways are looked at in place. The return of a function costs 8 ns where the CPU has to be kept from
 * guessing it. */
static __always_inline __u64 flow_get_quick(const struct flow_key *k, __u64 touch, bool v6)
{
	void *place = flow_place_of(k, v6, false);
	__u64 seal = flow_seal(k, v6);

	if (!place)
		return 0;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS_QUICK; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		if (flow_is(w, k, v6))
			return flow_read(w, k, seal, touch);
		if (!w->pod)
			return flow_get_old(k, touch, v6);
	}
	return flow_get(k, touch, v6);
}

static __always_inline void flow_put_quick(const struct flow_key *k, __u64 state, bool v6)
{
	void *place = flow_place_of(k, v6, false);
	__u64 seal = flow_seal(k, v6);

	if (!place)
		return;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS_QUICK; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		if (!w->pod || flow_is(w, k, v6)) {
			flow_write(w, k, seal, state, bpf_jiffies64(), v6);
			flow_put_old(k, state, v6);
			return;
		}
	}
	flow_put(k, state, v6);
}

/* Moves a way of the old table. What the new one knows already is newer there. Says whether there was a flow; where there was none,
 * none is in a later way. */
static __always_inline bool flow_move(__u32 at, __u64 way, bool v6)
{
	void *place = flow_place(at, v6, true);
	struct flow_key k = {};
	struct flow6 *w;
	__u64 state;

	if (!place)
		return false;
	w = flow_way(place, way, v6);
	k.pod = w->pod;
	k.ends = w->ends;
	k.peer[0] = v6 ? w->peer[0] : ((struct flow4 *)w)->between;
	k.peer[1] = v6 ? w->peer[1] : 0;
	state = *(volatile __u64 *)&w->state ^ flow_seal(&k, v6);
	if (k.pod && !(state >> FLOW_STATE_BITS))
		flow_insert(&k, state, w->seen, false, v6, false);
	return k.pod;
}
