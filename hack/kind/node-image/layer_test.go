package nodeimage

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entry is what a test looks at of a file in an archive.
type entry struct {
	Kind    byte
	Mode    int64
	Content string // or where a link leads
}

// list reads an archive. It fails when a name is there twice.
func list(t *testing.T, archive io.Reader) map[string]entry {
	t.Helper()
	entries := map[string]entry{}
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := entries[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		entries[h.Name] = entry{h.Typeflag, h.Mode, string(content) + h.Linkname}
	}
}

func listFile(t *testing.T, path string) map[string]entry {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	return list(t, f)
}

func TestLayerHoldsFilesAndTheFoldersAbove(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("code"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLayer(filepath.Join(dir, "layer.tar"))
	l.add("usr/bin/program", 0o755, program)
	l.link("usr/bin/name", "program")
	l.text("etc/words", 0o644, "words")
	l.dir("etc/empty")
	if _, err := l.finish(); err != nil {
		t.Fatal(err)
	}
	folder := entry{tar.TypeDir, 0o755, ""}
	want := map[string]entry{
		"usr/": folder, "usr/bin/": folder, "etc/": folder, "etc/empty/": folder,
		"usr/bin/program": {tar.TypeReg, 0o755, "code"},
		"usr/bin/name":    {tar.TypeSymlink, 0o777, "program"},
		"etc/words":       {tar.TypeReg, 0o644, "words"},
	}
	if diff := cmp.Diff(want, listFile(t, filepath.Join(dir, "layer.tar"))); diff != "" {
		t.Error(diff)
	}
}

func TestLayerKeepsItsFirstError(t *testing.T) {
	l := newLayer(filepath.Join(t.TempDir(), "layer.tar"))
	l.add("a", 0o644, "/does/not/exist")
	l.text("b", 0o644, "b")
	if _, err := l.finish(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error: %v", err)
	}
	if _, err := newLayer("/does/not/exist").finish(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error: %v", err)
	}
}

func TestFilesOfNodes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layer.tar")
	l := newLayer(path)
	if err := addFiles(l, map[string]string{"PAUSE_IMAGE": "example.org/pause:1"}); err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	entries := listFile(t, path)
	if config := entries["etc/containerd/config.toml"].Content; !strings.Contains(config, `"example.org/pause:1"`) {
		t.Errorf("containerd does not know the pause image:\n%s", config)
	}
	if !strings.Contains(entries["etc/containerd/config.toml"].Content, "SystemdCgroup = false") ||
		!strings.Contains(entries["etc/default/kubelet"].Content, "--cgroup-driver=cgroupfs") {
		t.Error("containerd and the kubelet do not agree about the driver of control groups")
	}
	for name, mode := range map[string]int64{
		"usr/local/bin/entrypoint": 0o755, "usr/local/bin/crictl": 0o755, "kind/kubelet-cgroup": 0o755,
		"etc/systemd/system/kubelet.service": 0o644, "kind/manifests/default-storage.yaml": 0o644,
	} {
		if got, ok := entries[name]; !ok || got.Mode != mode {
			t.Errorf("%s: there %v, mode %o; want %o", name, ok, got.Mode, mode)
		}
	}
}
