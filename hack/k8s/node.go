//go:build node

package main

import (
	"context"

	"github.com/spf13/cobra"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app"
	kubeadmerrors "k8s.io/kubernetes/cmd/kubeadm/app/util/errors"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// addNodePrograms adds what only nodes with a container runtime run.
func addNodePrograms(programs map[string]program) {
	programs["kubelet"] = component(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) })
	programs["kubeadm"] = func() int {
		kubeadmerrors.HandleError(kubeadm.Run())
		return 0
	}
}
