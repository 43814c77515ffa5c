package main

// inHost are bugs of how an agent sees the network of its node, which would let it lose a pod that is there.
func inHost() []Mutant {
	return []Mutant{
		{"a-port-that-leaves-is-gone", "a pod on a bridge is open for good once its interface has left the bridge, and has come back",
			"agent/hostnet/watch_linux.go", `if u.Family != unix.AF_UNSPEC {`, `if false {`,
			[]string{"agent/hostnet:TestPortThatLeaves", "cmd/palisade-agent:TestPortOfABridge"}},
		{"gone-without-a-look", "an interface that is taken to be gone by mistake loses its filter",
			"agent/kernel.go", `if err == nil && !lives {`, `if err == nil {`,
			[]string{"agent:TestNoInterfaceThatLives"}},
		{"a-pod-goes-with-its-route", "an isolated pod is open once the host's route to it has gone, or another one has come",
			"agent/core/pods.go", `		i.remember(pod.Addrs, routed[i.ifindex])
`, ``,
			[]string{"agent/core:TestPodStaysIsolated", "cmd/palisade-agent:TestIsolatedPodStays"}},
		{"what-policies-said-stays", "a pod has the address of an earlier one of its name for good",
			"agent/core/pods.go", `return !slices.Contains(sure, a)`, `return len(sure) > 100`,
			[]string{"agent/core:TestWhatPoliciesSaid"}},
		{"a-stray-route-is-for-life", "a pod to which a route once led by mistake has another pod's address and policies",
			"agent/core/pods.go", `return ok && now != ifindex && `, `return ok && now == 0 && `,
			[]string{"agent/core:TestTheBestRoute"}},
		{"metrics-count-for-nothing", "a route that no packet takes says whose interface it is",
			"agent/core/routes.go", `way.Metric <= best.Metric`, `true`,
			[]string{"agent/core:TestTheBestRoute"}},
		{"replaced-routes-stay", "a route that another one replaced leads to the pod's former interface for ever",
			"agent/hostnet/watch_linux.go", `u.NlFlags&unix.NLM_F_REPLACE != 0`, `false`,
			[]string{"agent/hostnet:TestRoutesToOneAddress"}},
	}
}
