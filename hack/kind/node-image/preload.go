package nodeimage

import (
	"fmt"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// writePreload writes the images of Kubernetes, under the names that kubeadm looks for, as one archive.
func (in Inputs) writePreload(names []string, kubernetes v1.Layer, debian debianDir, archive string) error {
	nft, err := layerOf(debian.nft())
	if err != nil {
		return err
	}
	images := map[name.Tag]v1.Image{}
	for _, n := range names {
		tag, err := name.NewTag(n)
		if err != nil {
			return err
		}
		images[tag], err = in.preloaded(repositoryName(n), kubernetes, nft, filepath.Dir(archive))
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
	}
	return tarball.MultiWriteToFile(archive, images)
}

// preloaded makes one of the images of Kubernetes. kubeadm's manifests name the programs to run, but for two.
func (in Inputs) preloaded(name string, kubernetes, nft v1.Layer, dir string) (v1.Image, error) {
	config := v1.Config{Env: []string{searchPath}}
	switch name {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd":
		return makeImage(config, kubernetes)
	case "kube-proxy":
		return makeImage(config, nft, kubernetes)
	case "coredns", "pause":
		l := newLayer(filepath.Join(dir, name+".layer.tar"))
		l.add(name, 0o755, in.Programs.Path(name))
		program, err := l.finish()
		if err != nil {
			return nil, err
		}
		config.Entrypoint = []string{"/" + name}
		return makeImage(config, program)
	}
	return nil, fmt.Errorf("no recipe for %s", name)
}
