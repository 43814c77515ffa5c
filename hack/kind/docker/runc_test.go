package docker

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// machineHas says whether this process may have a capability.
func machineHas(t *testing.T, capability uintptr) bool {
	t.Helper()
	has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, capability, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return has == 1
}

// allowed are the capabilities of a list that the machine has, for those that the script looks at.
func allowed(t *testing.T, list ...string) []string {
	t.Helper()
	numbers := map[string]uintptr{"CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE, "CAP_PERFMON": unix.CAP_PERFMON,
		"CAP_BPF": unix.CAP_BPF, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE}
	return slices.DeleteFunc(list, func(name string) bool {
		number, looked := numbers[name]
		return looked && !machineHas(t, number)
	})
}

// capabilities is the part of a container's or process's configuration that the script changes.
type capabilities struct {
	Bounding  []string `json:"bounding"`
	Effective []string `json:"effective"`
}

func TestRuncGetsTheCapabilitiesOfTheMachine(t *testing.T) {
	tests := []struct {
		name     string
		asked    []string
		expected []string // on a machine that has all of them
	}{
		{"privileged by an old Docker",
			[]string{"CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_AUDIT_READ"},
			[]string{"CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_AUDIT_READ", "CAP_CHECKPOINT_RESTORE", "CAP_BPF",
				"CAP_PERFMON"}},
		{"privileged by a new Docker",
			[]string{"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"},
			[]string{"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"}},
		{"a container of no privileges", []string{"CAP_CHOWN"}, []string{"CAP_CHOWN"}},
		{"the missing one comes first", []string{"CAP_SYS_RESOURCE", "CAP_CHOWN"}, []string{"CAP_SYS_RESOURCE", "CAP_CHOWN"}},
		{"the missing one comes last", []string{"CAP_CHOWN", "CAP_SYS_RESOURCE"}, []string{"CAP_CHOWN", "CAP_SYS_RESOURCE"}},
		{"the missing one alone", []string{"CAP_SYS_RESOURCE"}, []string{"CAP_SYS_RESOURCE"}},
		{"none", []string{}, []string{}},
	}
	for _, test := range tests {
		for _, call := range []string{"create", "exec"} {
			t.Run(test.name+"/"+call, func(t *testing.T) {
				got := runRunc(t, call, capabilities{test.asked, test.asked})
				want := allowed(t, slices.Clone(test.expected)...)
				if !slices.Equal(got.Bounding, want) || !slices.Equal(got.Effective, want) {
					t.Errorf("got %v, want %v in both", got, want)
				}
			})
		}
	}
}

// runRunc calls the script as containerd's shim does, and returns what the configuration says by then.
func runRunc(t *testing.T, call string, asked capabilities) capabilities {
	t.Helper()
	dir := t.TempDir()
	script, config := filepath.Join(dir, "script"), filepath.Join(dir, "config.json")
	write(t, script, string(runcScript))
	write(t, filepath.Join(dir, "runc"), "#!/bin/sh\necho \"$@\"\n")
	data, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, string(data))
	args := []string{"--root", "/r", "create", "--bundle", dir, "id"}
	if call == "exec" {
		args = []string{"--root", "/r", "exec", "--process", config, "id"}
	}
	cmd := exec.CommandContext(t.Context(), script, args...)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != strings.Join(args, " ") {
		t.Fatalf("runc got %q, error %v; want %q", out, err, args)
	}
	if data, err = os.ReadFile(config); err != nil {
		t.Fatal(err)
	}
	var got capabilities
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return got
}

// write writes a script that can be executed.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}
