// Package update measures what it costs to change what a node enforces — another peer, another policy, another pod,
// another agent — and how much kernel memory it takes. Whatever it makes has no name, and is gone with the process,
// however that ends.
package update
