/* SPDX-License-Identifier: Apache-2.0 */
/* Where a packet comes from, as far as that can be told without believing the packet. */
#pragma once

/* Did the node make this packet, or did it come in somewhere? Not all that it passes on says so: a fragment that was made anew on the way may
 * look as if made here. */
static __always_inline bool made_here(struct __sk_buff *skb)
{
	return HARNESS ? skb->cb[0] : !skb->ingress_ifindex;
}

/* A packet that a process of the node sends towards a pod still carries that process's socket, and came in by no interface.
 * Addresses prove nothing here: pods can forge them. */
static __always_inline bool from_node(struct __sk_buff *skb)
{
	struct bpf_sock *sk;

	if (HARNESS)
		return skb->cb[0] == 1;
	if (!made_here(skb)) /* by a bridge or a redirect it may keep the socket of the pod that sent it */
		return false;
	sk = skb->sk;
	return sk && sk->family != 0 /* AF_UNSPEC */;
}
