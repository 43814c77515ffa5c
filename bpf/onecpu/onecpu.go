// Package onecpu keeps a goroutine on one CPU: what is measured is then not moved about, packets that it sends stay in order, and the
// programs in the kernel find what they have written for that CPU.
package onecpu
