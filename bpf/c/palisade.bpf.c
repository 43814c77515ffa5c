// SPDX-License-Identifier: Apache-2.0
/* Palisade's datapath: one program per direction for all pods of the node and both address families, on the host side of
 * each pod's veth. What enters the host there is the pod's egress, what leaves the host there its ingress.
 *
 * The order of a verdict:
 *   1. the pod behind the interface,   2. the packet's few words,   3. may the pod use this source address,
 *   4. the policy of the packet's own direction,   5. only if that does not allow it: does it belong to what is
 *   allowed (a later fragment, a reply, an ICMP error).
 *
 * Reading order: layout.h, tables.h, packet.h, policy.h, flows.h, fragments.h, this file. */
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "tables.h"
#include "packet.h"
#include "policy.h"
#include "flows.h"
#include "fragments.h"

/* The types that appear in no map are named here for the generator. */
const struct event *unused_event __attribute__((unused));
const enum reason *unused_reason __attribute__((unused));
const enum set *unused_set __attribute__((unused));
const enum ports *unused_ports __attribute__((unused));
const enum peer_slot *unused_peer_slot __attribute__((unused));
const enum mode *unused_mode __attribute__((unused));
const enum direction *unused_direction __attribute__((unused));

static __always_inline struct pod *find_pod(__u32 ifindex)
{
	if (ifindex < POD_ARRAY)
		return bpf_map_lookup_elem(&pods, &ifindex);
	return bpf_map_lookup_elem(&pods_far, &ifindex);
}

/* A packet that a process of the node sends towards a pod still carries that process's socket; one that is forwarded
 * lost its socket when the node received it. Addresses prove nothing here: pods can forge them. */
static __always_inline bool from_node(struct __sk_buff *skb)
{
	struct bpf_sock *sk;

	if (harness)
		return skb->cb[0];
	sk = skb->sk;
	return sk && sk->family != 0 /* AF_UNSPEC */;
}

static __always_inline bool source_is_own(const struct packet *p, const struct pod *pod)
{
	if (pod->may_route)
		return true;
	if (p->family == 4)
		return pod->has_ip4 && p->src4 == pod->ip4;
	const __u32 *own = (const __u32 *)pod->ip6, *src = p->src6.in6_u.u6_addr32;
	return pod->has_ip6 && src[0] == own[0] && src[1] == own[1] && src[2] == own[2] && src[3] == own[3];
}

/* The verdict on a packet of a pod that is known and sends from its own address. */
static __always_inline enum reason judge_ip(struct __sk_buff *skb, struct pod *pod, __u32 ifindex, __u32 epoch,
					    enum direction dir, __u32 set, struct packet *p, struct decision *d)
{
	enum reason reason;

	if (policy_allows(epoch & 1, set, p, dir == EGRESS ? p->dst4 : p->src4, dir == EGRESS ? &p->dst6 : &p->src6,
			  p->dst_port, d)) {
		track(p, pod, ifindex, epoch, dir);
		reason = d->reason;
	} else if (p->fragment == LATER_FRAGMENT) {
		return follows_first(p, pod, ifindex, epoch, dir) ? REASON_LATER_FRAGMENT : d->reason;
	} else if (is_reply(p, pod, ifindex, epoch, dir)) {
		reason = REASON_REPLY;
	} else {
		return is_related(skb, p, pod, ifindex, epoch, dir) ? REASON_RELATED : d->reason;
	}
	if (p->fragment == FIRST_FRAGMENT && set != SET_OPEN)
		fragment_passed(p, pod, ifindex, epoch, dir);
	return reason;
}

static __always_inline enum reason judge(struct __sk_buff *skb, struct pod *pod, __u32 ifindex, __u32 epoch, __u32 mode,
					 enum direction dir, struct packet *p, struct decision *d)
{
	struct pod_sets *sets = &pod->bank[epoch & 1];
	__u32 set = sets->set[dir];
	enum parse_result parsed = parse(skb, p);

	if (parsed == PARSE_NEIGHBOUR)
		return REASON_NEIGHBOUR;
	if (!pod->instance || set == SET_UNKNOWN) {
		d->reason = mode == MODE_STANDARD ? REASON_UNKNOWN_POD_OPEN : REASON_UNKNOWN_POD;
		if (mode == MODE_STRICT && dir == INGRESS && from_node(skb))
			return REASON_FROM_NODE;
		if (!pod->instance || mode == MODE_STRICT)
			return d->reason;
		set = SET_OPEN;
	}
	if (parsed != PARSED) {
		if (set == SET_OPEN)
			return REASON_NOT_ISOLATED;
		return parsed == PARSE_MALFORMED ? REASON_MALFORMED : REASON_UNSUPPORTED;
	}
	if (dir == EGRESS && !source_is_own(p, pod))
		return REASON_SPOOFED;
	if (dir == INGRESS && from_node(skb)) {
		track(p, pod, ifindex, epoch, dir);
		return REASON_FROM_NODE;
	}
	return judge_ip(skb, pod, ifindex, epoch, dir, set, p, d);
}

static __always_inline void report(const struct packet *p, const struct decision *d, __u32 ifindex, __u32 epoch,
				   enum direction dir)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_ns();
	e->ifindex = ifindex;
	e->set = d->set;
	e->class = d->class;
	e->epoch = epoch;
	e->direction = dir;
	e->reason = d->reason;
	e->protocol = p->protocol;
	e->family = p->family;
	e->src_port = p->src_port;
	e->dst_port = p->dst_port;
	if (p->family == 4) {
		map_to_ip6(p->src4, e->src);
		map_to_ip6(p->dst4, e->dst);
	} else if (p->family == 6) {
		__builtin_memcpy(e->src, &p->src6, 16);
		__builtin_memcpy(e->dst, &p->dst6, 16);
	}
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int verdict(struct __sk_buff *skb, enum direction dir)
{
	__u32 zero = 0, ifindex = skb->ifindex;
	struct decision d = {};
	struct packet p = {};
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct pod *pod, nobody = {};

	if (!c)
		return TC_ACT_SHOT;
	if (harness)
		ifindex = skb->mark;
	pod = find_pod(ifindex);
	__u32 epoch = *(volatile __u32 *)&c->epoch;
	d.reason = judge(skb, pod ?: &nobody, ifindex, epoch, c->mode, dir, &p, &d);

	__u32 slot = dir * REASON_COUNT + d.reason;
	__u64 *count = bpf_map_lookup_elem(&counters, &slot);
	if (count)
		*count += skb->gso_segs ?: 1;
	if (harness) {
		skb->cb[1] = d.reason;
		skb->cb[2] = d.set;
		skb->cb[3] = d.class;
	}
	if (d.reason < REASON_FIRST_DROP)
		return TC_ACT_UNSPEC; /* others on this interface may still have a say */
	if (c->events)
		report(&p, &d, ifindex, epoch, dir);
	return TC_ACT_SHOT;
}

SEC("tc")
int pod_egress(struct __sk_buff *skb)
{
	return verdict(skb, EGRESS);
}

SEC("tc")
int pod_ingress(struct __sk_buff *skb)
{
	return verdict(skb, INGRESS);
}

char _license[] SEC("license") = "Apache-2.0";
