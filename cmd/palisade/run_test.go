package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/sim/engine"
)

// fakeBackend is a backend by name that can run here or says why not. Its sessions wait in Apply until their context
// ends, and nothing else of them is ever called.
type fakeBackend struct {
	backend.Session
	name      string
	available error
	applying  func()
	closed    *bool
}

func (b fakeBackend) Name() string     { return b.name }
func (b fakeBackend) Available() error { return b.available }

func (b fakeBackend) Open(context.Context) (backend.Session, error) { return b, nil }

func (b fakeBackend) Apply(ctx context.Context, _ *model.Cluster) error {
	b.applying()
	<-ctx.Done()
	return ctx.Err()
}

func (b fakeBackend) Outside(context.Context, []backend.Host) error { return nil }

func (b fakeBackend) Close() error {
	*b.closed = true
	return nil
}

const twoPods = `
apiVersion: palisade.dev/v1alpha1
kind: Scenario
metadata: {name: two-pods}
description: Two pods.
objects:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- {apiVersion: v1, kind: Pod, metadata: {name: b}}
steps: [{name: open}]
`

// testWorld is a world whose output goes to the strings returned.
func testWorld(backends ...backend.Backend) (w *world, out, err *strings.Builder) {
	out, err = &strings.Builder{}, &strings.Builder{}
	return &world{
		in: strings.NewReader(""), out: terminal{Writer: out, width: 80}, err: terminal{Writer: err, width: 80},
		now: time.Now, backends: backends,
		engines: map[string]func() engine.Engine{"model": engine.NewModel},
	}, out, err
}

func TestInterruptedRunClosesItsSessionsAndExits130(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "two-pods.yaml")
	if err := os.WriteFile(file, []byte(twoPods), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	closed := false
	w, _, stderr := testWorld(fakeBackend{name: "netns", applying: interrupt, closed: &closed})
	reports := filepath.Join(dir, "out")
	code := execute(ctx, w, []string{"palisade", "scenarios", "run", "--out", reports, file})
	if code != exitInterrupted || stderr.String() != "palisade: interrupted\n" || !closed {
		t.Errorf("exit code %d, session closed: %v, standard error %q", code, closed, stderr)
	}
	if _, err := os.Stat(reports); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an interrupted run wrote reports: %v", err)
	}
}

func TestChooseBackend(t *testing.T) {
	noRoot := errors.New("netns needs root")
	strong, weak := fakeBackend{name: "netns"}, fakeBackend{name: "sim"}
	strongest, unable := fakeBackend{name: "cluster", available: errors.New("no kubeconfig")}, strong
	unable.available = noRoot
	tests := map[string]struct {
		name     string
		backends []backend.Backend
		want     string
		says     string
	}{
		"the strongest": {
			"auto", []backend.Backend{strong, weak}, "netns", "backend netns, the strongest there is",
		},
		"the strongest that can run": {
			"auto", []backend.Backend{strongest, unable, weak}, "sim",
			"backend sim, the strongest that can run here: no kubeconfig; netns needs root",
		},
		"none can run": {"auto", []backend.Backend{unable}, "", "no backend can run here: netns needs root"},
		"by name":      {"sim", []backend.Backend{strong, weak}, "sim", "backend sim, as asked for"},
		"by name, but unable": {
			"netns", []backend.Backend{unable, weak}, "", "netns needs root",
		},
		"not there": {
			"kind", []backend.Backend{strong}, "", "backend kind is not there on this machine",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, says, err := chooseBackend(test.name, test.backends)
			if err != nil {
				says = err.Error()
			}
			if says != test.says || (got == nil) != (test.want == "") || got != nil && got.Name() != test.want {
				t.Errorf("chose %v, saying %q", got, says)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx  context.Context
		err  error
		want int
	}{
		"all is well":            {t.Context(), nil, exitOK},
		"bad input":              {t.Context(), errors.New("no such pod"), exitUsage},
		"something failed":       {t.Context(), failf("engine: %w", os.ErrClosed), exitFailed},
		"interrupted":            {cancelled, failf("run: %w", context.Canceled), exitInterrupted},
		"done before the signal": {cancelled, nil, exitOK},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := exitCode(test.ctx, test.err); got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}
		})
	}
}

func TestVersionLineNamesTheCommit(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"},
	}}
	if got := versionLine(info); !strings.HasPrefix(got, "palisade v1.2.3 (0123456789ab+changes, go") {
		t.Errorf("version line %q", got)
	}
	if got := versionLine(nil); !strings.HasPrefix(got, "palisade (devel) (unknown commit, go") {
		t.Errorf("version line without build information %q", got)
	}
}

func TestReasonsAreCounted(t *testing.T) {
	got := reasons([]run.Inapplicable{{Reason: "needs IPv6"}, {Reason: "adds nodes"}, {Reason: "needs IPv6"}})
	want := "3 further scenarios cannot be replayed there:\n    1 adds nodes\n    2 needs IPv6\n"
	if got != want {
		t.Errorf("reasons %q, want %q", got, want)
	}
	if got := reasons(nil); got != "" {
		t.Errorf("where all apply it says %q", got)
	}
}

func TestTheProbeImageIsThatOfTheRelease(t *testing.T) {
	for version, tag := range map[string]string{
		"v1.2.3": "v1.2.3", "(devel)": "dev", "v0.0.0-20260101000000-0123456789ab": "dev", "v1.2.3+dirty": "dev",
	} {
		got := probeImage(&debug.BuildInfo{Main: debug.Module{Version: version}})
		if want := "ghcr.io/palisade-netpol/palisade-probe:" + tag; got != want {
			t.Errorf("version %s: image %s, want %s", version, got, want)
		}
	}
}
