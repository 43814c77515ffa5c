// SPDX-License-Identifier: Apache-2.0
/* Palisade's datapath: one program per direction for all pods of the node and both address families, on the host side of
 * each pod's veth. What enters the host there is the pod's egress, what leaves the host there its ingress.
 *
 * The order of a verdict:
 *   1. the pod behind the interface,   2. the packet's few words,   3. may the pod use this source address,
 *   4. the policy of the packet's own direction,   5. only if that does not allow it: does it belong to what is
 *   allowed (a later fragment, a reply, an ICMP error).
 *
 * Reading order: layout.h, tables.h, packet.h, origin.h, policy.h, flowtable.h, flows.h, fragments.h, this file, fast.h. */
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
#include "origin.h"
#include "policy.h"
#include "flowtable.h"
#include "flows.h"
#include "fragments.h"

/* The types that appear in no map are named here for the generator. */
#define UNUSED __attribute__((unused, section(".data.unused")))
const struct event *unused_event UNUSED;
const enum flow_bits *unused_flow_bits UNUSED;
const enum reason *unused_reason UNUSED;
const enum set *unused_set UNUSED;
const enum ports *unused_ports UNUSED;
const enum ports_listed *unused_ports_listed UNUSED;
const enum peer_slot *unused_peer_slot UNUSED;
const enum space *unused_space UNUSED;
const enum table_size *unused_table_size UNUSED;
const enum mode *unused_mode UNUSED;
const enum constant *unused_constant UNUSED;
const enum moved *unused_moved UNUSED;
const enum direction *unused_direction UNUSED;
const struct node_tables *unused_node_tables UNUSED;
const struct peer_tables *unused_peer_tables UNUSED;
const struct rule_tables *unused_rule_tables UNUSED;
const struct port_tables *unused_port_tables UNUSED;
const struct prefix_tables *unused_prefix_tables UNUSED;
const enum prefix6_search *unused_prefix6_search UNUSED;

/* A pod that is not in the tables is found as one without instance. */
static __always_inline struct pod *find_pod(const struct env *e)
{
	struct pod *nobody = &tables_of_node()->nobody, *pod = pod_at(e->ifindex);

	EARLY(nobody);
	if (pod->ifindex == e->ifindex)
		return pod;
	pod = pod_far(e->ifindex);
	return pod ? pod : nobody;
}

/* Tells the harness what a decision was made on. */
static __always_inline void note(struct __sk_buff *skb, __u32 set, __u32 class)
{
	if (HARNESS) {
		skb->cb[2] = set;
		skb->cb[3] = class;
	}
}

/* A packet of several segments counts as so many. */
static __always_inline void count(struct __sk_buff *skb, struct cpu *cpu, enum direction dir, __u64 reason)
{
	cpu->packets[dir][reason & (REASONS_SIZE - 1)] += skb->gso_segs ?: 1;
	if (HARNESS)
		skb->cb[1] = reason;
}

/* What a program returns for a packet that passes: TC_ACT_UNSPEC, since others on the interface may still have a say, or TC_ACT_OK
 * where there is nobody else. */
#define PASSED ((__u64)CONSTANT_MARK << 32 | CONSTANT_PASSED)

/* Ends the program. */
#define END(code)                                                                                                      \
	do {                                                                                                           \
		asm volatile("r0 = %0 ll; exit" : : "i"(code) : "r0");                                                 \
		__builtin_unreachable();                                                                               \
	} while (0)

#include "fast.h"

static __always_inline bool is_link_local(const __u8 *addr)
{
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
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

/* The neighbour at an end of a packet, among the flows: as one of a protocol that flows do not have, without ports. */
static __always_inline void neighbour_of(struct flow_key *k, const struct in6_addr *addr, const struct env *e)
{
	const __u64 *halves = (const __u64 *)addr;

	k->pod = FLOW_POD(e->pod->instance, IPPROTO_NONE, e->ifindex);
	k->ends = FLOW_ENDS6(flow_between(flow_end6(halves, 0), 0), 0);
	k->peer[0] = halves[0];
	k->peer[1] = halves[1];
}

static __always_inline bool is_link_scope(const __u8 *addr)
{
	return addr[0] == 0xff && (addr[1] & 0xf) == 2;
}

/* Did what came to a pod for discovery come from its link? A hop limit of 255 says that no router forwarded it. One of 1 says nothing, since a
 * sender can choose what is left of it on the way: that comes from a link-local address or from none, or goes to a group of the link, none
 * of which routers forward (RFC 4291, 2.5.2, 2.5.6 and 2.7). Whoever looks for neighbours is one. */
static __always_inline bool came_from_link(const struct packet *p, const struct env *e)
{
	const __u64 *src = (const __u64 *)&p->src6;
	bool of_link = !(src[0] || src[1]) || is_link_local((const __u8 *)src);
	struct flow_key key;

	if (p->discovery <= MLD_LAST || p->discovery == MLD2_REPORT)
		return of_link || is_link_scope((const __u8 *)&p->dst6);
	if (!of_link && e->pod->instance && (p->discovery == ND_SOLICITATION || p->discovery == ND_ADVERTISEMENT)) {
		neighbour_of(&key, &p->src6, e);
		flow_put(&key, FLOW_STATE(e->epoch, 1 << INGRESS), true);
	}
	return true;
}

/* Does what a pod sends for discovery stay on its link? Routers forward it like anything else, and only receivers refuse what came from afar. A pod
 * that may not route is no router, and has one address. */
static __always_inline bool stays_on_link(const struct packet *p, const struct env *e)
{
	const __u8 *src = (const __u8 *)&p->src6, *dst = (const __u8 *)&p->dst6;
	const __u64 *halves = (const __u64 *)&p->src6;
	struct flow_key key;

	if (!e->pod->may_route && (p->discovery == ND_ROUTER || p->discovery == ND_LAST))
		return false;
	if ((halves[0] || halves[1]) && !is_link_local(src) && !source_is_own(p, e->pod))
		return false;
	if (is_link_local(dst) || is_link_scope(dst))
		return true;
	if (p->discovery <= MLD_LAST) /* told to the group that it is about */
		return dst[0] == 0xff;
	/* Who is known to be on the link may be answered, and asked whether it is still there. */
	if ((p->discovery != ND_SOLICITATION && p->discovery != ND_ADVERTISEMENT) || p->end > ETH_HLEN + sizeof(struct ipv6hdr) + ND_BYTES)
		return false;
	neighbour_of(&key, &p->dst6, e);
	return flow_get(&key, 0, true);
}

static __always_inline bool is_of_link(const struct packet *p, const struct env *e)
{
	if (!p->family) /* ARP */
		return true;
	return e->dir == INGRESS ? came_from_link(p, e) : stays_on_link(p, e);
}

/* What becomes of a packet that could not be read, at a pod that is known. Others may be able to read it, so that a source which
 * is not the pod's must not get out this way either. */
static __always_inline enum reason judge_unread(const struct env *e, const struct packet *p, enum parse_result parsed, __u32 set)
{
	if (e->dir == EGRESS && !e->pod->may_route) {
		if (parsed == PARSE_TAGGED)
			return REASON_UNSUPPORTED;
		if (parsed == PARSE_MALFORMED && !p->family)
			return REASON_MALFORMED;
		if (parsed == PARSE_MALFORMED && !source_is_own(p, e->pod))
			return REASON_SPOOFED;
	}
	if (set == SET_OPEN || set == SET_UNKNOWN)
		return REASON_NOT_ISOLATED;
	return parsed == PARSE_MALFORMED ? REASON_MALFORMED : REASON_UNSUPPORTED;
}

/* The verdict on a packet of a pod that is known and sends from its own address. */
static __always_inline enum reason judge_ip(struct __sk_buff *skb, const struct env *e, struct scratch *s)
{
	struct decision *d = &s->decision;
	struct packet *p = &s->packet;
	enum reason reason;

	if (forward_allowed(e, e->dir, p, d)) {
		track(p, e, false);
		reason = d->reason;
	} else if (p->fragment == LATER_FRAGMENT) {
		return follows_first(p, e) ? REASON_LATER_FRAGMENT : d->reason;
	} else {
		reason = judge_flow(skb, p, e);
		if (reason == REASON_NONE)
			return is_related(skb, s, e) ? REASON_RELATED : d->reason;
	}
	if (p->fragment == FIRST_FRAGMENT && d->set != SET_OPEN)
		fragment_passed(p, e);
	return reason;
}

static __always_inline enum reason judge(struct __sk_buff *skb, const struct env *e, struct scratch *s)
{
	__u32 set = pod_set(e, e->dir);
	enum parse_result parsed = parse(skb, &s->packet);

	if (parsed == PARSE_NEIGHBOUR) {
		if (is_of_link(&s->packet, e))
			return REASON_NEIGHBOUR;
		parsed = PARSED;
	}
	if (!e->pod->instance || (set == SET_UNKNOWN && e->mode == MODE_STRICT)) {
		if (e->mode == MODE_STANDARD)
			return REASON_UNKNOWN_POD_OPEN;
		return e->dir == INGRESS && from_node(skb) ? REASON_FROM_NODE : REASON_UNKNOWN_POD;
	}
	if (parsed != PARSED)
		return judge_unread(e, &s->packet, parsed, set);
	if (e->dir == EGRESS && !source_is_own(&s->packet, e->pod))
		return REASON_SPOOFED;
	if (e->dir == INGRESS && from_node(skb)) {
		track(&s->packet, e, true);
		return REASON_FROM_NODE;
	}
	return judge_ip(skb, e, s);
}

static __always_inline void report(const struct packet *p, const struct decision *d, const struct env *e)
{
	struct event *ev = bpf_ringbuf_reserve(&events, sizeof(*ev), 0);

	if (!ev)
		return;
	__builtin_memset(ev, 0, sizeof(*ev));
	ev->time_ns = bpf_ktime_get_ns();
	ev->ifindex = e->ifindex;
	ev->set = d->set;
	ev->class = d->class;
	ev->epoch = e->epoch;
	ev->direction = e->dir;
	ev->reason = d->reason;
	ev->protocol = p->protocol;
	ev->family = p->family;
	ev->src_port = p->src_port;
	ev->dst_port = p->dst_port;
	if (p->family == 4) {
		map_to_ip6(p->src4, ev->src);
		map_to_ip6(p->dst4, ev->dst);
	} else if (p->family == 6) {
		__builtin_memcpy(ev->src, &p->src6, 16);
		__builtin_memcpy(ev->dst, &p->dst6, 16);
	}
	bpf_ringbuf_submit(ev, 0);
}

/* The long way, for every packet; the decision goes into the scratch value. Where user space listens, denials are reported. */
static __always_inline enum reason judge_and_report(struct __sk_buff *skb, __u32 ifindex, __u32 epoch, enum direction dir)
{
	struct env e = {.ifindex = ifindex, .epoch = epoch, .dir = dir};
	struct scratch *s = scratch_of_cpu();

	if (!s)
		return REASON_TABLE;
	e.pod = find_pod(&e);
	e.mode = tables_of_node()->control.mode;
	s->decision.set = s->decision.class = 0;
	s->decision.reason = judge(skb, &e, s);
	note(skb, s->decision.set, s->decision.class);
	if (s->decision.reason >= REASON_FIRST_DROP && tables_of_node()->control.events)
		report(&s->packet, &s->decision, &e);
	return s->decision.reason;
}

__noinline int judge_egress(struct __sk_buff *skb, __u32 ifindex, __u32 epoch)
{
	return judge_and_report(skb, ifindex, epoch, EGRESS);
}

__noinline int judge_ingress(struct __sk_buff *skb, __u32 ifindex, __u32 epoch)
{
	return judge_and_report(skb, ifindex, epoch, INGRESS);
}

static __always_inline int verdict(struct __sk_buff *skb, enum direction dir)
{
	struct cpu *cpu = this_cpu();
	__u32 ifindex = skb->ifindex;
	__u64 version = *(volatile __u64 *)&tables_of_node()->control.epoch, reason;

	EARLY(cpu);
	if (HARNESS)
		ifindex = *(volatile __u32 *)&skb->mark;
	/* Several ends: the one that the compiler makes of all lies far away, and has to be fetched. */
	pass_at_once(skb, cpu, ifindex, version, dir);
	reason = fast(skb, cpu, ifindex, version, dir);
	if (reason == REASON_COUNTED)
		END(PASSED);
	if (reason == REASON_DENIED)
		END(TC_ACT_SHOT);
	if (reason == REASON_NONE) {
		int judged = dir == EGRESS ? judge_egress(skb, ifindex, version) : judge_ingress(skb, ifindex, version);
		reason = judged > 0 && judged < REASON_COUNT ? judged : REASON_TABLE;
	}

	/* By way of memory: without CAP_PERFMON the verifier refuses an index that is known on one path and not on another. */
	*(volatile __u64 *)&cpu->reason = reason;
	count(skb, cpu, dir, *(volatile __u64 *)&cpu->reason);
	if (reason < REASON_FIRST_DROP)
		END(PASSED);
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

/* For BPF_PROG_TEST_RUN, while flows are moved to tables of another size: moves way cb[0] of place mark of the old table; cb[1] says of
 * which family. Returns enum moved. */
SEC("tc")
int move_flow(struct __sk_buff *skb)
{
	bool some = skb->cb[1] ? flow_move(skb->mark, skb->cb[0], true) : flow_move(skb->mark, skb->cb[0], false);

	return some ? MOVED_ONE : MOVED_NONE;
}

char _license[] SEC("license") = "Apache-2.0";
