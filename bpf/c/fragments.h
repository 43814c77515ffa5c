/* SPDX-License-Identifier: Apache-2.0 */
/* Later fragments carry no ports, so they follow the verdict on the first fragment of their datagram, under the policy
 * of that moment. A later fragment that comes before its first one, or belongs to none that passed, is dropped where
 * the pod is isolated and ports matter. */
#pragma once

static __always_inline void fragment_key(struct fragment_key *k, const struct packet *p, const struct env *e)
{
	if (p->family == 4) {
		map_to_ip6(p->src4, k->src);
		map_to_ip6(p->dst4, k->dst);
	} else {
		__builtin_memcpy(k->src, &p->src6, 16);
		__builtin_memcpy(k->dst, &p->dst6, 16);
	}
	k->id = p->fragment_id;
	k->ifindex = e->ifindex;
	k->protocol = p->fragment_of;
	k->direction = e->dir;
	k->family = p->family;
}

static __always_inline void fragment_passed(const struct packet *p, const struct env *e)
{
	struct fragment_key key = {};
	struct fragment_state f = {.instance = e->pod->instance, .epoch = e->epoch, .seen = now()};

	fragment_key(&key, p, e);
	bpf_map_update_elem(&fragments, &key, &f, BPF_ANY);
}

static __always_inline bool follows_first(const struct packet *p, const struct env *e)
{
	struct fragment_key key = {};
	struct fragment_state *f;

	fragment_key(&key, p, e);
	f = bpf_map_lookup_elem(&fragments, &key);
	return f && f->instance == e->pod->instance && f->epoch == e->epoch && within_s(f->seen, FRAGMENT_TIMEOUT_S);
}
