package eks

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow is what the tests look at of a workflow of GitHub Actions.
type workflow struct {
	Permissions map[string]string `json:"permissions"`
	Jobs        map[string]job    `json:"jobs"`
}

type job struct {
	Permissions    map[string]string `json:"permissions"`
	TimeoutMinutes int               `json:"timeout-minutes"`
	Steps          []struct {
		Uses string            `json:"uses"`
		Run  string            `json:"run"`
		With map[string]string `json:"with"`
	} `json:"steps"`
}

const workflows = "../../.github/workflows"

func readWorkflow(t *testing.T, name string) (workflow, string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(workflows, name))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(data, &w); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return w, string(data)
}

// TestWorkflowsMayDoLittle: the token can read, unless a job says why not; every job ends; every action has a version.
func TestWorkflowsMayDoLittle(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(workflows, "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("workflows %q, %v", files, err)
	}
	version := regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+@v[0-9]+$`)
	for _, file := range files {
		w, text := readWorkflow(t, filepath.Base(file))
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s: permissions %v", file, w.Permissions)
		}
		if strings.Contains(text, "secrets.") || strings.Contains(text, "pull_request_target") {
			t.Errorf("%s: uses secrets, or gives forks its rights", file)
		}
		for name, j := range w.Jobs {
			if j.TimeoutMinutes == 0 || len(j.Steps) == 0 {
				t.Errorf("%s: job %s has %d steps and a timeout of %d", file, name, len(j.Steps), j.TimeoutMinutes)
			}
			for _, s := range j.Steps {
				if s.Uses != "" && !version.MatchString(s.Uses) {
					t.Errorf("%s: job %s uses %s", file, name, s.Uses)
				}
			}
		}
	}
}

func TestCIRunsTheWholeDecision(t *testing.T) {
	w, _ := readWorkflow(t, "ci.yaml")
	found := false
	for _, s := range w.Jobs["ci"].Steps {
		found = found || strings.HasSuffix(s.Run, "bash .ci/run")
	}
	if !found {
		t.Errorf("does not run .ci/run: %+v", w.Jobs["ci"].Steps)
	}
}

// TestNightlyRunsWhatTakesLonger: each target is run by a job of its own or with others.
func TestNightlyRunsWhatTakesLonger(t *testing.T) {
	w, _ := readWorkflow(t, "nightly.yaml")
	run := map[string]bool{}
	for _, j := range w.Jobs {
		for _, s := range j.Steps {
			for _, m := range regexp.MustCompile(`make ([a-z-]+)`).FindAllStringSubmatch(s.Run, -1) {
				run[m[1]] = true
			}
		}
	}
	for _, target := range []string{"kernels", "ci-kind", "duel", "soak", "blast", "mutants", "fuzz", "bench"} {
		if !run[target] {
			t.Errorf("make %s runs nowhere", target)
		}
	}
}

// TestAWSOnlyByOpenIDConnect: no key is ever stored, so none can leak.
func TestAWSOnlyByOpenIDConnect(t *testing.T) {
	w, _ := readWorkflow(t, "eks.yaml")
	for name, j := range w.Jobs {
		if len(j.Permissions) != 2 || j.Permissions["id-token"] != "write" || j.Permissions["contents"] != "read" {
			t.Errorf("job %s: permissions %v", name, j.Permissions)
		}
		assumes := false
		for _, s := range j.Steps {
			for key := range s.With {
				if strings.Contains(key, "key") || strings.Contains(key, "secret") {
					t.Errorf("job %s: %s of %s", name, key, s.Uses)
				}
			}
			assumes = assumes || s.With["role-to-assume"] == "${{ vars.AWS_ROLE }}"
		}
		if !assumes {
			t.Errorf("job %s assumes no role", name)
		}
	}
}

// TestWorkflowCallsTheScriptRight carries out every call of the script in the workflow, as a dry run.
func TestWorkflowCallsTheScriptRight(t *testing.T) {
	w, _ := readWorkflow(t, "eks.yaml")
	calls := regexp.MustCompile(`(?m)hack/eks/run\.sh(.*)$`)
	found := 0
	for name, j := range w.Jobs {
		for _, s := range j.Steps {
			for _, m := range calls.FindAllStringSubmatch(s.Run, -1) {
				found++
				args := strings.NewReplacer("${{ matrix.family }}", "ipv6", "${{ github.sha }}", "0a1b2c", "$CLUSTER",
					"palisade-1-ipv6", `"`, "").Replace(m[1])
				out, err := newScript(t, append(strings.Fields(args), "--dry-run")...).command().CombinedOutput()
				if err != nil || !bytes.Contains(out, []byte("eksctl delete cluster --name palisade-1-ipv6")) {
					t.Errorf("job %s: %s: %v: %s", name, m[0], err, out)
				}
			}
		}
	}
	if found != 2 {
		t.Errorf("%d calls, want one that runs and one that removes", found)
	}
}
