/* SPDX-License-Identifier: Apache-2.0 */
/* The flows that were opened, so that their replies pass. State is a permission of its own only for packets that the
 * policy of their own direction does not allow, and it is believed only as long as the policy still allows the direction
 * in which the flow was opened. */
#pragma once

enum {
	NS_PER_S = 1000000000,
	UDP_TIMEOUT_S = 180, /* as nf_conntrack_udp_timeout_stream; also for everything else without connections */
	OPENED_EGRESS = 1 << EGRESS,
	OPENED_INGRESS = 1 << INGRESS,
};

static __always_inline __u32 now_s(void)
{
	return bpf_ktime_get_ns() / NS_PER_S;
}

static __always_inline bool has_connections(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_SCTP;
}

union flow_key {
	struct flow4_key v4;
	struct flow6_key v6;
};

static __always_inline void flow_key(union flow_key *k, const struct packet *p, __u32 ifindex, enum direction dir)
{
	__be16 pod_port = dir == EGRESS ? p->src_port : p->dst_port;
	__be16 peer_port = dir == EGRESS ? p->dst_port : p->src_port;

	__builtin_memset(k, 0, sizeof(*k));
	if (p->family == 4) {
		k->v4.peer = dir == EGRESS ? p->dst4 : p->src4;
		k->v4.pod_port = pod_port;
		k->v4.peer_port = peer_port;
		k->v4.ifindex = ifindex;
		k->v4.protocol = p->protocol;
	} else {
		__builtin_memcpy(k->v6.peer, dir == EGRESS ? &p->dst6 : &p->src6, 16);
		k->v6.pod_port = pod_port;
		k->v6.peer_port = peer_port;
		k->v6.ifindex = ifindex;
		k->v6.protocol = p->protocol;
	}
}

/* Returns the entry of the flow if it belongs to this instance of the pod and has not timed out. */
static __always_inline struct flow_state *flow_find(union flow_key *k, const struct packet *p, const struct pod *pod)
{
	struct flow_state *f;

	if (p->family == 4)
		f = bpf_map_lookup_elem(&flows4, &k->v4);
	else
		f = bpf_map_lookup_elem(&flows6, &k->v6);
	if (!f || f->instance != pod->instance)
		return NULL;
	if (!has_connections(p->protocol) && now_s() - f->seen > UDP_TIMEOUT_S)
		return NULL;
	return f;
}

static __always_inline void flow_insert(union flow_key *k, const struct packet *p, const struct pod *pod, __u32 epoch,
					enum direction dir)
{
	struct flow_state f = {
		.instance = pod->instance,
		.epoch = epoch,
		.seen = now_s(),
		.opened = 1 << dir,
	};

	if (p->family == 4)
		bpf_map_update_elem(&flows4, &k->v4, &f, BPF_ANY);
	else
		bpf_map_update_elem(&flows6, &k->v6, &f, BPF_ANY);
}

/* Was the flow opened in direction dir, and does the policy of that direction still allow it? Found allowed once, it is
 * not asked again until the epoch changes. */
static __always_inline bool flow_still_allowed(struct flow_state *f, const struct packet *p, const struct pod *pod,
					       __u32 epoch, enum direction dir)
{
	struct decision ignored = {};
	bool allowed;

	if (!(f->opened & (1 << dir)))
		return false;
	if (f->epoch == epoch)
		return true;
	/* The packet at hand goes the other way: its source is the peer for egress, and its source port the
	 * destination port of the flow as it was opened. */
	allowed = policy_allows(epoch & 1, pod->bank[epoch & 1].set[dir], p, dir == EGRESS ? p->src4 : p->dst4,
				dir == EGRESS ? &p->src6 : &p->dst6, p->src_port, &ignored);
	if (allowed)
		f->epoch = epoch;
	return allowed;
}
