/* SPDX-License-Identifier: Apache-2.0 */
/* From an skb to the few words the verdict needs. A plain IPv4 or IPv6 packet — no options, no extension headers, headers
 * in the linear part — is read where it lies; everything else takes the careful way, which copies. Both ways give the same
 * answer for the same bytes.
 *
 * What is read goes into a scratch value per CPU, and the careful way is a function of its own: the verifier then looks at it
 * once and takes its results to be any bytes, instead of following every shape of packet through all that comes after. */
#pragma once

enum parse_result {
	PARSED,
	PARSE_NEIGHBOUR,   /* ARP; IPv6 neighbour or multicast listener discovery, which is read as any other packet, too */
	PARSE_UNSUPPORTED, /* neither IP nor ARP */
	PARSE_TAGGED,      /* by 802.1Q or 802.1ad: the receiver may take the tag off and find anything */
	PARSE_MALFORMED,   /* what was read before something is wrong stands in the packet, family 0 where nothing was */
};

enum fragment_place {
	NO_FRAGMENT,
	FIRST_FRAGMENT, /* of several */
	LATER_FRAGMENT,
};

struct packet {
	__u8 family; /* 4 or 6 */
	__u8 protocol;
	__u8 has_ports; /* the ports below are those of the packet */
	__u8 opens;     /* TCP SYN, SCTP INIT, ICMP echo request: can only be the first packet of a flow */
	__u8 fragment;
	__u8 is_error;   /* ICMP error: the packet it is about begins at inner */
	__u8 discovery; /* with PARSE_NEIGHBOUR: the type of ICMPv6 */
	__u8 fragment_of; /* the protocol that all fragments of the datagram name: the first header of what was cut (RFC 8200 4.5) */
	__be16 src_port; /* ICMP echo: the identifier, in both */
	__be16 dst_port;
	__be32 src4;
	__be32 dst4;
	__u16 fragment_at; /* in what was cut: where a later fragment begins, or where the transport header ends that the first one has to have whole */
	struct in6_addr src6 __attribute__((aligned(8)));
	struct in6_addr dst6 __attribute__((aligned(8)));
	__u32 fragment_id;
	__u32 inner; /* offset in the frame */
	__u32 end;   /* of the packet, likewise; what follows it is padding */
};

/* What a decision was made on; travels into the event, where user space turns it into policies and rules. */
struct decision {
	__u32 set;
	__u32 class;
	__u8 reason;
};

struct scratch {
	struct packet packet;
	struct packet inner; /* what an ICMP error is about */
	struct decision decision;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct scratch);
	__uint(max_entries, 1);
} scratch SEC(".maps");

static __always_inline struct scratch *scratch_of_cpu(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

enum {
	IP_OFFSET = 0x1fff,
	IP_MORE = 0x2000,
	IP6_MORE = 1,
	TCP_SYN = 0x02,
	TCP_ACK = 0x10,
	TCP_FLAGS_AT = 13,
	TCP_BYTES = 20,
	SCTP_CHUNK_AT = 12,
	SCTP_BYTES = 16,
	SCTP_INIT = 1,
	ICMP_BYTES = 8,
	ECHO_REPLY = 0,
	ECHO_REQUEST = 8,
	ECHO6_REQUEST = 128,
	ECHO6_REPLY = 129,
	ND_FIRST = 133, /* router solicitation */
	ND_ROUTER = 134, /* … advertisement */
	ND_SOLICITATION = 135,
	ND_ADVERTISEMENT = 136,
	ND_LAST = 137,  /* redirect */
	ND_BYTES = 32,  /* of a solicitation or advertisement with one link-layer address */
	ND_HOP_LIMIT = 255,
	MLD_FIRST = 130, /* query */
	MLD_LAST = 132,  /* done */
	MLD2_REPORT = 143,
	MLD_HOP_LIMIT = 1,
	IP4_OPTIONS = 12, /* more than any sender of good will uses; likewise below */
	IP4_OPTION_END = 0,
	IP4_OPTION_NONE = 1,
	IP4_OPTION_LSRR = 131, /* loose source and record route */
	IP4_OPTION_SSRR = 137, /* strict */
	EXT_HEADERS = 8,
	L4_BYTES = 14,   /* up to and with the TCP flags; more than the others need */
};

/* ICMP: destination unreachable, time exceeded, parameter problem (RFC 792). Source quench and redirect are no errors
 * about a flow that anybody needs. */
static __always_inline bool icmp_is_error(__u8 type)
{
	return type == 3 || type == 11 || type == 12;
}

/* ICMPv6: destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443). */
static __always_inline bool icmp6_is_error(__u8 type)
{
	return type >= 1 && type <= 4;
}

/* Neighbour discovery (RFC 4861) and multicast listener discovery (RFC 2710, 3810), of which receivers believe only what no router has
 * forwarded: see is_of_link(). */
static __always_inline bool is_neighbour(__u8 type, __u8 hop_limit)
{
	if (hop_limit == ND_HOP_LIMIT)
		return type >= ND_FIRST && type <= ND_LAST;
	return hop_limit == MLD_HOP_LIMIT && ((type >= MLD_FIRST && type <= MLD_LAST) || type == MLD2_REPORT);
}

/* Reads the ports and what opens a flow from the first bytes of a transport header. */
static __always_inline void read_ports(struct packet *p, const __u8 *h)
{
	if (p->protocol == IPPROTO_TCP)
		p->opens = (h[TCP_FLAGS_AT] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	else if (p->protocol == IPPROTO_SCTP)
		p->opens = h[SCTP_CHUNK_AT] == SCTP_INIT;
	__builtin_memcpy(&p->src_port, h, 2);
	__builtin_memcpy(&p->dst_port, h + 2, 2);
	p->has_ports = 1;
}

/* Reads the ICMP header at off: the identifier of an echo stands for both ports, an error is noted for later. */
static __always_inline void read_icmp(struct packet *p, const __u8 *h, __u32 off)
{
	bool v4 = p->protocol == IPPROTO_ICMP;

	if (v4 ? icmp_is_error(h[0]) : icmp6_is_error(h[0])) {
		p->is_error = 1;
		p->inner = off + ICMP_BYTES;
		return;
	}
	if (h[0] != (v4 ? ECHO_REQUEST : ECHO6_REQUEST) && h[0] != (v4 ? ECHO_REPLY : ECHO6_REPLY))
		return;
	p->opens = h[0] == (v4 ? ECHO_REQUEST : ECHO6_REQUEST);
	__builtin_memcpy(&p->src_port, h + 4, 2);
	p->dst_port = p->src_port;
	p->has_ports = 1;
}

/* How many bytes a transport header must have to be believed; 0 for protocols that are not looked into. */
static __always_inline __u32 l4_bytes(__u8 protocol, __u8 family)
{
	if (protocol == IPPROTO_TCP)
		return TCP_BYTES;
	if (protocol == IPPROTO_UDP)
		return 8;
	if (protocol == IPPROTO_SCTP)
		return SCTP_BYTES;
	if (protocol == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return ICMP_BYTES;
	return 0;
}

/* What a transport header says, in one number. */
#define L4(src, dst, opens, ports, error)                                                                              \
	((__u64)(src) | (__u64)(dst) << 16 | (__u64)(opens) << 32 | (__u64)(ports) << 33 | (__u64)(error) << 34)

/* Reads the transport header at off, of which len bytes belong to the packet. What is too short has no ports, and then
 * only "all ports" can allow the packet. */
__noinline __u64 read_l4(struct __sk_buff *skb, __u32 off, __u32 len, __u32 protocol, __u32 family)
{
	struct packet p = {.protocol = protocol};
	__u32 need = l4_bytes(protocol, family);
	__u8 h[L4_BYTES] = {};

	if (!need || len < need)
		return 0;
	if (need > ICMP_BYTES ? bpf_skb_load_bytes(skb, off, h, L4_BYTES) : bpf_skb_load_bytes(skb, off, h, ICMP_BYTES))
		return 0;
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		read_icmp(&p, h, off);
	else
		read_ports(&p, h);
	return L4(p.src_port, p.dst_port, p.opens, p.has_ports, p.is_error);
}

static __always_inline void parse_l4(struct __sk_buff *skb, __u32 off, __u32 len, struct packet *p)
{
	__u64 l4 = read_l4(skb, off, len, p->protocol, p->family);

	p->src_port = l4;
	p->dst_port = l4 >> 16;
	p->opens = l4 >> 32 & 1;
	p->has_ports = l4 >> 33 & 1;
	p->is_error = l4 >> 34 & 1;
	p->inner = off + ICMP_BYTES;
	p->end = off + len;
}

/* Can the options of an IPv4 header of so many bytes be read, and does none of them say by which way the packet goes (RFC 791)? Of that
 * way policies would judge the first stop only, and the node itself is one that every pod may reach. */
__noinline int ip4_options_are_plain(struct __sk_buff *skb, __u32 header)
{
	__u32 at = sizeof(struct iphdr);
	__u8 option, size;

#pragma unroll
	for (int i = 0; i < IP4_OPTIONS; i++) {
		if (at >= header)
			return true;
		if (bpf_skb_load_bytes(skb, ETH_HLEN + at, &option, 1))
			return false;
		if (option == IP4_OPTION_END)
			return true;
		if (option == IP4_OPTION_NONE) {
			at++;
			continue;
		}
		if (option == IP4_OPTION_LSRR || option == IP4_OPTION_SSRR)
			return false;
		if (at + 1 >= header || bpf_skb_load_bytes(skb, ETH_HLEN + at + 1, &size, 1))
			return false;
		if (size < 2 || at + size > header)
			return false;
		at += size;
	}
	return at >= header;
}

static __always_inline enum parse_result parse4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return PARSE_MALFORMED;
	p->family = 4; /* whatever is wrong with the rest, the source is known */
	p->src4 = ip.saddr;
	p->dst4 = ip.daddr;
	p->protocol = p->fragment_of = ip.protocol;
	__u32 header = ip.ihl * 4, total = bpf_ntohs(ip.tot_len), frag = bpf_ntohs(ip.frag_off);
	if (!total && skb->gso_size) /* a super-packet of more than 64 KiB (BIG TCP) */
		total = skb->len - ETH_HLEN;
	if (ip.version != 4 || header < sizeof(ip) || total < header || ETH_HLEN + total > skb->len)
		return PARSE_MALFORMED;
	if (header > sizeof(ip) && !ip4_options_are_plain(skb, header))
		return PARSE_MALFORMED;
	if (frag & (IP_OFFSET | IP_MORE)) {
		p->fragment = frag & IP_OFFSET ? LATER_FRAGMENT : FIRST_FRAGMENT;
		p->fragment_id = ip.id;
		p->fragment_at = frag & IP_OFFSET ? (frag & IP_OFFSET) * 8 : l4_bytes(p->protocol, 4); /* options are not cut */
	}
	/* A later fragment that would reach into the transport header is a way to forge one (RFC 3128). */
	if ((frag & IP_OFFSET) && (frag & IP_OFFSET) * 8 < TCP_BYTES)
		return PARSE_MALFORMED;
	if (p->fragment != LATER_FRAGMENT)
		parse_l4(skb, ETH_HLEN + header, total - header, p);
	return PARSED;
}

enum header_kind {
	HEADER_MALFORMED,
	HEADER_TRANSPORT, /* or whatever else ends the chain */
	HEADER_EXTENSION,
	HEADER_FIRST_FRAGMENT, /* the chain goes on in it */
	HEADER_LATER_FRAGMENT,
};

/* What a header of an IPv6 chain is, in one number: its kind, the protocol of what follows, its size. */
#define HEADER(kind, next, size) ((__u64)(kind) | (__u64)(next) << 8 | (__u64)(size) << 16)

/* Looks at the header of the given protocol at off, where left bytes of the packet are left: the extension headers of
 * RFC 8200, and AH (RFC 4302). */
__noinline __u64 read_header(struct __sk_buff *skb, __u32 off, __u32 left, __u32 protocol)
{
	__u8 h[8];
	__u32 size, at;

	if (protocol != IPPROTO_HOPOPTS && protocol != IPPROTO_ROUTING && protocol != IPPROTO_DSTOPTS &&
	    protocol != IPPROTO_FRAGMENT && protocol != IPPROTO_AH)
		return HEADER(HEADER_TRANSPORT, protocol, 0);
	if (left < 8 || bpf_skb_load_bytes(skb, off, h, sizeof(h)))
		return HEADER_MALFORMED;
	if (protocol == IPPROTO_FRAGMENT) {
		at = (h[2] << 8 | h[3]) & 0xfff8;
		/* A later fragment that would reach into the transport header is a way to forge one. That lies further on where options are cut, too:
		 * see follows_first(). */
		if (at)
			return at < TCP_BYTES ? HEADER_MALFORMED : HEADER(HEADER_LATER_FRAGMENT, h[0], 8);
		return HEADER(h[3] & IP6_MORE ? HEADER_FIRST_FRAGMENT : HEADER_EXTENSION, h[0], 8);
	}
	/* A route that has not ended leads on from the destination, and policies would judge its first stop only. */
	if (protocol == IPPROTO_ROUTING && h[3])
		return HEADER_MALFORMED;
	size = protocol == IPPROTO_AH ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
	return size > left ? HEADER_MALFORMED : HEADER(HEADER_EXTENSION, h[0], size);
}

/* Where a chain of headers ends, in one number: the kind of its last header, the protocol there, where in the frame that begins, and where
 * what was cut begins, which is behind the header of a first or later fragment; 0 of what was not cut. */
#define CHAIN(kind, protocol, off, cut) ((__u64)(kind) | (__u64)(protocol) << 8 | (__u64)(off) << 16 | (__u64)(cut) << 32)
#define CHAIN_KIND(chain) ((chain) & 0xff)
#define CHAIN_PROTOCOL(chain) ((__u8)((chain) >> 8))
#define CHAIN_OFF(chain) ((__u16)((chain) >> 16))
#define CHAIN_CUT(chain) ((__u32)((chain) >> 32))

/* Walks the chain of headers at off, of which left bytes are there, to the transport header: that of a packet, and of one that an ICMP error
 * quotes. One that is longer than EXT_HEADERS or cut short is malformed. */
__noinline __u64 read_chain(struct __sk_buff *skb, __u32 off, __u32 left, __u32 next)
{
	__u32 cut = 0;

	/* No loop: without CAP_PERFMON the verifier of 6.12 also runs past its end, as a processor might, and finds no end of that. */
#pragma unroll
	for (int i = 0; i < EXT_HEADERS; i++) {
		__u64 header = read_header(skb, off, left, next);
		__u32 kind = header & 0xff, size = header >> 16 & 0xffff;
		if (kind == HEADER_TRANSPORT)
			return CHAIN(HEADER_TRANSPORT, next, off, cut);
		if (kind == HEADER_MALFORMED)
			return HEADER_MALFORMED;
		if (next == IPPROTO_FRAGMENT && cut)
			return HEADER_MALFORMED; /* fragments of fragments */
		next = header >> 8 & 0xff;
		off += size;
		left -= size;
		if (kind >= HEADER_FIRST_FRAGMENT)
			cut = off;
		if (kind == HEADER_LATER_FRAGMENT)
			return CHAIN(HEADER_LATER_FRAGMENT, next, off, cut);
	}
	return HEADER_MALFORMED;
}

/* A chain that ends in ESP or "no next header" leaves the packet without ports. */
static __always_inline enum parse_result parse6(struct __sk_buff *skb, struct packet *p)
{
	__u8 ip[8], hop_limit; /* the header as far as its addresses, which go where they belong, and then that of a fragment: stack is scarce */
	__u64 chain;

	_Static_assert(offsetof(struct packet, dst6) == offsetof(struct packet, src6) + 16, "both addresses are read at once");
	if (bpf_skb_load_bytes(skb, ETH_HLEN, ip, sizeof(ip)) || bpf_skb_load_bytes(skb, ETH_HLEN + sizeof(ip), &p->src6, 32))
		return PARSE_MALFORMED;
	p->family = 6;
	__u32 left = ip[4] << 8 | ip[5], off = ETH_HLEN + sizeof(struct ipv6hdr);
	if (!left && skb->gso_size)
		left = skb->len - off;
	if (ip[0] >> 4 != 6 || off + left > skb->len)
		return PARSE_MALFORMED;
	hop_limit = ip[7];
	chain = read_chain(skb, off, left, ip[6]);
	if (CHAIN_KIND(chain) == HEADER_MALFORMED)
		return PARSE_MALFORMED;
	p->protocol = CHAIN_PROTOCOL(chain);
	if (CHAIN_CUT(chain)) {
		if (bpf_skb_load_bytes(skb, CHAIN_CUT(chain) - 8 /* the fragment header */, ip, sizeof(ip)))
			return PARSE_MALFORMED;
		p->fragment = CHAIN_KIND(chain) == HEADER_LATER_FRAGMENT ? LATER_FRAGMENT : FIRST_FRAGMENT;
		p->fragment_of = ip[0];
		__builtin_memcpy(&p->fragment_id, ip + 4, 4);
	}
	if (p->fragment == LATER_FRAGMENT) {
		p->fragment_at = (ip[2] << 8 | ip[3]) & 0xfff8;
		return PARSED;
	}
	if (p->fragment)
		p->fragment_at = CHAIN_OFF(chain) - CHAIN_CUT(chain) + l4_bytes(p->protocol, 6);
	left -= CHAIN_OFF(chain) - off;
	off = CHAIN_OFF(chain);
	parse_l4(skb, off, left, p);
	if (p->protocol == IPPROTO_ICMPV6 && !p->fragment && left >= ICMP_BYTES) {
		if (bpf_skb_load_bytes(skb, off, &p->discovery, 1))
			return PARSE_MALFORMED;
		if (is_neighbour(p->discovery, hop_limit))
			return PARSE_NEIGHBOUR;
	}
	return PARSED;
}

/* A plain IPv4 packet of a protocol with ports, in the linear part of the skb. */
static __always_inline bool parse4_plain(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	__u8 *l4 = (void *)(ip + 1);

	if ((void *)(l4 + TCP_BYTES) > end)
		return false;
	if (*(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(IP_OFFSET | IP_MORE))
		return false;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_SCTP)
		return false;
	__u32 total = bpf_ntohs(ip->tot_len);
	if (total < sizeof(*ip) + TCP_BYTES || ETH_HLEN + total > skb->len)
		return false;
	p->family = 4;
	p->protocol = ip->protocol;
	p->src4 = ip->saddr;
	p->dst4 = ip->daddr;
	read_ports(p, l4);
	return true;
}

/* Likewise for IPv6. */
static __always_inline bool parse6_plain(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ipv6hdr *ip = data + ETH_HLEN;
	__u8 *l4 = (void *)(ip + 1);

	if ((void *)(l4 + TCP_BYTES) > end || *(__u8 *)ip >> 4 != 6)
		return false;
	if (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP && ip->nexthdr != IPPROTO_SCTP)
		return false;
	__u32 left = bpf_ntohs(ip->payload_len);
	if (left < TCP_BYTES || ETH_HLEN + sizeof(*ip) + left > skb->len)
		return false;
	p->family = 6;
	p->protocol = ip->nexthdr;
	p->src6 = ip->saddr;
	p->dst6 = ip->daddr;
	read_ports(p, l4);
	return true;
}

/* Any IP packet, into the scratch value. */
__noinline int parse_careful(struct __sk_buff *skb)
{
	struct scratch *s = scratch_of_cpu();
	struct packet p = {};
	int result;

	if (!s)
		return PARSE_MALFORMED;
	result = skb->protocol == bpf_htons(ETH_P_IP) ? parse4(skb, &p) : parse6(skb, &p);
	s->packet = p;
	return result;
}

static __always_inline enum parse_result parse(struct __sk_buff *skb, struct packet *p)
{
	__builtin_memset(p, 0, sizeof(*p));
	if (skb->vlan_present)
		return PARSE_TAGGED;
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return parse4_plain(skb, p) ? PARSED : parse_careful(skb);
	case bpf_htons(ETH_P_IPV6):
		return parse6_plain(skb, p) ? PARSED : parse_careful(skb);
	case bpf_htons(ETH_P_ARP):
		return PARSE_NEIGHBOUR;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return PARSE_TAGGED;
	}
	return PARSE_UNSUPPORTED;
}

/* Reads the packet that an ICMP error is about into inner, as far as an error has to carry it: the headers up to the transport header, and
 * the first 8 bytes of that. Of a datagram that was cut, the first piece has them. */
static __always_inline bool read_inner(struct __sk_buff *skb, const struct packet *error, struct packet *inner)
{
	__u32 off = error->inner;
	__u8 family = error->family;

	if (family == 4) {
		struct iphdr ip;
		if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)))
			return false;
		if (ip.version != 4 || ip.ihl < 5 || bpf_ntohs(ip.frag_off) & IP_OFFSET)
			return false;
		inner->protocol = ip.protocol;
		inner->src4 = ip.saddr;
		inner->dst4 = ip.daddr;
		off += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;
		if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)))
			return false;
		if (ip.version != 6)
			return false;
		inner->src6 = ip.saddr;
		inner->dst6 = ip.daddr;
		off += sizeof(ip);
		if (off > error->end)
			return false;
		__u64 chain = read_chain(skb, off, error->end - off, ip.nexthdr);
		if (CHAIN_KIND(chain) != HEADER_TRANSPORT)
			return false;
		inner->protocol = CHAIN_PROTOCOL(chain);
		off = CHAIN_OFF(chain);
	}
	inner->family = family;
	__u8 h[8], protocol = inner->protocol;
	if (off + sizeof(h) > error->end || bpf_skb_load_bytes(skb, off, h, sizeof(h)))
		return false;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP) {
		__builtin_memcpy(&inner->src_port, h, 2);
		__builtin_memcpy(&inner->dst_port, h + 2, 2);
		inner->has_ports = 1;
	} else if (protocol == (family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		read_icmp(inner, h, 0);
	}
	return inner->has_ports;
}

/* The packet that the ICMP error in the scratch value is about, into its second place. */
__noinline int parse_inner(struct __sk_buff *skb)
{
	struct scratch *s = scratch_of_cpu();
	struct packet inner = {};
	bool known;

	if (!s)
		return false;
	known = read_inner(skb, &s->packet, &inner);
	s->inner = inner;
	return known;
}
