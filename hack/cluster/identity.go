package cluster

// ServiceAccount returns the user that the API server sees in whoever has a token of a ServiceAccount, and the groups: the
// arguments of Kubeconfig and Config.
func ServiceAccount(namespace, name string) (user string, groups []string) {
	const prefix = "system:serviceaccount"
	return prefix + ":" + namespace + ":" + name, []string{prefix + "s", prefix + "s:" + namespace}
}
