/* SPDX-License-Identifier: Apache-2.0 */
/* The maps. Sizes of the tables are those of one bank by default; the loader sets both the sizes and the constants
 * below, so that a node that needs more gets larger tables without another object file. */
#pragma once

const volatile __u32 peers4_size = 4096;
const volatile __u32 sets_size = 512;
const volatile __u32 rows_size = 1024;
const volatile __u32 port_sets_size = 4096;
const volatile __u32 port_pages_size = 512;
const volatile __u32 port_leaves_size = 8192;

/* Jiffies per second, which user space reads off the resolution of CLOCK_MONOTONIC_COARSE. */
const volatile __u32 hz = 250;

/* For BPF_PROG_TEST_RUN, which can give a packet neither an interface that does not exist nor the socket of a process of
 * the node: both then come with the packet's metadata, and the reason goes back the same way. Constant false in a program
 * that is attached, so that the verifier removes that code. */
const volatile __u8 harness = 0;

#define TABLE(map_name, map_value, size)                                                                               \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__type(key, __u32);                                                                                    \
		__type(value, map_value);                                                                              \
		__uint(max_entries, size);                                                                             \
	} map_name SEC(".maps")

TABLE(peers4, struct page, 4096 * BANKS);
TABLE(sets, struct page, 512 * BANKS);
TABLE(rows, struct page, 1024 * BANKS);
TABLE(port_sets, struct port_set, 4096 * BANKS);
TABLE(port_pages, struct page, 512 * BANKS);
TABLE(port_leaves, struct port_leaf, 8192 * BANKS);
TABLE(pods, struct pod, POD_ARRAY);
TABLE(healing, struct healing, POD_ARRAY);

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
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct control);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
} control SEC(".maps");

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
