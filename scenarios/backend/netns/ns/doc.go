// Package ns makes network namespaces that nobody but this process can see.
//
// A namespace made here has no name and no mount: it lives as long as a file descriptor, a socket or a link's peer
// holds it, so the kernel removes it, its links, its routes and its rules when the process ends, however it ends.
//
// The trap: a namespace belongs to an OS thread, not to a goroutine. Code that must run inside goes through NS.Do and
// starts no goroutine there; a socket keeps the namespace it was made in and may be used from anywhere afterwards.
package ns
