package bpf

// The include path is Debian's: <asm/types.h> lies in a folder per architecture there, and the BPF object is the same for
// all little-endian ones.
//
//go:generate go tool bpf2go -go-package bpf -target bpfel -type event -type table_size -type control -type addr_page -type row -type set_rows -type cpu -type port_page -type port_leaf -type node_tables -type peer_bank -type peer_tables -type prefix6 -type prefix_bank -type prefix_tables -type prefix6_search -type rule_bank -type rule_tables -type port_bank -type port_tables -type pod -type reason -type set -type ports -type ports_listed -type peer_slot -type space -type mode -type direction -type flow_bits -type constant -type moved kernel c/palisade.bpf.c -- -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu -Wall -Wextra -Werror -Wno-sign-compare -mcpu=v2
