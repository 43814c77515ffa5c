package nodeimage

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/palisade-netpol/palisade/hack/kind/cache"
	"github.com/palisade-netpol/palisade/hack/kind/gobuild"
)

//go:embed all:files
var files embed.FS

// recipe changes with what the image is made of beyond its inputs.
const recipe = 2

// Label is on every image that is built here, so that old ones are found.
const Label = "palisade.node"

// Image is a node image as a file that `docker load` reads.
type Image struct {
	// Name is the name that it is loaded under.
	Name string
	// Path is the archive.
	Path string
}

// Inputs are what was built before.
type Inputs struct {
	// Kubernetes is the directory of the programs of hack/k8s, with kubelet and kubeadm. Its name says what they were
	// built from.
	Kubernetes string
	// Programs are those of hack/kind/programs.
	Programs gobuild.Programs
}

// Build finds the image in the cache, or builds it. Root only: debootstrap needs it.
func Build(ctx context.Context, in Inputs, log io.Writer) (Image, error) {
	key, err := in.key()
	if err != nil {
		return Image{}, err
	}
	debian, err := debianLayers(ctx, log)
	if err != nil {
		return Image{}, err
	}
	image := "palisade.local/node:" + key
	dir, err := cache.Make(ctx, filepath.Join("node-image", key), func(dir string) error {
		start := time.Now()
		fmt.Fprintln(log, "assembling the node image; once, for about half a minute")
		if err := in.assemble(ctx, debian, image, dir); err != nil {
			return fmt.Errorf("build node image: %w", err)
		}
		fmt.Fprintf(log, "assembled in %s\n", time.Since(start).Round(time.Second))
		return nil
	})
	return Image{Name: image, Path: filepath.Join(dir, archiveName)}, err
}

// archiveName is the file of the image in its directory of the cache.
const archiveName = "image.tar"

// key names what the image is made of.
func (in Inputs) key() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, recipe, filepath.Base(in.Kubernetes), in.Programs.Key, debianKey())
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		fmt.Fprintf(h, "%q %d\n%s", path, len(data), data)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), err
}

// assemble writes the image to a directory.
func (in Inputs) assemble(ctx context.Context, debian debianDir, image, out string) (err error) {
	dir := filepath.Join(out, "layers")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	facts, err := in.ask(ctx)
	if err != nil {
		return err
	}
	kubernetes, err := in.kubernetesLayer(dir)
	if err != nil {
		return err
	}
	preload := filepath.Join(dir, "images.tar")
	if err := in.writePreload(facts.images, kubernetes, debian, preload); err != nil {
		return fmt.Errorf("images of Kubernetes: %w", err)
	}
	node, err := in.nodeLayer(facts, preload, dir)
	if err != nil {
		return err
	}
	base, err := layerOf(debian.rootfs())
	if err != nil {
		return err
	}
	built, err := makeImage(v1.Config{
		Env:        []string{"container=docker", searchPath}, // systemd wants to know that it is in a container
		StopSignal: "SIGRTMIN+3",                             // systemd's word for halt
		Labels:     map[string]string{Label: ""},
		Entrypoint: []string{"/usr/local/bin/entrypoint", "/lib/systemd/systemd"},
	}, base, kubernetes, node)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(image)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(filepath.Join(out, archiveName), tag, built)
}

// facts are what Kubernetes says of itself.
type facts struct {
	version string
	images  []string // with the names that kubeadm looks for
}

func (in Inputs) ask(ctx context.Context) (facts, error) {
	kubeadm := filepath.Join(in.Kubernetes, "kubeadm")
	version, err := exec.CommandContext(ctx, kubeadm, "version", "-o", "short").Output()
	if err != nil {
		return facts{}, fmt.Errorf("kubeadm version: %w", err)
	}
	f := facts{version: strings.TrimSpace(string(version))}
	images, err := exec.CommandContext(ctx, kubeadm,
		"config", "images", "list", "--kubernetes-version", f.version).Output()
	if err != nil {
		return facts{}, fmt.Errorf("kubeadm config images list: %w", err)
	}
	f.images = strings.Fields(string(images))
	return f, nil
}
