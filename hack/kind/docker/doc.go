// Package docker finds a Docker daemon for kind, or installs and starts one of its own.
//
// Its own daemon needs root on Debian and is kept apart from the machine: it lives in a network, mount and process
// namespace of its own, so that its bridges, packet filters, mounts and processes are no one else's, and so that all
// of them end with the first process in there. A veth pair connects the two network namespaces, which gives the daemon
// an address at which processes of the machine reach the ports that containers publish. No packet is forwarded from
// there to anywhere else: containers do not reach the Internet, and images are loaded, not pulled.
//
// The trap: nothing outside those namespaces sees the daemon's mounts and processes. Only its socket, its data and its
// log lie in the file system, below the user's cache directory.
package docker
