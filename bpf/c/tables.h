/* SPDX-License-Identifier: Apache-2.0 */
/* The maps. All arrays lie in one, the map "tables", which has few large values: a program looks up those that it needs and
 * then only adds offsets whose bounds the verifier knows, and user space maps all into its memory, where they follow one
 * another, and writes with plain stores. */
#pragma once

/* An entry of a table. The index is cut to the table's size: what user space writes never leads beyond. */
#define CUT(table, index) (&(table)[(index) & (sizeof(table) / sizeof((table)[0]) - 1)])
#define ENTRY(t, bank, table, index) CUT((t)->table[(bank) & (BANKS - 1)], index)
#define PAGE_SLOT(t, bank, table, index, n) (ENTRY(t, bank, table, index)->slot[(n) & (FANOUT - 1)])

/* Jiffies per second, which user space reads off the resolution of CLOCK_MONOTONIC_COARSE. */
const volatile __u32 hz = 250;

/* Remember flows of pods that are not isolated in the other direction too, so that a first policy does not cut them. */
const volatile __u8 track_all = 1;

/* For BPF_PROG_TEST_RUN, which can give a packet neither an interface that does not exist nor the socket of a process of
 * the node: both then come with the packet's metadata, and the reason goes back the same way. Constant false in a program
 * that is attached, so that the verifier removes that code. */
const volatile __u8 harness = 0;

/* Calls of a helper for two maps in two branches must stay two calls: merged into one, with the map in a register, the
 * kernel could not call the map's own function directly. */
#define KEEP_APART(n) asm volatile("" : : "i"(n))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, union tables_part);
	__uint(max_entries, PARTS);
	__uint(map_flags, BPF_F_MMAPABLE);
} tables SEC(".maps");

/* Where the pod behind an interface is in the arrays. clang must not know that the cut does nothing: it would leave it out, and
 * the verifier of 5.10 forgets the bounds of a number that was on the stack meanwhile. */
static __always_inline __u32 pod_index(__u32 ifindex)
{
	asm volatile("" : "+r"(ifindex));
	return ifindex & (PODS_SIZE - 1);
}

static __always_inline void *part(__u32 n)
{
	return bpf_map_lookup_elem(&tables, &n);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct pod);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} pods_far SEC(".maps");

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

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow4_key);
	__type(value, struct flow_state);
	__uint(max_entries, 65536);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct flow6_key);
	__type(value, struct flow_state);
	__uint(max_entries, 65536);
} flows6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct fragment_key);
	__type(value, struct fragment_state);
	__uint(max_entries, 4096);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 2 * REASON_COUNT); /* [direction][reason], in packets */
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} events SEC(".maps");
