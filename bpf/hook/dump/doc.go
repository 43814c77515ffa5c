// Package dump reads lists of the kernel that may change while they are read.
package dump
