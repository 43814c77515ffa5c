package main

// inController are bugs of what the controller writes, and when.
func inController() []Mutant {
	return []Mutant{
		{"no-pause-before-the-next-delete", "an object that cannot be deleted costs thousands of requests a second",
			"controller/core/due.go", `for which wrote asks
		return effects`, `which wrote asks
		return append(effects, Queue{Policy: key})`,
			[]string{"controller/core:TestWhatIsInTheWay"}},
		{"variants-are-not-found", "an agent that finds a policy by the name of an object opens the pods of its variants",
			"controller/resolve/publish.go", `return CutName(v.refName(), maxRefNameLength) + "-"`,
			`return CutName(v.policy, maxRefNameLength) + "-"`,
			[]string{"controller/resolve:TestVariantsAreFound"}},
		{"variants-of-nobody", "the agent takes each variant for a policy of its own, of which a part is missing",
			"agent/core/strip.go", `v1alpha1.ChunkCountAnnotation, v1alpha1.PolicyAnnotation,`, `v1alpha1.ChunkCountAnnotation,`,
			[]string{"agent/core:TestStrip"}},
		{"departed-for-ever", "the controller remembers each policy that ever went",
			"controller/core/core.go", `return !c.left(key, uid) })`, `return false })`,
			[]string{"controller/core:TestNothingIsRemembered"}},
		{"orphans-stay", "an object that lost its owner keeps a policy incomplete for ever, which agents then do not follow",
			"controller/core/plan.go", ` || orphaned(o):`, `:`,
			[]string{"controller/core:TestOrphans"}},
		{"pods-move-to-nowhere", "a policy that a finalizer keeps isolates nobody once its pods no longer fit into one object",
			"controller/core/plan.go", `p.lacking = true`, `p.lacking = false`,
			[]string{"controller/core:TestPolicyBeingDeletedGrows"}},
		{"a-phase-follows-a-failure", "pods leave one object although those that were to have them were refused",
			"controller/publish/work.go", `ok = ok && wrote.OK()`, `ok = len(effects) == 0`,
			[]string{"controller/publish:TestNoPhase"}},
	}
}
