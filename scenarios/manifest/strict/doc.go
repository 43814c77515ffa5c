// Package strict reads YAML (and so JSON) into Go values, and knows for every value where it stood.
//
// The decoders at hand either stop at the first wrong type or forget the place. Here a document becomes a tree of
// Nodes that carry file, line and column; Decode walks the tree and the Go type together and reports everything that
// does not fit — unknown and repeated fields, wrong types — each in one sentence with its place.
//
// Like the API server, it takes field names with their exact case and takes null for "not given". The trap is YAML
// 1.1: Kubernetes tools read an unquoted yes, no, on, off, y or n as a boolean, YAML 1.2 as a string. What two readers
// understand differently is refused here.
package strict
