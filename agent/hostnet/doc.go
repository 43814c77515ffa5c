// Package hostnet watches the interfaces and host routes of the network namespace it runs in, and tells them as Inputs
// of package core.
//
// The kernel drops notifications when a reader is slow. Watch then starts over with a complete list, so that what was
// missed is known too.
package hostnet
