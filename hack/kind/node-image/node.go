package nodeimage

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/palisade-netpol/palisade/hack/kind/gobuild"
)

// kubernetesLayer holds the one binary and a link to it for each of its programs. Nodes and the images of Kubernetes
// share it.
func (in Inputs) kubernetesLayer(dir string) (v1.Layer, error) {
	const binary = "k8s"
	entries, err := os.ReadDir(in.Kubernetes)
	if err != nil {
		return nil, err
	}
	l := newLayer(filepath.Join(dir, "kubernetes.layer.tar"))
	l.add("usr/bin/"+binary, 0o755, filepath.Join(in.Kubernetes, binary))
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		l.link("usr/bin/"+e.Name(), binary)
		l.link("usr/local/bin/"+e.Name(), "../../bin/"+binary) // where kube-proxy's DaemonSet looks
	}
	return l.finish()
}

// nodeLayer holds what makes Debian a node of kind's.
func (in Inputs) nodeLayer(f facts, preload, dir string) (v1.Layer, error) {
	pause, err := findImage(f.images, "pause")
	if err != nil {
		return nil, err
	}
	l := newLayer(filepath.Join(dir, "node.layer.tar"))
	if err := addFiles(l, map[string]string{"PAUSE_IMAGE": pause}); err != nil {
		return nil, err
	}
	for _, unit := range []string{"containerd.service", "images.service", "kubelet.service"} {
		l.link("etc/systemd/system/multi-user.target.wants/"+unit, "/etc/systemd/system/"+unit)
	}
	l.link("etc/systemd/system/systemd-journald-audit.socket", "/dev/null") // the machine's audit, not the node's
	l.link("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
	for _, plugin := range gobuild.CNIPlugins() {
		l.add("opt/cni/bin/"+plugin, 0o755, in.Programs.Path(plugin))
	}
	l.dir("etc/cni/net.d")
	l.dir("etc/kubernetes/manifests")
	l.text("kind/version", 0o644, f.version)
	l.add("kind/images.tar", 0o644, preload)
	return l.finish()
}

// addFiles adds the files of this package, with words in them replaced. Those that are scripts can be executed.
func addFiles(l *layer, replace map[string]string) error {
	return fs.WalkDir(files, "files", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		content, mode := string(data), int64(0o644)
		for old, new := range replace {
			content = strings.ReplaceAll(content, old, new)
		}
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		l.text(strings.TrimPrefix(name, "files/"), mode, content)
		return nil
	})
}

// findImage returns the one of images whose repository ends in name.
func findImage(images []string, name string) (string, error) {
	i := slices.IndexFunc(images, func(image string) bool { return repositoryName(image) == name })
	if i < 0 {
		return "", fmt.Errorf("kubeadm names no image %s: %v", name, images)
	}
	return images[i], nil
}

// repositoryName is the last word of an image's repository.
func repositoryName(image string) string {
	repository, _, _ := strings.Cut(path.Base(image), ":")
	return repository
}
