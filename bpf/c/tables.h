/* SPDX-License-Identifier: Apache-2.0 */
/* The maps. Nearly all arrays lie in a few, each of a single large value: a program knows where that is and only adds offsets whose
 * bounds the verifier knows, and user space maps it into its memory and writes with plain stores. */
#pragma once

#define TABLE_MAP(map, tables)                                                                                         \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__type(key, __u32);                                                                                    \
		__type(value, tables);                                                                                 \
		__uint(max_entries, 1);                                                                                \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
	} map SEC(".maps")

TABLE_MAP(node, struct node_tables);
TABLE_MAP(peers4, struct peer_tables);
TABLE_MAP(prefixes6, struct prefix_tables);
TABLE_MAP(rules, struct rule_tables);
TABLE_MAP(port_bits, struct port_tables);
TABLE_MAP(cpus, struct cpu); /* as many as the machine may have: machine.size */

/* The value of a variable, of which the compiler knows nothing: it then makes no branch of a choice between two, and leaves out
 * no check because it knows better than the verifier. */
#define OPAQUE(v) asm volatile("" : "+r"(v))

/* What is known early is added to an address early: each step of a look-up then waits for as little as possible after the step
 * before it. */
#define EARLY(address) OPAQUE(address)

/* Where the value of a map lies. The loader makes the address of the value of what is here the address of the map, so that
 * finding it is one instruction (Node.Configure). */
#define VALUE_OF(map)                                                                                                  \
	({                                                                                                             \
		void *value = &(map);                                                                                  \
		OPAQUE(value);                                                                                         \
		value;                                                                                                 \
	})

/* An entry of a table. The index is cut to the table's size: what user space writes never leads beyond. */
#define ENTRY(b, table, index) (&(b)->table[(index) & (sizeof((b)->table) / sizeof((b)->table[0]) - 1)])

static __always_inline struct node_tables *tables_of_node(void)
{
	return VALUE_OF(node);
}

static __always_inline struct peer_bank *peers_of(__u32 epoch)
{
	__u64 bank = epoch & (BANKS - 1);

	OPAQUE(bank);
	return VALUE_OF(peers4) + bank * sizeof(struct peer_bank);
}

static __always_inline struct prefix_bank *prefixes_of(__u32 epoch)
{
	__u64 bank = epoch & (BANKS - 1);

	OPAQUE(bank);
	return VALUE_OF(prefixes6) + bank * sizeof(struct prefix_bank);
}

static __always_inline struct rule_bank *rules_of(__u32 epoch)
{
	__u64 bank = epoch & (BANKS - 1);

	OPAQUE(bank);
	return VALUE_OF(rules) + bank * sizeof(struct rule_bank);
}

static __always_inline struct port_bank *port_bank_of(__u32 epoch)
{
	__u64 bank = epoch & (BANKS - 1);

	OPAQUE(bank);
	return VALUE_OF(port_bits) + bank * sizeof(struct port_bank);
}

/* The entry that an interface has, unless another one has it. */
static __always_inline struct pod *pod_at(__u32 ifindex)
{
	OPAQUE(ifindex);
	return &tables_of_node()->pods[ifindex & (PODS_SIZE - 1)];
}

/* A number that the loader writes into the program (Node.Configure), where C has it as a mark. A constant variable would be loaded from
 * a map by every packet, also where the verifier knows its value. Volatile, it is loaded where it is needed: kept for all places, it
 * would take one of four registers. */
#define CONSTANT(which)                                                                                                \
	({                                                                                                             \
		__u64 value;                                                                                           \
		asm volatile("%0 = %1 ll" : "=r"(value) : "i"((__u64)CONSTANT_MARK << 32 | (which)));                         \
		value;                                                                                                 \
	})
#define HZ CONSTANT(CONSTANT_HZ)
#define TRACK_ALL CONSTANT(CONSTANT_TRACK_ALL)
#define KEEP_ESTABLISHED CONSTANT(CONSTANT_KEEP_ESTABLISHED)
#define LASTS CONSTANT(CONSTANT_LASTS)
#define CPUS_MASK CONSTANT(CONSTANT_CPUS_MASK)
#define FLOWS4_MASK CONSTANT(CONSTANT_FLOWS4_MASK)
#define FLOWS6_MASK CONSTANT(CONSTANT_FLOWS6_MASK)
#define MOVING CONSTANT(CONSTANT_MOVING)
#define OLD4_MASK CONSTANT(CONSTANT_OLD4_MASK)
#define OLD6_MASK CONSTANT(CONSTANT_OLD6_MASK)
#define HARNESS CONSTANT(CONSTANT_HARNESS)

_Static_assert(sizeof(struct cpu) == 4096, "a page");

static __always_inline struct cpu *this_cpu(void)
{
	static __u64 (*const number)(void) = (void *)BPF_FUNC_get_smp_processor_id; /* 32 bits of it would have to be cut */

	return VALUE_OF(cpus) + (number() & CPUS_MASK) * sizeof(struct cpu);
}

/* Calls of a helper for two maps in two branches must stay two calls: merged into one, with the map in a register, the
 * kernel could not call the map's own function directly. */
#define KEEP_APART(n) asm volatile("" : : "i"(n))

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct pod);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} pods_far SEC(".maps");

static __always_inline struct pod *pod_far(__u32 ifindex)
{
	return bpf_map_lookup_elem(&pods_far, &ifindex);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct host_key);
	__type(value, __u32);
	__uint(max_entries, 2097152);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} peer_hosts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct net_key);
	__type(value, __u32);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} peer_nets SEC(".maps");

/* Nobody maps these, but what can be mapped begins at a page, and so every place at a cache line. */
#define FLOWS_MAP(map, places, number)                                                                                 \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__type(key, __u32);                                                                                    \
		__type(value, places);                                                                                 \
		__uint(max_entries, number);                                                                           \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
	} map SEC(".maps")

FLOWS_MAP(flows4, struct flows4, 8192);
FLOWS_MAP(flows6, struct flows6, 8192);
FLOWS_MAP(old4, struct flows4, 1); /* where flows are moved from */
FLOWS_MAP(old6, struct flows6, 1);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} events SEC(".maps");
