// Package e2e replays the scenarios on a running cluster as a Ginkgo suite: one spec per scenario, labelled with its
// topics, and specs about what only a running cluster can show: that a rolling restart of Palisade leaks no packet and
// cuts no connection, and how soon a policy stops a running client.
//
//	export PALISADE_E2E_KUBECONFIG=~/.kube/config
//	go run github.com/onsi/ginkgo/v2/ginkgo -p --label-filter 'ingress && !service' --junit-report e2e.xml ./scenarios/e2e
//
// It is the same runner as that of `palisade scenarios run --backend cluster`, for people whose tools speak Ginkgo.
// PALISADE_E2E_PROBE_IMAGE names another probe image, PALISADE_E2E_PROFILE a capability profile. Without a kubeconfig
// the suite is skipped.
package e2e
