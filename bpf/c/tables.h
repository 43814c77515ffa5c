/* SPDX-License-Identifier: Apache-2.0 */
/* The maps. All arrays lie in one, the map "tables", which has a single value: a program looks it up once and then only adds
 * offsets whose bounds the verifier knows, and user space maps it into its memory and writes with plain stores. */
#pragma once

/* An entry of a table. The index is cut to the table's size: what user space writes never leads beyond. */
#define ENTRY(t, bank, table, index)                                                                                   \
	(&(t)->table[(bank) & (BANKS - 1)][(index) & (sizeof((t)->table[0]) / sizeof((t)->table[0][0]) - 1)])
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
	__type(value, struct tables);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
} tables SEC(".maps");

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
