// Package veth measures what a filter costs end to end: from a socket in one network namespace through the node's to a
// socket in another one, over the veth pairs that pods have.
//
// What survives a noisy machine: one thread, bound to one CPU, does everything, so that a packet's whole way lies in
// the system call that sends it; packets go in batches of 16; of the batches of a round the 10th percentile counts,
// which is that of undisturbed ones; a round measures all filters in an order of its own, each right before or after no
// program, and the ratio is that of the two. No program is measured in this way as well: how far its ratio is from 1
// says how exact the others are.
//
// The rules of nftables and iptables are without connection tracking, so that every packet meets them, and the pods are
// in the last two. How much connections cost is a line of its own.
//
// Every round proves that it measured what it says: all packets arrived, and Palisade's counters say that each was
// allowed by policy in both directions.
//
// Filters have beds of their own where they would leave something behind in a namespace: what was tracked by conntrack,
// and the tables of iptables, which stay hooked in once they were used. "No program" is measured where neither ever
// was. The namespaces, pins and programs have no names, so that they are gone with the process, however it ends.
//
// Blast uses the same bed for something else: it shows that no packet gets through while policies are swapped.
package veth
