// Package fabric is the network of a cluster on one machine: nodes and pods as network namespaces, wired as the VPC CNI
// wires them.
//
// Every namespace hangs below another one by a veth pair, pods below their node and nodes below the fabric, a namespace
// that routes between them. The lower side is called eth0, holds the addresses as /32 and /128 and sends everything to
// 169.254.1.1 or fe80::1, a gateway that exists only as a permanent neighbour entry. The upper side has no address; a
// route per address leads down through it. No bridge, no overlay, no subnet.
//
// A pod's link stays down until Pod.Up, so that whoever filters its packets can attach first.
//
//	pod eth0 ── eni… node eth0 ── eni… fabric …eni ── eth0 node …eni ── eth0 pod
package fabric
