// Package live tests what no test run of a program can: that the programs can be attached to interfaces of this kernel,
// judge real packets there, and go on while the agent that put them there restarts. Two pods are network namespaces
// below a node, as in package fabric; everything is the product's but the wires.
package live
