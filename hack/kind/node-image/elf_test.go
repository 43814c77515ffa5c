package nodeimage

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestProgramRunsWithNothingButItsLayer is what the image of kube-proxy relies on. The programs are this machine's.
func TestProgramRunsWithNothingButItsLayer(t *testing.T) {
	needsDebian(t)
	if os.Geteuid() != 0 {
		t.Skip("only root changes roots")
	}
	for _, program := range []string{"usr/bin/ls", "usr/bin/tar", "usr/bin/nsenter"} {
		t.Run(filepath.Base(program), func(t *testing.T) {
			dir := t.TempDir()
			archive, root := filepath.Join(dir, "layer.tar"), filepath.Join(dir, "root")
			if err := writeProgram("/", program, archive); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(root, 0o700); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "tar", "-xf", archive, "-C", root).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			out, err := exec.CommandContext(t.Context(), "chroot", root, "/"+program, "--version").CombinedOutput()
			if err != nil || len(out) == 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// needsDebian skips a test that takes this machine for the root file system of a node.
func needsDebian(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		t.Skip("libraries are looked for where Debian has them, and this is none")
	}
}

func TestNeedsAgreeWithTheLoader(t *testing.T) {
	needsDebian(t)
	const program = "usr/bin/tar"
	interpreter, got, err := needs("/", program)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "/"+interpreter, "--list", "/"+program).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(out)) { // "name => path (address)", but for the kernel's own
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(name, "linux-vdso") {
			want = append(want, filepath.Base(name))
		}
	}
	var names []string
	for _, library := range got {
		names = append(names, filepath.Base(library))
	}
	slices.Sort(names)
	slices.Sort(want)
	names, want = slices.Compact(names), slices.Compact(want)
	if !slices.Equal(names, want) {
		t.Errorf("got  %v\nwant %v", names, want)
	}
}

func TestNeedsOfWhatIsNoProgram(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "script"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := needs(root, "script"); err == nil {
		t.Error("a script is taken for a program with libraries")
	}
	if _, err := findLibrary(root, "libc.so.6"); err == nil {
		t.Error("found a library in an empty folder")
	}
}
