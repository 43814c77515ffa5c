/* SPDX-License-Identifier: Apache-2.0 */
/* From an skb to the few words the verdict needs. Headers are read where they lie when they are in the linear part, which
 * is the rule; the walk over IPv6 extension headers copies. */
#pragma once

enum parse_result {
	PARSED,
	PARSE_NEIGHBOUR,   /* ARP, IPv6 neighbour discovery */
	PARSE_UNSUPPORTED, /* neither IP nor ARP */
	PARSE_MALFORMED,
};

struct packet {
	__u8 family; /* 4 or 6 */
	__u8 protocol;
	__u8 has_ports; /* the ports below are those of the packet */
	__u8 opens;     /* TCP SYN, SCTP INIT, ICMP echo request: can only be the first packet of a flow */
	__be16 src_port; /* ICMP echo: the identifier, in both */
	__be16 dst_port;
	__be32 src4;
	__be32 dst4;
	struct in6_addr src6;
	struct in6_addr dst6;
};

enum {
	IP_OFFSET = 0x1fff,
	IP_MORE = 0x2000,
	TCP_SYN = 0x02,
	TCP_ACK = 0x10,
	TCP_FLAGS_AT = 13,
	SCTP_CHUNK_AT = 12,
	SCTP_INIT = 1,
	ECHO_REPLY = 0,
	ECHO_REQUEST = 8,
	ECHO6_REQUEST = 128,
	ECHO6_REPLY = 129,
	ND_FIRST = 133, /* router solicitation */
	ND_LAST = 137,  /* redirect */
	ND_HOP_LIMIT = 255,
	EXT_HEADERS = 8, /* more than any sender of good will uses */
	L4_BYTES = 14,   /* up to and with the TCP flags; more than the others need */
};

/* Reads the transport header at off, len bytes of which belong to the packet's payload. What is too short leaves has_ports
 * unset, and then only "all ports" can allow the packet. */
static __always_inline void parse_l4(struct __sk_buff *skb, __u32 off, __u32 len, struct packet *p)
{
	__u8 h[L4_BYTES] = {};

	if (p->protocol == IPPROTO_TCP) {
		if (len < 20 || bpf_skb_load_bytes(skb, off, h, L4_BYTES))
			return;
		p->opens = (h[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	} else if (p->protocol == IPPROTO_UDP) {
		if (len < 8 || bpf_skb_load_bytes(skb, off, h, 8))
			return;
	} else if (p->protocol == IPPROTO_SCTP) {
		if (len < 16 || bpf_skb_load_bytes(skb, off, h, L4_BYTES))
			return;
		p->opens = h[SCTP_CHUNK_AT] == SCTP_INIT;
	} else if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6) {
		if (len < 8 || bpf_skb_load_bytes(skb, off, h, 8))
			return;
		__u8 request = p->protocol == IPPROTO_ICMP ? ECHO_REQUEST : ECHO6_REQUEST;
		__u8 reply = p->protocol == IPPROTO_ICMP ? ECHO_REPLY : ECHO6_REPLY;
		if (h[0] != request && h[0] != reply)
			return;
		p->opens = h[0] == request;
		__builtin_memcpy(&p->src_port, h + 4, 2);
		p->dst_port = p->src_port;
		p->has_ports = 1;
		return;
	} else {
		return;
	}
	__builtin_memcpy(&p->src_port, h, 2);
	__builtin_memcpy(&p->dst_port, h + 2, 2);
	p->has_ports = 1;
}

static __always_inline enum parse_result parse4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return PARSE_MALFORMED;
	__u32 header = ip.ihl * 4, total = bpf_ntohs(ip.tot_len);
	if (!total && skb->gso_size) /* a super-packet of more than 64 KiB (BIG TCP) */
		total = skb->len - ETH_HLEN;
	if (ip.version != 4 || header < sizeof(ip) || total < header || ETH_HLEN + total > skb->len)
		return PARSE_MALFORMED;
	p->family = 4;
	p->protocol = ip.protocol;
	p->src4 = ip.saddr;
	p->dst4 = ip.daddr;
	if (bpf_ntohs(ip.frag_off) & IP_OFFSET)
		return PARSED; /* a later fragment has no transport header */
	parse_l4(skb, ETH_HLEN + header, total - header, p);
	return PARSED;
}

/* Walks the extension headers of RFC 8200 and AH (RFC 4302) to the transport header. A chain that is longer than
 * EXT_HEADERS, cut short, or ends in ESP or "no next header" leaves the packet without ports. */
static __always_inline enum parse_result parse6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return PARSE_MALFORMED;
	__u32 left = bpf_ntohs(ip.payload_len), off = ETH_HLEN + sizeof(ip);
	if (!left && skb->gso_size)
		left = skb->len - off;
	if (ip.version != 6 || off + left > skb->len)
		return PARSE_MALFORMED;
	p->family = 6;
	p->src6 = ip.saddr;
	p->dst6 = ip.daddr;
	__u8 next = ip.nexthdr, walked = 0;
	for (int i = 0; i < EXT_HEADERS; i++) {
		__u8 h[4];
		__u32 size;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT && next != IPPROTO_AH) {
			walked = 1;
			break;
		}
		if (left < 8 || bpf_skb_load_bytes(skb, off, h, sizeof(h)))
			return PARSE_MALFORMED;
		if (next == IPPROTO_FRAGMENT) {
			size = 8;
			if (((h[2] << 8) | h[3]) & 0xfff8) {
				p->protocol = h[0];
				return PARSED;
			}
		} else {
			size = next == IPPROTO_AH ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		}
		if (size > left)
			return PARSE_MALFORMED;
		off += size;
		left -= size;
		next = h[0];
	}
	if (!walked)
		return PARSE_MALFORMED;
	p->protocol = next;
	if (next == IPPROTO_ICMPV6 && ip.hop_limit == ND_HOP_LIMIT && left >= 8) {
		__u8 type;
		if (bpf_skb_load_bytes(skb, off, &type, 1))
			return PARSE_MALFORMED;
		if (type >= ND_FIRST && type <= ND_LAST)
			return PARSE_NEIGHBOUR;
	}
	parse_l4(skb, off, left, p);
	return PARSED;
}

static __always_inline enum parse_result parse(struct __sk_buff *skb, struct packet *p)
{
	if (skb->vlan_present)
		return PARSE_UNSUPPORTED;
	switch (skb->protocol) {
	case bpf_htons(ETH_P_ARP):
		return PARSE_NEIGHBOUR;
	case bpf_htons(ETH_P_IP):
		return parse4(skb, p);
	case bpf_htons(ETH_P_IPV6):
		return parse6(skb, p);
	}
	return PARSE_UNSUPPORTED;
}
