// Package palisade holds nothing but the rules of the whole tree, kept by tests.
package palisade

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/palisade-netpol/palisade/"

// rules say what a package must not depend on, directly or through others (tests apart), and why.
var rules = []struct {
	packages []string
	not      []string
	but      []string // exceptions to not
	because  string
}{
	{
		packages: []string{module + "model/flow"},
		not:      []string{module, "k8s.io/", "github.com/", "golang.org/x/"},
		because:  "it is the vocabulary that everybody shares, so it brings nothing along",
	},
	{
		packages: []string{module + "model", module + "model/validation"},
		not: []string{module + "enforce", module + "bpf", module + "controller", module + "agent", module + "sim",
			module + "scenarios", "k8s.io/client-go", "github.com/cilium/ebpf"},
		because: "an oracle that shares code with what it judges proves nothing",
	},
	{
		packages: []string{module + "controller/resolve", module + "controller/api/v1alpha1"},
		not:      []string{module + "model", module + "enforce", module + "bpf", module + "sim", "k8s.io/client-go"},
		because:  "what it resolves is judged by the model, and it is pure: it asks no API server",
	},
	{
		packages: []string{module + "enforce"},
		not:      []string{module + "model", module + "controller/resolve", module + "sim", "k8s.io/client-go", "github.com/vishvananda/netlink"},
		but:      []string{module + "model/flow"},
		because:  "the compiler is pure, and what it compiles is judged by the model",
	},
	{
		packages: []string{module + "bpf", module + "bpf/hook"},
		not:      []string{"k8s.io/", module + "model", module + "controller", module + "enforce", module + "sim"},
		but:      []string{module + "model/flow"},
		because:  "the kernel knows nothing of Kubernetes",
	},
	{
		packages: []string{module + "agent", module + "agent/metrics", module + "agent/hostnet", module + "agent/flowlog",
			module + "cmd/palisade-agent", module + "cmd/palisade-install"},
		not:     []string{module + "model", module + "sim", module + "scenarios", "github.com/onsi/", "sigs.k8s.io/controller-runtime"},
		but:     []string{module + "model/flow"},
		because: "what runs on every node carries no test code and no oracle",
	},
	{
		packages: []string{module + "controller/core"},
		not: []string{module + "model", module + "enforce", module + "bpf", module + "sim", module + "scenarios",
			"k8s.io/client-go", "github.com/onsi/", "sigs.k8s.io/controller-runtime"},
		but:     []string{module + "model/flow"},
		because: "it decides and does nothing, so that a simulation can own time, delivery and faults",
	},
	{
		packages: []string{module + "controller/publish", module + "cmd/palisade-controller"},
		not: []string{module + "model", module + "enforce", module + "bpf", module + "sim", module + "scenarios",
			module + "hack", "github.com/onsi/", "sigs.k8s.io/controller-runtime"},
		but:     []string{module + "model/flow"},
		because: "what runs in every cluster carries no test code and no oracle",
	},
	{
		packages: []string{module + "agent/core"},
		not: []string{module + "model", module + "sim", module + "scenarios", "k8s.io/client-go", "github.com/vishvananda/",
			"github.com/prometheus/"},
		but:     []string{module + "model/flow"},
		because: "it decides and does nothing: tests play any order of events to it",
	},
	{
		packages: []string{module + "cmd/palisade"},
		not: []string{module + "hack/kind", module + "hack/images", "sigs.k8s.io/kind", "github.com/docker/",
			"github.com/google/go-containerregistry", "github.com/onsi/", "sigs.k8s.io/controller-runtime"},
		because: "users install it: what makes clusters and images for backend kind is run from the source tree",
	},
	{
		packages: []string{module + "cmd/palisade-probe"},
		not:      []string{"k8s.io/client-go", module + "enforce", module + "bpf", module + "controller", module + "agent"},
		because:  "it is in every pod of a scenario, so it is small, and it knows nothing of what it tests",
	},
	{
		packages: []string{module + "agent/socket", module + "cmd/palisade-cni"},
		not:      []string{"k8s.io/", "github.com/cilium/", "github.com/vishvananda/netlink", "github.com/prometheus/"},
		because:  "the CNI plugin is started for every pod, so it is small and quick",
	},
	{
		packages: []string{module + "sim/datapath"},
		not:      []string{module + "enforce", module + "controller", "k8s.io/"},
		because:  "it reads the tables as the kernel does, whoever made them",
	},
}

func TestImportRules(t *testing.T) {
	for _, r := range rules {
		for _, pkg := range r.packages {
			for _, dep := range dependencies(t, pkg) {
				if hasPrefix(dep, r.not) && !hasPrefix(dep, r.but) && dep != pkg {
					t.Errorf("%s must not depend on %s: %s", pkg, dep, r.because)
				}
			}
		}
	}
}

// dependencies lists all packages that pkg is built from.
func dependencies(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v", pkg, err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 2 {
		t.Fatalf("go list -deps %s lists %d packages", pkg, len(deps))
	}
	return deps
}

// hasPrefix says whether path is one of the listed packages, lies below one, or begins with a prefix that ends in "/".
func hasPrefix(path string, list []string) bool {
	for _, p := range list {
		if path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") {
			return true
		}
	}
	return false
}

// TestEveryPackageIsDocumented: a package without a sentence on what it is for is one nobody can find.
func TestEveryPackageIsDocumented(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}}\t{{.Doc}}", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		path, doc, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if doc == "" && path+"/" != module {
			t.Errorf("package %s has no package comment", path)
		}
	}
}
