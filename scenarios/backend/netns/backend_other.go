//go:build !linux

package netns

import (
	"context"
	"errors"
	"runtime"

	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// Options change how clusters are run. Nothing runs here.
type Options struct {
	ControlPlane         ControlPlane
	Kubernetes, Programs string
	Idle                 int
	KillLeaderAfter      int
}

// Choose chooses nothing.
func Choose(_ context.Context, o Options) (Options, string, error) { return o, "", nil }

// elsewhere is the backend on systems that have no network namespaces.
type elsewhere struct{}

// New returns the backend. It cannot run here.
func New(Options) backend.Backend { return elsewhere{} }

func (elsewhere) Name() string { return "netns" }

func (elsewhere) Available() error {
	return errors.New("backend netns needs Linux, and this is " + runtime.GOOS)
}

func (e elsewhere) Open(context.Context) (backend.Session, error) { return nil, e.Available() }
