package main

// inTestbed are bugs of the backend for clusters, which would let one scenario change what another one observes.
func inTestbed() []Mutant {
	spares := []string{"scenarios/backend/cluster:TestAScenarioGoesOn|TestSparePods|TestOddPods|TestOnlyOrdinary"}
	return []Mutant{
		{"policies-outlive-their-scenario", "a scenario begins under the policies of the one before",
			"scenarios/backend/cluster/spare.go", `[]string{kindPolicy, kindSlice, kindService}`, `[]string{kindSlice, kindService}`, spares},
		{"labels-outlive-their-scenario", "policies and Services select pods that the scenario does not know",
			"scenarios/backend/cluster/spare.go", `bare.Labels, bare.Annotations = nil, nil`, `bare.Annotations = nil`, spares},
		{"spare-pods-are-seen", "the oracle is asked about pods that the scenario does not have",
			"scenarios/backend/cluster/view.go", `if s.spares[key{kindPod, name, pods.Items[i].Name}] == nil {`, `{`, spares},
		{"another-node-will-do", "a pod stands where the scenario does not want it",
			"scenarios/backend/cluster/spare.go", `	for _, list := range [][]corev1.Container`,
			`	spec.Affinity = nil
	for _, list := range [][]corev1.Container`, spares},
		{"pods-are-relied-on-unseen", "a pod that has gone since is taken for one that runs",
			"scenarios/backend/cluster/spare.go", `return running == len(kept.pods) && running == len(list.Items), nil`, `return running <= len(list.Items), nil`,
			spares},
		{"spare-pods-outlive-their-namespace", "a scenario is offered the pods of a namespace that another one has deleted",
			"scenarios/backend/cluster/write.go", `			s.dropSpares(k.name)`, ``, spares},
		{"ended-pods-are-kept", "a scenario is given a pod that has ended",
			"scenarios/backend/cluster/spare.go", `return r.pod.Status.Phase == corev1.PodRunning && isReady`, `return isReady`, spares},
		{"a-failure-is-handed-on", "a scenario goes on in a namespace where a change has failed",
			"scenarios/backend/cluster/spare.go", `if s.backend.opts.Fresh || s.view == nil || s.hostPort {`, `if s.backend.opts.Fresh || s.hostPort {`, spares},
		{"kept-connections-outlive-their-scenario", "a probe holds the connections of all scenarios",
			"scenarios/backend/cluster/spare.go", `if err := s.hangUp(ctx); err != nil {`, `if err := ctx.Err(); err != nil {`, spares},
		{"answers-under-another-name", "a pod is called by what the scenario before called it",
			"scenarios/backend/cluster/outside.go", `s.names.podOf(namespace, pod)`, `pod`, spares},
	}
}
