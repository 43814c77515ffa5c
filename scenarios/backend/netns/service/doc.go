// Package service makes Services answer in a node's namespace: what kube-proxy does for ClusterIPs and for the node
// ports of clients outside the cluster, what the CNI does for host ports, and no more.
//
// With a real API server a real kube-proxy does all that but the host ports, and Table only looks at what it has programmed.
//
// Frontends reads Services and EndpointSlices and is pure; Table makes one namespace translate them by nftables. A new
// connection goes to a random endpoint; a Service port without any is refused by an ICMP error, also where kube-proxy
// would be silent because the only endpoints are on other nodes; a pod that is sent to itself sees its node's address.
// Session affinity, load balancers' addresses and topology hints are not modelled, nor are pods that call node ports.
package service
