// Package pinfs gives a process a BPF file system of its own to pin programs, maps and links in.
//
// The file system is mounted nowhere: it is a detached mount that only a descriptor of this process refers to, and its
// files are reached through /proc/self/fd. No other process sees the pins, two sessions never meet, and when the process
// ends, however it ends, the kernel drops the mount and everything that was pinned in it.
package pinfs
