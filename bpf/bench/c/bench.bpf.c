// SPDX-License-Identifier: Apache-2.0
/* The datapath behind a driver that varies the packet from run to run, and the same driver before a program that returns OK at
 * once: what lies between the two is what a verdict costs. */
#include "../../c/palisade.bpf.c"

const volatile __u32 flow_mask = 0; /* flows - 1; a power of two minus one */
const volatile __u32 peer_mask = 0; /* likewise; before the last bits that are the same for all peers */
__u32 runs SEC(".data.runs");

/* Gives the packet the next flow: the pod's port and the peer follow from its number. Peers follow one another in a stride
 * that visits all of them. */
static __always_inline void drive(struct __sk_buff *skb, enum direction dir)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 n = runs++ & flow_mask;
	__be32 peer = bpf_htonl((n * 7919) & peer_mask);
	__be16 port = bpf_htons(1024 + n);

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + ETH_HLEN;
		__be16 *ports = (void *)(ip + 1);
		if ((void *)(ports + 2) > end)
			return;
		__be32 *a = dir == EGRESS ? &ip->daddr : &ip->saddr;
		*a = (*a & ~bpf_htonl(peer_mask)) | peer;
		*(__be32 *)ports = dir == EGRESS ? port | ports[1] << 16 : ports[0] | port << 16; /* read as a whole, too */
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;
		__be16 *ports = (void *)(ip + 1);
		if ((void *)(ports + 2) > end)
			return;
		__be32 *a = dir == EGRESS ? &ip->daddr.in6_u.u6_addr32[3] : &ip->saddr.in6_u.u6_addr32[3];
		*a = (*a & ~bpf_htonl(peer_mask)) | peer;
		ports[dir] = port;
	}
}

SEC("tc")
int bench_ok(struct __sk_buff *skb)
{
	drive(skb, EGRESS);
	return TC_ACT_OK;
}

SEC("tc")
int bench_egress(struct __sk_buff *skb)
{
	drive(skb, EGRESS);
	return verdict(skb, EGRESS);
}

/* Opens the flows that bench_egress answers. */
SEC("tc")
int bench_ingress(struct __sk_buff *skb)
{
	drive(skb, INGRESS);
	return verdict(skb, INGRESS);
}
