package main

// inHost are bugs of how an agent sees the network of its node, which would let it lose a pod that is there.
func inHost() []Mutant {
	return []Mutant{
		{"a-port-that-leaves-is-gone", "a pod on a bridge is open for good once its interface has left the bridge, and has come back",
			"agent/hostnet/watch_linux.go", `.Family != unix.AF_UNSPEC {`, `.Family == unix.AF_MAX {`,
			[]string{"agent/hostnet:TestPortThatLeaves", "cmd/palisade-agent:TestPortOfABridge"}},
		{"gone-without-a-look", "an interface that is taken to be gone by mistake loses its filter",
			"agent/kernel.go", `if err == nil && !lives {`, `if err == nil {`,
			[]string{"agent:TestNoInterfaceThatLives"}},
		{"a-pod-goes-with-its-route", "an isolated pod is open once the host's route to it has gone, or another one has come",
			"agent/core/pods.go", `		i.remember(pod.Addrs, routed[i.ifindex])
`, ``,
			[]string{"agent/core:TestPodStaysIsolated", "cmd/palisade-agent:TestIsolatedPodStays"}},
		{"one-router-for-all", "every pod may send from any address once some pod may",
			"agent/core/mayroute.go", `return p.Matches(pod)`, `return true`,
			[]string{"agent/core:TestPodsThatMayRoute", "cmd/palisade-agent:TestPodsThatMayRoute"}},
		{"nobody-may-route", "a pod whose name nobody told may send from any address where a pattern matches all",
			"agent/core/mayroute.go", ` && pod.Namespace != "" && pod.Name != ""`, ``,
			[]string{"agent/core:TestPatternsMatch", "agent/core:TestPodsThatMayRoute"}},
		{"routers-are-strangers", "in strict mode the policies of a pod that may route do not count",
			"agent/core/pods.go", `	pod.MayRoute = pod.MayRoute || s.cfg.mayRoute(cmp.Or(i.name, Name{pod.Namespace, pod.Name}))
`, `	pod.MayRoute = pod.MayRoute || s.cfg.mayRoute(cmp.Or(i.name, Name{pod.Namespace, pod.Name}))
	pod.Unknown = pod.MayRoute
`,
			[]string{"agent/core:TestPodsThatMayRoute"}},
		{"routers-forgotten", "a restart of the agent cuts off the pods that may route and that no policy selects",
			"agent/kernel.go", `, Names: k.node.Names()}`, `}`,
			[]string{"cmd/palisade-agent:TestPodsThatMayRouteAreKnownByTheirStart"}},
		{"routers-forgotten-silently", "nobody is told that pods may not route any more after the next restart",
			"agent/kernel.go", `		again = errors.Join(again, fmt`, `		_ = errors.Join(again, fmt`,
			[]string{"cmd/palisade-agent:TestNamesThatCannotBeNoted"}},
		{"a-name-for-the-next", "a pod may route because the one before it on its interface might",
			"agent/core/iface.go", `n.Instance == p.Instance`, `n.Instance != 0`,
			[]string{"agent/core:TestPodsThatMayRouteKeepTheirNames"}},
		{"policies-name-routers", "whoever writes a policy about a pod's address gives it the name of one that may route",
			"agent/core/pods.go", `cmp.Or(i.name, Name{pod.Namespace, pod.Name})`, `cmp.Or(Name{pod.Namespace, pod.Name}, i.name)`,
			[]string{"agent/core:TestPodsThatMayRouteKeepTheirNames"}},
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
			"agent/hostnet/watch_linux.go", `m.Header.Flags&unix.NLM_F_REPLACE != 0`, `false`,
			[]string{"agent/hostnet:TestRoutesToOneAddress"}},
		{"routes-outlive-their-interface", "a pod has the address of the one that had its interface's index before, and what it sends is dropped",
			"agent/core/iface.go", `	s.touchIf(s.host.routes.forget(ifindex))`, `	_ = (routes).forget`,
			[]string{"agent/core:TestRoutesGo"}},
		{"down-with-all-routes", "an interface that is down leads to the addresses that another one has by now",
			"agent/hostnet/watch_linux.go", `if l.Attrs().Flags&net.FlagUp == 0 {`, `if false {`,
			[]string{"agent/hostnet:TestInterfaceThatGoesDown"}},
		{"nobody-takes-the-last", "what was told while a watch ended waits for ever, each time",
			"agent/hostnet/subscribe_linux.go", `			case <-ctx.Done():
				return
`, ``,
			[]string{"agent/hostnet:TestWatchLeavesNothing"}},
		{"hops-are-overlooked", "a way out of the node by several gateways is taken for a pod's interface",
			"agent/hostnet/route_linux.go", `r.MultiPath = readHops(a.Value)`, `r.MultiPath = nil`,
			[]string{"agent/hostnet:TestRoutesAreRead"}},
		{"half-is-nothing", "an isolated pod that lost the filter of one direction loses its entry, too, and is open until the API server answers",
			"agent/core/iface.go", `if i.half = s.wouldOpen(i); i.half || i.entered {`, `if i.half = true; i.half {`,
			[]string{"agent/core:TestHalfA"}},
		{"half-is-replaced", "an isolated pod that has half of a filter is open when an agent starts whose tables are laid out otherwise",
			"agent/core/iface.go", `if !i.inherited && !i.half || s`, `if !i.inherited || s`,
			[]string{"agent/core:TestHalfAFilterOfOther", "cmd/palisade-agent:TestHalfAFilterOfOther"}},
		{"half-is-bare", "an isolated pod is open when the other half of its filter is lost while an agent with other tables waits for policies",
			"agent/kernel.go", `			in.Half = append(in.Half, e.Ifindexes[i])`, `			in.Bare = append(in.Bare, e.Ifindexes[i])`,
			[]string{"cmd/palisade-agent:TestHalfAFilterOfOther"}},
		{"half-lost-is-replaced", "an isolated pod that loses half of its filter while an agent with other tables waits for policies is open",
			"agent/core/filters.go", `			i.half = half
`, `			_ = half
`,
			[]string{"agent/core:TestHalfAFilterOfOther"}},
		{"half-is-whole", "an interface that has a filter in one direction is taken for one that is filtered",
			"bpf/hook/look.go", `		return Half
	}
	return min`, `		return Older
	}
	return min`,
			[]string{"bpf/hook:TestLookFinds"}},
		{"a-list-knows-the-future", "a pod that started while interfaces were listed loses its filter",
			"agent/core/iface.go", `	s.host.keep(former, begun)
`, `	_ = former
`,
			[]string{"agent/core:TestListTellsNothing"}},
		{"ghosts-are-for-ever", "an interface that was seen after it had gone is attached to for ever",
			"agent/kernel.go", `if lives, unknown := hostnet.Exists(e.Ifindex); unknown == nil && !lives {`, `if lives := true; !lives {`,
			[]string{"agent:TestNothingIsAttached"}},
		{"an-index-is-for-life", "a pod starts unfiltered, by another one's entry, because its interface has the index of that one's",
			"agent/core/requests.go", `if i.isAnothers(&in.Pod) {`, `if false {`,
			[]string{"agent/core:TestIndexThatWasGiven"}},
		{"late-news-are-news", "a pod is forgotten when the kernel tells of the interface that had its index before",
			"agent/core/iface.go", `if i == nil || i.pod == nil || i.owed == 0 && (in.Name == "" || in.Name == i.named.Name) {`, `if true {`,
			[]string{"agent/core:TestLateNews"}},
		{"late-results-count", "a pod starts before its interface is filtered, because the one before with that index was",
			"agent/core/iface.go", `i == nil || i.instance != instance || i.phase != from {`, `i == nil || i.phase != from {`,
			[]string{"agent/core:TestResultsForTheInterfaceBefore"}},
		{"one-pin-is-no-link", "what an agent pinned for a pod in one direction, before it was killed, stays for ever",
			"bpf/hook/hook.go", `linkPrefix(dir))
			if`, `linkPrefix(max(dir, flow.Ingress)))
			if`,
			[]string{"bpf/hook:TestALinkOfEither"}},
		{"half-a-list-will-do", "an agent does not start while pods come and go",
			"bpf/hook/dump/dump_linux.go", `n < attempts && `, `n < 1 && `,
			[]string{"bpf/hook/dump", "agent/hostnet:TestListsAre"}},
		{"inherited-is-unfiltered", "people are told that a pod is open which an earlier version filters",
			"agent/core/iface.go", `			if i.filtered() {
				state =`, `			if i.phase == attached {
				state =`,
			[]string{"agent/core:TestWhatAnotherVersion"}},
	}
}
