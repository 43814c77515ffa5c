/* SPDX-License-Identifier: Apache-2.0 */
/* Every value that user space and the programs share, and nothing else. The Go types and constants are generated from
 * this file (bpf2go, through BTF), so a layout or a reason exists exactly once.
 *
 * The tables that the policies are compiled into hold two banks, of which the low bit of control.epoch selects the live one.
 * User space writes the other bank and then stores a new epoch: a packet sees the old tables or the new ones, never a
 * mixture. */
#pragma once

enum {
	FANOUT = 256, /* slots of a page: one byte of an address or port selects one */
	ROW_CLASSES = 64, /* slots of a row: the lower bits of a class select one */
	BANKS = 2,
};

/* Entries of a table, of one bank where it has banks; powers of two, so that cutting an index to the table is an AND. */
enum table_size {
	PEERS4_SIZE = 4096,
	SETS_SIZE = 2048,
	ROWS_SIZE = 4096,
	PREFIXES6_SIZE = 2048, /* places with PREFIX6_WAYS prefixes each: half as many again as there are pages */
	PORT_PAGES_SIZE = 1024, /* as many as a word of a row can name */
	PORT_LEAVES_SIZE = 8192,
	PORT_EDGES_SIZE = 65536,
	PODS_SIZE = 16384, /* an interface whose place another one has is found in a hash */
	PODS_BITS = 23, /* so is one whose index has more bits */
	REASONS_SIZE = 32,
	LASTS_SIZE = 16, /* for each direction and CPU */
};

/* Numbers that do not change while a program is loaded: see CONSTANT in tables.h. */
enum constant {
	CONSTANT_HZ,		   /* jiffies per second */
	CONSTANT_TRACK_ALL,	   /* remember flows of pods that are not isolated in the other direction too, so that a first policy
				    * does not cut them */
	CONSTANT_KEEP_ESTABLISHED, /* let flows go on that a policy does not allow any more; new ones it keeps out all the same */
	CONSTANT_LASTS,		   /* remember the last packets: not where PREEMPT_RT lets a program be interrupted by others on its CPU */
	CONSTANT_PASSED,	   /* what a program returns for a packet that passes: TC_ACT_UNSPEC or TC_ACT_OK */
	CONSTANT_CPUS_MASK,	   /* entries of cpus less one, which is a power of two less one; likewise below */
	CONSTANT_FLOWS4_MASK,
	CONSTANT_FLOWS6_MASK,
	CONSTANT_MOVING,	   /* flows are being moved to tables of another size: see flow_get() */
	CONSTANT_OLD4_MASK,	   /* likewise of the tables that they are moved from */
	CONSTANT_OLD6_MASK,
	CONSTANT_HARNESS,	   /* for BPF_PROG_TEST_RUN, which can give a packet neither an interface that does not exist nor the
				    * socket of a process of the node: both then come with the packet's metadata, and the reason goes
				    * back the same way. 0 in a program that is attached, so that the verifier removes that code. */
	CONSTANT_COUNT,
	CONSTANT_MARK = 0x50616c69, /* the upper half of a mark */
};

/* What move_flow says of a way. Never 0: kernels before 5.13 say that of a run of which a signal made them forget what came. */
enum moved {
	MOVED_NONE = 1, /* no flow, nor in a later way of the place */
	MOVED_ONE = 2,
};

/* Which way a packet goes, seen from the pod. The values are those of flow.Direction. */
enum direction {
	EGRESS = 0,
	INGRESS = 1,
};

/* The first set numbers are words; from SET_FIRST on they are indexes of the table sets. */
enum set {
	SET_UNKNOWN = 0, /* nobody has said yet: control.mode decides */
	SET_OPEN = 1,    /* not isolated in this direction */
	SET_CLOSED = 2,  /* isolated, and nothing is allowed */
	SET_FIRST = 3,
};

/* A slot of a row says which ports are allowed: for each protocol that has ports the number of a page of port_pages, and
 * a bit for everything else. Zero is "nothing", so that a slot that was never written opens nothing. The first two
 * pages and leaves are always the same, so that a packet is decided without asking for special cases. */
enum ports {
	PORTS_NONE = 0, /* page of empty leaves, leaf without a bit */
	PORTS_EVERY = 1, /* page of full leaves, leaf of all bits */
	PORTS_FIRST = 2,
	PORTS_PAGE_MASK = PORT_PAGES_SIZE - 1,
	PORTS_TCP_SHIFT = 0,
	PORTS_UDP_SHIFT = 10,
	PORTS_SCTP_SHIFT = 20,
	PORTS_OTHER = 1 << 30, /* protocols without ports */
	PORTS_ALL = PORTS_EVERY << PORTS_TCP_SHIFT | PORTS_EVERY << PORTS_UDP_SHIFT | PORTS_EVERY << PORTS_SCTP_SHIFT | PORTS_OTHER,
};

/* A slot with the bit PORTS_LISTED_BIT says it of protocols with ports by a list instead, of which there is room for many more, but which
 * takes a search. The edges of its ranges lie one after the other in port_edges, in ascending order: the first port of a range, the one
 * after its last, and so on. A list begins at a multiple of its size, which is a power of two; the rest of it is PORT_EDGES_END. */
enum ports_listed {
	PORTS_LISTED_BIT = 31,
	PORTS_LISTED_SIZE_SHIFT = 16, /* the binary logarithm of the size, at least 1 */
	PORTS_LISTED_SIZE_MASK = 15,
	PORTS_LISTED_AT_MASK = PORT_EDGES_SIZE / 2 - 1, /* where the list begins, half of it */
	PORT_EDGES_PROTOCOL_SHIFT = 16, /* an edge has the port; above it 0 for TCP, 1 for UDP, 2 for SCTP */
	PORT_EDGES_END = 0x7fffffff,
};

/* A slot of peers4: a class, or the page for the next byte, or "too sparse for a page": look in the tables for IPv6,
 * under the IPv4-mapped address, and use the class here when nothing is found. */
enum peer_slot {
	PEER_CLASS_MASK = 0x3fff,
	PEER_PAGE_MASK = PEERS4_SIZE - 1,
	PEER_SPARSE = 0x4000,
	PEER_PAGE = 0x8000,
};

/* What the hash tables know lies in a space of its own for each bank and family, or ::/0 would contain IPv4. */
enum space {
	SPACE_BANK_MASK = BANKS - 1,
	SPACE_IP4 = BANKS,
};

enum mode {
	MODE_STANDARD = 0, /* a pod that nothing is known of is open */
	MODE_STRICT = 1,   /* … is closed */
};

/* Why a packet passed or was dropped. Below REASON_FIRST_DROP it passed. */
enum reason {
	REASON_NONE = 0,
	REASON_POLICY,          /* a rule of the pod's policies allows it */
	REASON_NOT_ISOLATED,    /* no policy isolates the pod in this direction */
	REASON_REPLY,           /* answer to a flow that is still allowed the other way */
	REASON_FROM_NODE,       /* sent by a process of the pod's own node */
	REASON_NEIGHBOUR,       /* ARP, IPv6 neighbour or multicast listener discovery */
	REASON_LATER_FRAGMENT,  /* of a datagram whose first fragment passed */
	REASON_RELATED,         /* ICMP error about a flow that is still allowed */
	REASON_UNKNOWN_POD_OPEN,
	REASON_ESTABLISHED,     /* of a flow that was allowed when it was opened, where such flows are kept */
	REASON_FIRST_DROP = 16,
	REASON_NO_RULE = 16,    /* isolated, and no rule allows it */
	REASON_CLOSED,          /* isolated, and the set allows nothing at all */
	REASON_UNKNOWN_POD,     /* strict mode, nothing known of the pod yet */
	REASON_SPOOFED,         /* the source is none of the pod's addresses */
	REASON_MALFORMED,       /* a header is cut short or contradicts itself */
	REASON_UNSUPPORTED,     /* neither IP nor ARP, at an isolated pod; or a VLAN tag, behind which any source may hide */
	REASON_FRAGMENT,        /* ports needed to decide, and neither the packet nor an earlier fragment carries them */
	REASON_TABLE,           /* a table points nowhere: never seen unless user space is broken */
	REASON_COUNT,
};

struct addr_page {
	__u16 slot[FANOUT];
};

enum prefix6_search {
	PREFIX6_WAYS = 3,
	PREFIX6_PLACES = 4, /* where a prefix may lie, one after the other; only one after a full place is looked at */
};

/* Leads from the first 15 bytes of an IPv6 address, in two halves as they lie in memory, to the page for the last byte, in
 * peers4, where a slot is a class. A page 0 is a free way. One cache line. */
struct prefix6 {
	__u64 high[PREFIX6_WAYS];
	__u64 low[PREFIX6_WAYS]; /* the last byte is 0 */
	__u16 page[PREFIX6_WAYS];
	__u16 unused[5];
};

struct row {
	__u32 ports[ROW_CLASSES];
};

/* Leads from a set, by the upper bits of a class, to a row. */
struct set_rows {
	__u16 row[(PEER_CLASS_MASK + 1) / ROW_CLASSES];
};

/* Leads by the upper byte of a port to a leaf. */
struct port_page {
	__u16 leaf[FANOUT];
};

struct port_leaf {
	__u64 bits[FANOUT / 64];
};

/* An address, as IPv6 or IPv4-mapped, whose class is looked up in the live bank. */
struct host_key {
	__u32 space;
	__u8 addr[16];
};

struct net_key {
	__u32 prefix_len; /* 32 bits of space and the bits of the prefix */
	__u32 space;
	__u8 addr[16];
};

struct pod_sets {
	__u32 set[2]; /* by direction */
};

struct pod {
	struct pod_sets bank[BANKS];
	__u32 ifindex; /* 0: no pod */
	__u32 instance; /* changes when the interface gets another pod; never 0 */
	__u8 has_ip4;
	__u8 has_ip6;
	__u8 may_route; /* the pod may send from addresses that are not its own */
	__u8 heals; /* written by the programs: heal_until was set for this instance */
	__be32 ip4;
	__u8 ip6[16];
	__u32 heal_until; /* written by the programs, jiffies: until when packets look whether their flow is known. See flows.h. */
	__u32 unused[3]; /* the rest of the cache line */
};

struct control {
	__u32 epoch;   /* low bit: the live bank */
	__u32 changes; /* of entries of pods, by user space and when a pod begins to heal: with the epoch in one word, a version */
	__u32 mode;
	__u32 events; /* user space is listening for denials */
	__u64 seed; /* of the hash of flows, so that nobody outside knows which ones share a place; never changes */
};

enum flow_bits {
	FLOW_WAYS = 16,
	OPENED_BY_NODE = 4, /* by a process of the pod's own node, which no policy keeps from its pods */
	FLOW_STATE_BITS = 35,
};

/* A flow, seen from the pod: no other interface and no other instance on the interface can use the entry. Several CPUs may write
 * an entry at a time, without a lock: the state is sealed with a hash of the key, and under any other key, or a mixture of two,
 * it reads as nonsense. See flows.h. */
struct flow4 {
	__u64 pod;   /* instance, protocol, interface; 0: never used */
	__u64 ends;  /* the peer's address, the pod's and the peer's port */
	__u64 state; /* sealed: epoch in which the opener's direction was last found allowed; above it a bit per direction in
		      * which a packet opened the flow, and OPENED_BY_NODE */
	__u32 seen;  /* jiffies */
	__u32 between; /* a hash of both ends, for the pod's address: all but those that may route have one only */
};

struct flow6 {
	__u64 pod;
	__u64 ends; /* the ports; above them such a hash */
	__u64 state;
	__u32 seen;
	__u32 unused;
	__u64 peer[2];
};

/* The places that a flow may have, one of which its hash selects. */
struct flows4 {
	struct flow4 way[FLOW_WAYS];
};

struct flows6 {
	struct flow6 way[FLOW_WAYS];
};

struct event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u32 ifindex;
	__u32 set;
	__u32 class;
	__u32 epoch;
	__u8 direction;
	__u8 reason;
	__u8 protocol;
	__u8 family; /* 4, 6, or 0 where the packet is no IP */
	__be16 src_port;
	__be16 dst_port;
	__u8 src[16]; /* IPv4 as IPv4-mapped */
	__u8 dst[16];
};

/* The words of struct last. IPv4: protocol and source; destination. IPv6: source and destination, in two halves each. */
enum { LAST_WORDS = 4 };

/* One of the last packets that passed a pod's hook of a direction on a CPU and opened no flow. The next ones are likely to be of the same
 * flow, or of another one from the same peer to the same port, and then are decided the same way. One cache line. */
struct last {
	__u64 version; /* of control */
	__u64 until;   /* jiffies */
	__u64 words[LAST_WORDS]; /* what the headers of all packets of the flow have in common */
	__be32 ports;
	__u32 ports_mask; /* those bits of the ports that matter: not those of the source port where the policy decided without it */
	__u32 ifindex; /* of IPv6, also the protocol: LAST_IFINDEX6 */
	__u16 reason;
	__u16 class; /* for the harness */
};

/* What a CPU writes; no other CPU does. A page, so that a CPU finds all of it by one entry of its TLB. */
struct cpu {
	struct last last[2][LASTS_SIZE]; /* by direction */
	__u64 packets[2][REASONS_SIZE];
	__u64 reason; /* of the packet at hand */
	__u64 unused[191]; /* the rest of the page */
};

/* The arrays lie in the single values of a few maps, since 4 MiB is all that kernel 5.10 takes for one. */
struct node_tables {
	struct control control;
	__u8 unused[40]; /* the rest of the cache line */
	struct pod nobody; /* nobody writes there */
	struct pod pods[PODS_SIZE]; /* by the lower bits of the interface */
};

struct peer_bank {
	struct addr_page pages[PEERS4_SIZE];
};

struct peer_tables {
	struct peer_bank bank[BANKS];
};

struct prefix_bank {
	struct prefix6 prefixes[PREFIXES6_SIZE];
	__u32 otherwise; /* slot of the addresses that lie in none; PEER_SPARSE: look in the hash tables */
	__u32 unused[15];
};

struct prefix_tables {
	struct prefix_bank bank[BANKS];
};

struct rule_bank {
	struct set_rows sets[SETS_SIZE];
	struct row rows[ROWS_SIZE];
};

struct rule_tables {
	struct rule_bank bank[BANKS];
};

struct port_bank {
	struct port_page port_pages[PORT_PAGES_SIZE];
	struct port_leaf port_leaves[PORT_LEAVES_SIZE];
	__u32 port_edges[PORT_EDGES_SIZE];
};

struct port_tables {
	struct port_bank bank[BANKS];
};
