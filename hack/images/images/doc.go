// Package images builds the container images of Palisade as OCI archives, with nothing but the Go toolchain: no Docker,
// no registry, no base image. An archive is what `kind load image-archive`, `ctr images import` and `docker load`
// (Docker 25 and later) take.
//
// An image is one layer of statically linked programs and the two files that give its user a name. The same tree gives
// the same bytes on every machine that has the same Go version: time stamps are those of the commit or none at all.
//
// The one trap: the commands are built from the working tree as it is. The label with the revision then ends in
// "-modified".
package images
