package images

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// build builds the images of one recipe into a new folder.
func build(t *testing.T, o Options) []Archive {
	t.Helper()
	o.Out = t.TempDir()
	archives, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return archives
}

// unpack reads an archive as container runtimes do, and checks all digests and sizes in it.
func unpack(t *testing.T, a Archive) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	for name, content := range readTar(t, mustOpen(t, a.Path)) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("not a valid OCI layout: %v", err)
	}
	return index
}

func mustOpen(t *testing.T, path string) io.ReadCloser {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// readTar returns the regular files of a tar archive.
func readTar(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = content
	}
}

// only returns the single entry of an index.
func only(t *testing.T, index v1.ImageIndex) v1.Descriptor {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Manifests) != 1 {
		t.Fatalf("%d entries, want 1", len(m.Manifests))
	}
	return m.Manifests[0]
}

// filesOf returns what containers of an image see.
func filesOf(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range readTar(t, r) {
			files[name] = content
		}
	}
	return files
}

// checkStatic: an image without a base has no dynamic linker.
func checkStatic(t *testing.T, name string, program []byte, machine elf.Machine) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer func() { _ = f.Close() }()
	if f.Machine != machine {
		t.Errorf("%s is for %s, want %s", name, f.Machine, machine)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("%s is linked dynamically", name)
	}
}

func TestAgentImageIsWhatRuntimesExpect(t *testing.T) {
	a := build(t, Options{Images: []string{"agent"}, Platforms: []string{"linux/amd64"}, Version: "v1.2.3"})[0]
	const reference = "ghcr.io/palisade-netpol/palisade-agent:v1.2.3"
	if a.Image != "agent" || a.Reference != reference || filepath.Base(a.Path) != "palisade-agent.tar" {
		t.Errorf("archive is %+v", a)
	}
	if info, err := os.Stat(a.Path); err != nil || info.Size() != a.Size {
		t.Errorf("%v; size %d", err, a.Size)
	}
	index := unpack(t, a)
	entry := only(t, index)
	if got := entry.Annotations["io.containerd.image.name"]; got != reference {
		t.Errorf("containerd names it %q", got)
	}
	if entry.Digest != a.Digest {
		t.Errorf("digest %s, want %s", entry.Digest, a.Digest)
	}
	image, err := index.Image(entry.Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	entrypoint := []string{"/palisade-agent"}
	if config.OS != "linux" || config.Architecture != "amd64" || !slices.Equal(config.Config.Entrypoint, entrypoint) {
		t.Errorf("config %+v", config)
	}
	for label, want := range map[string]string{"version": "v1.2.3", "licenses": "Apache-2.0", "title": "palisade-agent"} {
		if got := config.Config.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	files := filesOf(t, image)
	for _, program := range []string{"palisade-agent", "palisade-cni", "palisade-install"} {
		checkStatic(t, program, files[program], elf.EM_X86_64)
		delete(files, program)
	}
	if len(files) != 2 || files["etc/passwd"] == nil || files["etc/group"] == nil {
		t.Errorf("there are %d files beside the programs, want passwd and group", len(files))
	}
}

// checkout unpacks the last commit, so that nobody edits what is built from.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := findTree(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := exec.CommandContext(t.Context(), "sh", "-c", `git archive HEAD | tar x -C "$1"`, "sh", dir)
	script.Dir = root.root
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("git archive: %v: %s", err, out)
	}
	return dir
}

// TestSameBytesTwice builds for both platforms, in two places.
func TestSameBytesTwice(t *testing.T) {
	o := Options{Images: []string{"agent"}, Platforms: []string{"linux/arm64", "linux/amd64"}, Dir: checkout(t)}
	first := build(t, o)[0]
	slices.Reverse(o.Platforms)
	o.Dir = checkout(t)
	second := build(t, o)[0]
	a, errA := os.ReadFile(first.Path)
	b, errB := os.ReadFile(second.Path)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s and then %s", first.Digest, second.Digest)
	}
	index := unpack(t, first)
	platforms, err := index.ImageIndex(only(t, index).Digest)
	if err != nil {
		t.Fatal(err)
	}
	m, err := platforms.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	machines := []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64}
	for i, arch := range []string{"amd64", "arm64"} {
		if got := m.Manifests[i].Platform; got.OS != "linux" || got.Architecture != arch {
			t.Errorf("platform %d is %s, want linux/%s", i, got, arch)
		}
		image, err := platforms.Image(m.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkStatic(t, "palisade-cni", filesOf(t, image)["palisade-cni"], machines[i])
	}
}

func TestOnlyTheAgentIsRoot(t *testing.T) {
	for _, r := range recipes() {
		want := "65532:65532"
		if r.name == "agent" {
			want = "0:0"
		}
		if got := r.config(nil).User; got != want {
			t.Errorf("%s runs as %s, want %s", r.name, got, want)
		}
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"unknown image":          {Options{Images: []string{"agnet"}}, `no image "agnet"; there are agent, cli`},
		"other operating system": {Options{Platforms: []string{"windows/amd64"}}, `platform "windows/amd64"`},
		"other architecture":     {Options{Platforms: []string{"linux/riscv64"}}, `platform "linux/riscv64"`},
		"no architecture":        {Options{Platforms: []string{"linux"}}, `platform "linux"`},
		"no source tree":         {Options{Dir: "/"}, "is in no Go module"},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Out = t.TempDir()
			_, err := Build(t.Context(), c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if entries, _ := os.ReadDir(c.options.Out); len(entries) > 0 {
				t.Errorf("wrote %s", entries[0].Name())
			}
		})
	}
}

// TestWithoutGit: a release archive has no commit, and then the label is missing rather than wrong.
func TestWithoutGit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module m\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := findTree(t.Context(), dir)
	if err != nil || found.revision != "" {
		t.Fatalf("%+v, %v", found, err)
	}
	if missing := found.missing([]string{"palisade-agent"}); len(missing) != 1 {
		t.Errorf("missing %v", missing)
	}
	_, err = choose(found, []string{"agent"})
	if err == nil || !strings.Contains(err.Error(), "no command palisade-agent") {
		t.Errorf("named but missing: %v", err)
	}
	if chosen, err := choose(found, nil); err != nil || len(chosen) > 0 {
		t.Errorf("%v, %v: want to build what there is", chosen, err)
	}
	labels := (&builder{tree: found}).labels(recipes()[0])
	if v, ok := labels["org.opencontainers.image.revision"]; ok {
		t.Errorf("revision %q", v)
	}
}
