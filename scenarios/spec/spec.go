// Package spec is the scenario format: what a file under scenarios/ may say, how it is read, and which cluster each
// of its steps leads to.
package spec
