// Package corpus has no code. Its tests replay scenarios on clusters of processes under conditions that `make scenarios` does
// not have by itself: more nodes, leaders that are killed, and another controller than ours.
package corpus
