/* SPDX-License-Identifier: Apache-2.0 */
/* The table of flows: arrays of places with FLOW_WAYS ways each. A flow is written by a few stores where the hash tables of the kernel
 * take a lock and a list (measured: 230 ns), and these tables give every pod its share:
 *
 *   - Nothing is deleted, and a flow takes the first way that is free. So a search ends at the first free way, and what is in use
 *     of a table that is not full lies close together.
 *   - Where all ways are taken, a flow that is over gives way; else one of the pod that has the most flows in this place, the new one
 *     counted: the one that was seen the longest ago. So a pod that opens any number of flows pushes out its own, and none of a pod
 *     that has fewer there.
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
	__u64 peer[2]; /* IPv6 */
};

#define FLOW_POD(instance, protocol, ifindex) ((__u64)(instance) | (__u64)(protocol) << 32 | (__u64)(ifindex) << 40)
#define FLOW_PORTS(pod_port, peer_port) ((__u64)(pod_port) | (__u64)(peer_port) << 16)
#define FLOW_ENDS4(peer, ports) ((__u64)(peer) | (__u64)(ports) << 32)

/* The state of a flow in a word; 0 is none. */
#define FLOW_STATE(epoch, opened) ((__u64)(opened) << 32 | (epoch))
#define STATE_EPOCH(state) ((__u32)(state))
#define STATE_OPENED(state) ((__u32)((state) >> 32))

static __always_inline __u64 flow_hash(const struct flow_key *k, bool v6)
{
	__u64 h = (k->ends ^ tables_of_node()->control.seed) * 0x9e3779b97f4a7c15ULL, pod = k->pod * 0xc2b2ae3d27d4eb4fULL;

	if (v6)
		pod += (k->peer[0] ^ k->peer[1] << 29) * 0x165667b19e3779f9ULL ^ k->peer[1] * 0x85ebca77c2b2ae63ULL;
	h ^= h >> 32 ^ pod;
	h *= 0xff51afd7ed558ccdULL;
	return h ^ h >> 32;
}

static __always_inline void *flow_place(__u64 hash, bool v6)
{
	__u32 at = hash >> 32 & (v6 ? FLOWS6_MASK : FLOWS4_MASK);

	if (v6) {
		KEEP_APART(1);
		return bpf_map_lookup_elem(&flows6, &at);
	}
	KEEP_APART(2);
	return bpf_map_lookup_elem(&flows4, &at);
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
	return w->ends == k->ends && w->pod == k->pod && (!v6 || (w->peer[0] == k->peer[0] && w->peer[1] == k->peer[1]));
}

/* Reads a way that holds the flow. What keeps a flow from timing out, and from being the one that was seen the longest ago, is
 * written down once a second. */
static __always_inline __u64 flow_read(struct flow6 *w, const struct flow_key *k, __u64 hash, bool touch)
{
	__u64 state = *(volatile __u64 *)&w->state ^ hash, now = bpf_jiffies64(), age = now - w->seen;

	if (state >> FLOW_STATE_BITS)
		return 0; /* torn */
	if (!has_connections(k->pod >> 32) && (__s64)age > (__s64)(UDP_TIMEOUT_S * HZ))
		return 0;
	if (touch && (__s64)age >= (__s64)HZ)
		w->seen = now;
	return state;
}

static __always_inline void flow_write(struct flow6 *w, const struct flow_key *k, __u64 hash, __u64 state, bool v6)
{
	w->pod = k->pod;
	w->ends = k->ends;
	if (v6) {
		w->peer[0] = k->peer[0];
		w->peer[1] = k->peer[1];
	}
	*(volatile __u64 *)&w->state = state ^ hash;
	w->seen = bpf_jiffies64();
}

static __always_inline __u64 flow_search(const struct flow_key *k, bool touch, bool v6)
{
	__u64 hash = flow_hash(k, v6);
	void *place = flow_place(hash, v6);

	if (!place)
		return 0;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		if (flow_is(w, k, v6))
			return flow_read(w, k, hash, touch);
		if (!w->pod)
			return 0;
	}
	return 0;
}

/* 1 where the instances in the lower halves of two words are the same, else 0; without a branch. */
static __always_inline __u64 same_instance(__u64 a, __u64 b)
{
	return ((__u64)(__u32)(a ^ b) - 1) >> 63;
}

/* Is a flow of no use any more: its pod has gone, it has timed out, or it was not seen for an hour? Most connections that end do so
 * without the table being told. */
static __always_inline bool flow_is_over(const struct flow6 *w, __u64 age)
{
	__u32 ifindex = w->pod >> 40;

	if (ifindex < PODS_SIZE && pod_at(ifindex)->instance != (__u32)w->pod)
		return true;
	return (__s64)age > (__s64)((has_connections(w->pod >> 32) ? IDLE_S : UDP_TIMEOUT_S) * HZ);
}

/* How much a way deserves to give way: first whether its flow is over, then its pod's flows in the place, then the time since it
 * was seen; the way itself in the lowest bits. */
static __always_inline __u64 flow_burden(__u64 hash, __u64 pod, __u64 way, bool v6)
{
	void *place = flow_place(hash, v6);
	struct flow6 *w;
	__u64 flows, age;

	if (!place)
		return 0;
	w = flow_way(place, way, v6);
	flows = same_instance(w->pod, pod);
	age = bpf_jiffies64() - w->seen;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		flows += same_instance(w->pod, flow_way(place, i, v6)->pod);
		OPAQUE(flows); /* one after the other: the stack has no room for all */
	}
	if (flow_is_over(w, age))
		flows = 2 * FLOW_WAYS;
	return flows << 40 | (__u64)(__u32)age << 4 | (way & (FLOW_WAYS - 1));
}

/* As functions of numbers, which the verifier looks at once, and takes the result to be any number: without CAP_PERFMON it refuses an
 * index that is a constant on each of several paths. */
__noinline __u64 flow4_burden(__u64 hash, __u64 pod, __u64 way)
{
	return flow_burden(hash, pod, way, false);
}

__noinline __u64 flow6_burden(__u64 hash, __u64 pod, __u64 way)
{
	return flow_burden(hash, pod, way, true);
}

/* One look at all ways, which settles most cases: the oldest flow that is over, else the oldest of the pod's own; above that how many
 * the pod has, the new one counted. */
#define SURVEY_OVER (1ULL << 62)
#define SURVEY_OWN (1ULL << 61)
#define SURVEY_FLOWS_SHIFT 40
#define SURVEY_FLOWS(survey) ((survey) >> SURVEY_FLOWS_SHIFT & 0xff)

static __always_inline __u64 flow_survey(__u64 hash, __u64 pod, bool v6)
{
	void *place = flow_place(hash, v6);
	__u64 now = bpf_jiffies64(), most = 0, flows = 1;

	if (!place)
		return 0;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		__u64 own = same_instance(w->pod, pod), age = now - w->seen, burden;

		flows += own;
		burden = own * SURVEY_OWN | (__u64)(__u32)age << 4 | i;
		if (flow_is_over(w, age))
			burden |= SURVEY_OVER;
		if (burden > most)
			most = burden;
		OPAQUE(most); /* one after the other: the stack has no room for all */
	}
	return most | flows << SURVEY_FLOWS_SHIFT;
}

__noinline __u64 flow4_survey(__u64 hash, __u64 pod)
{
	return flow_survey(hash, pod, false);
}

__noinline __u64 flow6_survey(__u64 hash, __u64 pod)
{
	return flow_survey(hash, pod, true);
}

/* The way that has to give way to a flow of a pod. */
static __always_inline __u64 flow_victim(__u64 hash, __u64 pod, bool v6)
{
	__u64 survey = v6 ? flow6_survey(hash, pod) : flow4_survey(hash, pod), most = 0;

	if (survey & SURVEY_OVER || SURVEY_FLOWS(survey) > FLOW_WAYS / 2) /* more than half: nobody has more */
		return survey & (FLOW_WAYS - 1);
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		__u64 burden = v6 ? flow6_burden(hash, pod, i) : flow4_burden(hash, pod, i);
		if (burden > most)
			most = burden;
	}
	return most & (FLOW_WAYS - 1);
}

static __always_inline void flow_insert(const struct flow_key *k, __u64 state, bool v6)
{
	__u64 hash = flow_hash(k, v6);
	void *place = flow_place(hash, v6);

	if (!place)
		return;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		if (!w->pod || flow_is(w, k, v6)) {
			flow_write(w, k, hash, state, v6);
			return;
		}
	}
	flow_write(flow_way(place, flow_victim(hash, k->pod, v6), v6), k, hash, state, v6);
}

__noinline __u64 flow4_get(__u64 pod, __u64 ends, __u32 touch)
{
	struct flow_key k = {.pod = pod, .ends = ends};

	return flow_search(&k, touch, false);
}

__noinline __u64 flow6_get(__u64 pod, __u64 ends, __u64 peer0, __u64 peer1, __u32 touch)
{
	struct flow_key k = {.pod = pod, .ends = ends, .peer = {peer0, peer1}};

	return flow_search(&k, touch, true);
}

__noinline int flow4_put(__u64 pod, __u64 ends, __u64 state)
{
	struct flow_key k = {.pod = pod, .ends = ends};

	flow_insert(&k, state, false);
	return 0;
}

__noinline int flow6_put(__u64 pod, __u64 ends, __u64 peer0, __u64 peer1, __u64 state)
{
	struct flow_key k = {.pod = pod, .ends = ends, .peer = {peer0, peer1}};

	flow_insert(&k, state, true);
	return 0;
}

static __always_inline __u64 flow_get(const struct flow_key *k, bool touch, bool v6)
{
	return v6 ? flow6_get(k->pod, k->ends, k->peer[0], k->peer[1], touch) : flow4_get(k->pod, k->ends, touch);
}

static __always_inline void flow_put(const struct flow_key *k, __u64 state, bool v6)
{
	if (v6)
		flow6_put(k->pod, k->ends, k->peer[0], k->peer[1], state);
	else
		flow4_put(k->pod, k->ends, state);
}

/* For the short way: the first ways are looked at in place. The return of a function costs 8 ns where the CPU has to be kept from
 * guessing it. */
static __always_inline __u64 flow_get_quick(const struct flow_key *k, bool v6)
{
	__u64 hash = flow_hash(k, v6);
	void *place = flow_place(hash, v6);

	if (!place)
		return 0;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS_QUICK; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		if (flow_is(w, k, v6))
			return flow_read(w, k, hash, true);
		if (!w->pod)
			return 0;
	}
	return flow_get(k, true, v6);
}

static __always_inline void flow_put_quick(const struct flow_key *k, __u64 state, bool v6)
{
	__u64 hash = flow_hash(k, v6);
	void *place = flow_place(hash, v6);

	if (!place)
		return;
#pragma unroll
	for (int i = 0; i < FLOW_WAYS_QUICK; i++) {
		struct flow6 *w = flow_way(place, i, v6);
		if (!w->pod || flow_is(w, k, v6)) {
			flow_write(w, k, hash, state, v6);
			return;
		}
	}
	flow_put(k, state, v6);
}
