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
	}
}
