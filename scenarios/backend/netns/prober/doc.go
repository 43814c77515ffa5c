// Package prober opens real connections between network namespaces and tells what became of each.
//
// One process listens in all namespaces and connects from all of them: a socket keeps the namespace it was made in. A
// probe is one new connection with one question and one answer, which names the listener:
//
//	TCP    connect, send the probe's number, read number and name
//	UDP    a datagram with the number, a datagram back with number and name
//	SCTP   INIT, INIT ACK whose cookie is the name, on raw sockets, as many kernels have no SCTP sockets
//
// A probe that gets no answer is Blocked only if nothing arrived. To know that, raw sockets beside the listeners see
// every TCP SYN, UDP datagram and SCTP INIT that the namespace delivers to itself, and they are emptied before a probe
// is judged. Source ports are counted up for the whole process, so that a connection is never taken for an earlier one,
// and what arrived is matched with its probe by source port, which survives address translation.
package prober
