// Command k8s is Kubernetes and etcd in one binary: what runs is chosen by the name under which it was started
// (argv[0], by a link), or else by the first argument. The linker shares what the programs have in common, so that
// all of them cost little more than kube-apiserver alone. Package hack/cluster builds it, caches it and makes the
// links.
//
// With the build tag "node" it also holds what a node of its own needs: kubelet and kubeadm.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl: credential plugins
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // the version metric
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
)

// program is one of the binary's faces. It finds its arguments in os.Args, as its own main would, and returns the exit
// status.
type program func() int

func main() {
	os.Exit(run(os.Stderr))
}

// run starts the program that os.Args names.
func run(stderr io.Writer) int {
	programs := allPrograms()
	if p, ok := programs[filepath.Base(os.Args[0])]; ok {
		return p()
	}
	if len(os.Args) > 1 {
		if p, ok := programs[os.Args[1]]; ok {
			os.Args = os.Args[1:]
			return p()
		}
	}
	fmt.Fprintf(stderr, "usage: %s PROGRAM [ARGUMENT…], where PROGRAM is one of %s\n",
		filepath.Base(os.Args[0]), strings.Join(names(programs), ", "))
	return 2
}

func allPrograms() map[string]program {
	programs := map[string]program{
		"etcd":                    etcd,
		"kube-apiserver":          component(apiserver.NewAPIServerCommand),
		"kube-controller-manager": component(controllermanager.NewControllerManagerCommand),
		"kube-proxy":              component(proxy.NewProxyCommand),
		"kube-scheduler":          component(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
		"kubectl":                 kubectl,
	}
	addNodePrograms(programs)
	return programs
}

// component is a program made of one of the commands that all components of Kubernetes are.
func component(newCommand func() *cobra.Command) program {
	return func() int { return cli.Run(newCommand()) }
}

// etcd exits by itself when it fails.
func etcd() int {
	etcdmain.Main(os.Args)
	return 0
}

// kubectl words its errors in its own way and then exits.
func kubectl() int {
	kubectlutil.CheckErr(cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()))
	return 0
}

func names(programs map[string]program) []string {
	names := make([]string, 0, len(programs))
	for name := range programs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
