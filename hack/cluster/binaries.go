package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binaries are the absolute paths of the programs that a cluster needs.
type Binaries struct {
	Dir               string // where all of them are, beside kubectl if there is one
	Etcd              string
	APIServer         string
	ControllerManager string
	KubeProxy         string
}

// FindOptions say where to look for the programs.
type FindOptions struct {
	// Dir, if set, is the only place to look.
	Dir string
	// Node asks for kubelet and kubeadm too, for nodes with a container runtime. They are in Binaries.Dir.
	Node bool
	// Build allows building what is nowhere to be found. It takes about ten minutes on two cores.
	Build bool
	// Progress is told, in lines for people, what takes long. Default: nobody.
	Progress io.Writer
}

// ErrNotBuilt is returned where the programs are nowhere to be found and may not be built.
var ErrNotBuilt = errors.New("no Kubernetes programs: not in KUBEBUILDER_ASSETS, PATH or the cache")

// Find returns the programs of the first place that has them all, in the order that the package comment gives.
func Find(ctx context.Context, options FindOptions) (Binaries, error) {
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	programs := options.programs()
	if options.Dir != "" {
		return binariesIn(options.Dir, programs)
	}
	if b, ok := given(programs, options.Progress); ok {
		return b, nil
	}
	source, err := findSource(options.Node)
	if err != nil {
		return Binaries{}, fmt.Errorf("%w: %w", ErrNotBuilt, err)
	}
	for _, dir := range source.outs() {
		if b, err := binariesIn(dir, programs); err == nil {
			return b, nil
		}
	}
	if !options.Build {
		return Binaries{}, ErrNotBuilt
	}
	if err := source.build(ctx, options.Progress); err != nil {
		return Binaries{}, fmt.Errorf("build Kubernetes: %w", err)
	}
	return binariesIn(source.out, programs)
}

// programs are those that a place must have.
func (o FindOptions) programs() []string {
	programs := []string{etcdName, apiServerName, controllerManagerName, kubeProxyName}
	if o.Node {
		programs = append(programs, nodePrograms()...)
	}
	return programs
}

// given looks where the user has put programs. A place that lacks some is passed over, and the user is told.
func given(programs []string, progress io.Writer) (Binaries, bool) {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		b, err := binariesIn(assets, programs)
		if err == nil {
			return b, true
		}
		fmt.Fprintf(progress, "KUBEBUILDER_ASSETS is passed over: %v\n", err)
	}
	etcd, err := exec.LookPath(etcdName)
	if err != nil {
		return Binaries{}, false
	}
	b, err := binariesIn(filepath.Dir(etcd), programs)
	return b, err == nil
}

// binariesIn returns the programs of one directory or says which are missing there.
func binariesIn(dir string, programs []string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, fmt.Errorf("find programs: %w", err)
	}
	var missing []string
	for _, name := range programs {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return Binaries{}, fmt.Errorf("%s lacks %s", dir, strings.Join(missing, ", "))
	}
	return Binaries{
		Dir:               dir,
		Etcd:              filepath.Join(dir, etcdName),
		APIServer:         filepath.Join(dir, apiServerName),
		ControllerManager: filepath.Join(dir, controllerManagerName),
		KubeProxy:         filepath.Join(dir, kubeProxyName),
	}, nil
}
