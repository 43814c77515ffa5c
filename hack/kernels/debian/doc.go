// Package debian gets kernels out of a Debian archive: it reads the index of a suite, downloads the newest package that
// matches, verifies it by the hash of the index, and unpacks the kernel and its modules into a cache. It runs no
// package tool and changes nothing of the host's packages.
//
// The trap: only the hash of a package is verified, not the signature of the index. What comes out of here runs in a
// virtual machine for tests, never on the host.
package debian
