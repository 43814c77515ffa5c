package cluster

// InNetNS lets tests act as programs in a network namespace.
var InNetNS = inNetNS
