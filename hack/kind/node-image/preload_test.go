package nodeimage

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/palisade-netpol/palisade/hack/kind/gobuild"
)

// fakeInputs are programs that are as small as can be.
func fakeInputs(t *testing.T) (Inputs, debianDir) {
	t.Helper()
	dir := t.TempDir()
	in := Inputs{Kubernetes: filepath.Join(dir, "k"), Programs: gobuild.Programs{Dir: filepath.Join(dir, "p"), Key: "key"}}
	debian := debianDir(filepath.Join(dir, "d"))
	for _, d := range []string{in.Kubernetes, in.Programs.Dir, string(debian)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	files := []string{filepath.Join(in.Kubernetes, "k8s"), in.Programs.Path("coredns"), in.Programs.Path("pause")}
	for _, plugin := range gobuild.CNIPlugins() {
		files = append(files, in.Programs.Path(plugin))
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte(filepath.Base(f)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"kube-proxy", "kubelet"} {
		if err := os.Symlink("k8s", filepath.Join(in.Kubernetes, program)); err != nil {
			t.Fatal(err)
		}
	}
	nft := newLayer(debian.nft())
	nft.text("usr/sbin/nft", 0o755, "nft")
	if err := nft.close(); err != nil {
		t.Fatal(err)
	}
	return in, debian
}

func TestPreloadedImagesHaveTheirPrograms(t *testing.T) {
	in, debian := fakeInputs(t)
	dir := t.TempDir()
	kubernetes, err := in.kubernetesLayer(dir)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		image      string
		entrypoint []string
		files      []string
	}{
		{"registry.k8s.io/kube-apiserver:v1", nil, []string{"usr/bin/k8s"}},
		{"registry.k8s.io/etcd:3-0", nil, []string{"usr/bin/k8s"}},
		{"registry.k8s.io/kube-proxy:v1", nil, []string{"usr/local/bin/kube-proxy", "usr/sbin/nft"}},
		{"registry.k8s.io/coredns/coredns:v1", []string{"/coredns"}, []string{"coredns"}},
		{"registry.k8s.io/pause:3", []string{"/pause"}, []string{"pause"}},
	}
	var names []string
	for _, test := range tests {
		names = append(names, test.image)
	}
	archive := filepath.Join(dir, "images.tar")
	if err := in.writePreload(names, kubernetes, debian, archive); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.image, func(t *testing.T) {
			image := readImage(t, archive, test.image)
			config, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(config.Config.Entrypoint, test.entrypoint) || config.OS != "linux" {
				t.Errorf("entrypoint %q, OS %s; want %q", config.Config.Entrypoint, config.OS, test.entrypoint)
			}
			content := mutate.Extract(image)
			defer func() { _ = content.Close() }()
			entries := list(t, content)
			for _, f := range test.files {
				if _, ok := entries[f]; !ok {
					t.Errorf("%s is missing", f)
				}
			}
		})
	}
}

func readImage(t *testing.T, archive, reference string) v1.Image {
	t.Helper()
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestImageThatNobodyKnowsIsAnError(t *testing.T) {
	in, debian := fakeInputs(t)
	dir := t.TempDir()
	kubernetes, err := in.kubernetesLayer(dir)
	if err != nil {
		t.Fatal(err)
	}
	unknown := []string{"registry.k8s.io/new:v1"}
	if err := in.writePreload(unknown, kubernetes, debian, filepath.Join(dir, "a")); err == nil {
		t.Error("an image without a recipe was written")
	}
	if _, err := findImage([]string{"registry.k8s.io/etcd:1"}, "pause"); err == nil {
		t.Error("found a pause image among none")
	}
}

func TestNodeStartsWhatKindExpects(t *testing.T) {
	in, _ := fakeInputs(t)
	dir := t.TempDir()
	preload := filepath.Join(dir, "images.tar")
	if err := os.WriteFile(preload, []byte("images"), 0o600); err != nil {
		t.Fatal(err)
	}
	facts := facts{version: "v1.2.3", images: []string{"registry.k8s.io/pause:3"}}
	if _, err := in.nodeLayer(facts, preload, dir); err != nil {
		t.Fatal(err)
	}
	entries := listFile(t, filepath.Join(dir, "node.layer.tar"))
	for name, content := range map[string]string{
		"kind/version":    "v1.2.3",
		"kind/images.tar": "images",
		"opt/cni/bin/ptp": "ptp",
		"etc/cni/net.d/":  "",
		"etc/systemd/system/multi-user.target.wants/kubelet.service": "/etc/systemd/system/kubelet.service",
	} {
		if got, ok := entries[name]; !ok || got.Content != content {
			t.Errorf("%s: there %v, %q; want %q", name, ok, got.Content, content)
		}
	}
}

func TestKeyNamesEveryInput(t *testing.T) {
	base := Inputs{Kubernetes: "/c/1-node", Programs: gobuild.Programs{Dir: "/p", Key: "a"}}
	same := Inputs{Kubernetes: "/elsewhere/1-node", Programs: gobuild.Programs{Dir: "/q", Key: "a"}}
	key := func(in Inputs) string {
		k, err := in.key()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if key(base) != key(same) {
		t.Error("the key depends on where the inputs are")
	}
	for name, other := range map[string]Inputs{
		"Kubernetes": {Kubernetes: "/c/2-node", Programs: base.Programs},
		"programs":   {Kubernetes: base.Kubernetes, Programs: gobuild.Programs{Dir: "/p", Key: "b"}},
	} {
		if key(base) == key(other) {
			t.Errorf("other %s have the same key", name)
		}
	}
}
