package main

// inAgent are bugs of the agent: of its step function, and of what runs around it.
func inAgent() []Mutant {
	return []Mutant{
		{"agent-failure-forgotten", "trap 9: a write that failed is logged and never tried again",
			"agent/core/programs.go", `p.dirty, p.since = true, earlier(p.since, p.runSince)`,
			`p.since = earlier(p.since, p.runSince)`,
			[]string{"agent/core:TestFailedProgram"}},
		{"agent-enforces-parts", "trap 7: after a restart a policy is enforced before all of its chunks are there",
			"agent/core/programs.go", `if p.done == 0 && s.policies.waiting() {`, `if false {`,
			[]string{"agent/core:TestRestart"}},
		{"agent-leaves-pins", "trap 26: what was pinned for an interface outlives it",
			"agent/core/iface.go", `		return
	}
	s.leave(ifindex)
`, `		return
	}
`,
			[]string{"agent/core:TestInterfaceThatIsGone"}},
		{"closed-by-way-of-open", "an interface that is down in strict mode comes up whenever it is to be taken down again",
			"agent/kernel.go", `		set := hostnet.Close
		if e.Up {
			set = hostnet.Open
		}
`, `		set := hostnet.Open
		if !e.Up {
			set = func(i int) error { return errors.Join(hostnet.Open(i), hostnet.Close(i)) }
		}
`,
			[]string{"cmd/palisade-agent:TestStrictMode"}},
		{"agent-programs-before-policies", "tables are written before anything is known, and close or open everything",
			"agent/core/programs.go", `p.running || !s.synced || !s.hostKnown {`, `p.running || !s.hostKnown {`,
			[]string{"agent/core:TestNothingIsProgrammed|TestRestart"}},
		{"agent-runs-hot", "a run that failed is asked for again at once, while something else is due",
			"agent/core/programs.go", `if !due || !p.retry.ready(s.now) || `, `if !due || !(p.retry.ready(s.now) || p.again.err != nil) || `,
			[]string{"agent/core:TestAFailedRunWaits"}},
		{"strict-opened-by-name", "in strict mode a pod is open for what policies say of one of its name that had another address",
			"enforce/compile.go", `if c.strict && len(selected) == 0 && !pod.Closed {`, `if false {`,
			[]string{"agent/core:TestNothingIsSaidOfAPod"}},
		{"memory-of-all-times", "what an object said is remembered by nobody, or for ever",
			"enforce/read.go", `	m.read = read
`, `	if m.read == nil {
		m.read = read
	}
`,
			[]string{"enforce:TestMemoryIsOfTheLastBuild"}},
		{"agent-opens-what-parts-select", "a pod that only an incomplete version selects stays open beside those of the former one",
			"agent/core/group.go", `	g.overdue, g.closed = true, nil
`, `	g.overdue, g.closed = true, nil
	if len(g.inForce) > 0 {
		return
	}
`,
			[]string{"agent/core:TestPodsThatOnlyAnIncomplete"}},
		{"agent-closes-by-old-rules", "a pod that only an incomplete version selects gets the rules of the former one",
			"agent/core/group.go", `o.Spec.PolicyRef.Name += ":closed"`, ``,
			[]string{"agent/core:TestPodsThatOnlyAnIncomplete"}},
		{"agent-starts-pods-of-parts", "a pod starts while the policy that selects it is not complete",
			"agent/core/requests.go", `r.partial = s.policies.awaits(&r.Pod)`, `r.partial = false`,
			[]string{"agent/core:TestAddWaits"}},
		{"agent-parts-are-in-force", "a version of which the node knows a part is said to be in force",
			"agent/core/policies.go", `len(g.kept) > 0 || g.waiting() {`, `len(g.kept) > 0 {`,
			[]string{"agent/core:TestAVersion"}},
		{"agent-keeps-once", "trap 7: what disappears while something else is kept is lost at once",
			"agent/core/group.go", `if lost := missing(g.inForce, objects); len(lost) > 0 {`,
			`if lost := missing(g.inForce, objects); len(lost) > 0 && len(g.kept) == 0 {`,
			[]string{"agent/core:TestWhatDisappears|TestUnmarked"}},
		{"agent-mixes-what-it-kept", "what disappeared at different times counts for each other's pods",
			"agent/core/group.go", `fmt.Sprintf(":kept%d", g.losses)`, `":kept"`,
			[]string{"agent/core:TestWhatDisappears"}},
		{"agent-keeps-pods-without-rules", "a pod that is about to appear elsewhere accepts nothing in between",
			"agent/core/group.go", `if pods || len(o.Annotations) > 0 {`, `if pods && rules {`,
			[]string{"agent/core:TestWhatDisappears|TestUnmarked"}},
		{"agent-socket-in-its-way", "an agent that was killed while it made its socket keeps all later ones from starting",
			"agent/socket/server.go", `err := os.Remove(fresh)`, `_, err := os.Lstat(fresh)`,
			[]string{"agent/socket:TestListen"}},
		{"agent-loses-api-in-silence", "an API server that refuses the connection is asked for ever, and nobody is told",
			"agent/watch.go", `	a.ended(ctx, err)
	return w, err`, `	return w, err`,
			[]string{"agent:TestALostAPIServer"}},
		{"agent-names-no-silence", "a node whose policies have been out of date for hours says that all is well",
			"agent/core/state.go", `, s.silence.conditions(s.now, s.cfg.Silence))`, `)`,
			[]string{"agent/core:TestAnAPIServer"}},
		{"agent-ready-unfiltered", "an agent calls itself ready before the interfaces that it found are filtered",
			"agent/core/state.go", `s.programs.done > 0 && !filtering`, `s.programs.done > 0`,
			[]string{"agent/core:TestNothingIsProgrammedBefore"}},
		{"agent-ready-by-old-tables", "an agent calls itself ready while the programs of another version judge by tables that nobody writes any more",
			"agent/core/iface.go", `if i.phase != attached && i.retry.failures < closeAfter {`, `if !i.filtered() && i.retry.failures < closeAfter {`,
			[]string{"agent/core:TestReadyMeans"}},
		{"agent-ready-at-a-failure", "an agent calls itself ready because one attempt to filter an interface failed",
			"agent/core/iface.go", `i.retry.failures < closeAfter {
			return true`, `i.retry.failures < 1 {
			return true`,
			[]string{"agent/core:TestAnInterfaceThatCannot", "agent/core:TestAVersionIsInForceWhen"}},
		{"agent-takes-ingress-for-clsact", "where the CNI bandwidth plugin was first, nothing judges what a pod receives, and all seems well",
			"bpf/hook/clsact_linux.go", `err = socket.QdiscChange(ClsactQdisc(ifindex)); errors.Is(err, unix.EINVAL)`, `err = nil; errors.Is(err, unix.EINVAL)`,
			[]string{"bpf/hook:TestAnIngressQdisc"}},
		{"agent-beside-another", "an agent that hangs in its end and the next one write the same tables",
			"agent/lock/lock.go", `unix.LOCK_EX|unix.LOCK_NB`, `unix.LOCK_SH|unix.LOCK_NB`,
			[]string{"agent/lock:TestOneAgentAtATime"}},
		{"agent-unmaps-what-it-reads", "a page of metrics that is asked for at the end reads memory that is gone",
			"agent/http.go", `ended <- end(server)`, `ended <- server.Close()`,
			[]string{"agent:TestServingEnds"}},
		{"agent-counts-objects-twice", "a pod that is closed in both directions counts as two",
			"enforce/input.go", `return slices.Compact(list)`, `return list`,
			[]string{"agent:TestPodsThatDoNotFit"}},
		{"agent-counts-conditions", "the number of objects with which something is wrong is that of what is wrong with them",
			"agent/metrics/metrics.go", `m.conditions.Set(float64(len(objects)))`, `m.conditions.Set(float64(len(all)))`,
			[]string{"agent/metrics:TestConditions"}},
		{"agent-instance-by-interface", "trap 15: a new interface with an old number inherits its flows",
			"agent/core/iface.go", `fmt.Fprintf(h, "%d %d %d", now.UnixNano(), ifindex, n)`, `fmt.Fprintf(h, "%d", ifindex)`,
			[]string{"agent/core:TestInstance"}},
	}
}
