package cluster

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindTakesTheFirstPlaceThatHasAllPrograms(t *testing.T) {
	all := []string{etcdName, apiServerName, controllerManagerName, kubeProxyName}
	assets, path, explicit := programs(t, all...), programs(t, all...), programs(t, all...)
	few := programs(t, etcdName, apiServerName)
	tests := []struct {
		name              string
		dir, assets, path string
		want              string // the place; "" for an error
		progress, err     string // what they must mention
	}{
		{name: "the caller's directory first", dir: explicit, assets: assets, path: path, want: explicit},
		{name: "then KUBEBUILDER_ASSETS", assets: assets, path: path, want: assets},
		{name: "then PATH", path: path, want: path},
		{name: "incomplete assets are passed over aloud", assets: few, path: path, want: path,
			progress: "lacks kube-controller-manager, kube-proxy"},
		{name: "an incomplete directory of the caller is an error", dir: few, path: path,
			err: "lacks kube-controller-manager, kube-proxy"},
		{name: "an incomplete PATH is no place", path: few, err: ErrNotBuilt.Error()},
		{name: "nowhere", err: ErrNotBuilt.Error()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", t.TempDir())
			t.Setenv("KUBEBUILDER_ASSETS", test.assets)
			t.Setenv("PATH", test.path)
			var progress bytes.Buffer
			b, err := Find(t.Context(), FindOptions{Dir: test.dir, Progress: &progress})
			if b.Dir != test.want || (err == nil) != (test.want != "") {
				t.Fatalf("found %q (%v), want %q", b.Dir, err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %q does not mention %q", err, test.err)
			}
			if !strings.Contains(progress.String(), test.progress) {
				t.Errorf("progress %q does not mention %q", progress.String(), test.progress)
			}
		})
	}
}

// TestProgramsOfNodesServeWithoutNodesToo: whoever builds for kind does not build again for a cluster without kubelets,
// and not the other way round.
func TestProgramsOfNodesServeWithoutNodesToo(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("PATH", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, built := range []bool{false, true} {
		s, err := findSource(built)
		if err != nil {
			t.Fatal(err)
		}
		all := []string{etcdName, apiServerName, controllerManagerName, kubeProxyName}
		if built {
			all = append(all, nodePrograms()...)
		}
		if err := os.Rename(programs(t, all...), s.out); err != nil {
			t.Fatal(err)
		}
		for _, wanted := range []bool{false, true} {
			b, err := Find(t.Context(), FindOptions{Node: wanted})
			if found := b.Dir == s.out && err == nil; found != (built || !wanted) {
				t.Errorf("for nodes: wanted %v, built %v: %q, %v", wanted, built, b.Dir, err)
			}
		}
		if err := os.RemoveAll(s.out); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindOutsideTheSourceTreeSaysThatItCannotBuild(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Setenv("PATH", "")
	t.Chdir(t.TempDir())
	_, err := Find(t.Context(), FindOptions{Build: true})
	if !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "source tree") {
		t.Errorf("error %v, want ErrNotBuilt and why", err)
	}
}

func TestCacheKeyFollowsTheModule(t *testing.T) {
	module := t.TempDir()
	keys := make(map[string]string)
	for _, step := range []struct{ name, file, content string }{
		{"first", "main.go", "package main"},
		{"a changed file", "main.go", "package main\n"},
		{"a further file", "go.sum", ""},
		{"a file under another name", "go.mod", ""},
	} {
		if err := os.WriteFile(filepath.Join(module, step.file), []byte(step.content), 0o600); err != nil {
			t.Fatal(err)
		}
		key, again := mustHash(t, module), mustHash(t, module)
		if key != again {
			t.Errorf("%s: key %s, then %s of the same files", step.name, key, again)
		}
		if other, ok := keys[key]; ok {
			t.Errorf("%s: same key as %s", step.name, other)
		}
		keys[key] = step.name
	}
}

func TestLinkerFlagsStampTheVersion(t *testing.T) {
	flags := linkerFlags("v1.36.3")
	for _, want := range []string{
		"-X k8s.io/component-base/version.gitVersion=v1.36.3",
		"-X k8s.io/component-base/version.gitMajor=1",
		"-X k8s.io/client-go/pkg/version.gitMinor=36",
	} {
		if !strings.Contains(flags, want) {
			t.Errorf("flags %q lack %q", flags, want)
		}
	}
}

func TestBuildErrorQuotesWhatTheCompilerSaid(t *testing.T) {
	script := "echo k8s.io/api >&2; echo './main.go:7:1: boom' >&2; exit 1"
	err := runShowing(exec.Command("/bin/sh", "-c", script), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "boom") || strings.Contains(err.Error(), "k8s.io/api") {
		t.Errorf("error %v, want the complaint without the packages", err)
	}
}

func mustHash(t *testing.T, module string) string {
	t.Helper()
	key, err := hashModule(module)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// programs makes a directory of executable files.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
