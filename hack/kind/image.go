package kind

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sync/errgroup"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/kind/gobuild"
	nodeimage "github.com/palisade-netpol/palisade/hack/kind/node-image"
)

const (
	// publicImage is the node image that kind's release notes name for its version in hack/kind/programs, of the
	// newest Kubernetes.
	publicImage = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
	// publicName is what it is called once it is loaded.
	publicName = "kindest/node:v1.37.0"
	// registryTimeout is how long the registry may take to say what the image is.
	registryTimeout = 10 * time.Second
)

// nodeImage is an image that the daemon has.
type nodeImage struct {
	name  string
	built bool // by package nodeimage
}

// ensureImage makes sure that the daemon has an image for nodes: kind's, if a registry is reachable or it was pulled
// before, or else one that is built here.
func (c *Cluster) ensureImage(ctx context.Context, log io.Writer) (nodeImage, error) {
	if c.docker.HasImage(ctx, publicName) {
		return nodeImage{name: publicName}, nil
	}
	err := c.pullImage(ctx, log)
	if err == nil {
		return nodeImage{name: publicName}, nil
	}
	fmt.Fprintf(log, "no node image to pull (%v)\n", err)
	image, err := c.buildImage(ctx, log)
	return nodeImage{name: image, built: true}, err
}

// pullImage pulls kind's image from this process, since a daemon of its own reaches no registry.
func (c *Cluster) pullImage(ctx context.Context, log io.Writer) error {
	archive := filepath.Join(c.dir, "node.tar")
	defer func() { _ = os.Remove(archive) }()
	if err := fetch(ctx, publicImage, publicName, archive, log); err != nil {
		return err
	}
	return c.loadImage(ctx, archive, log)
}

// fetch downloads an image for this machine and writes it as an archive, in which it has the name tag.
func fetch(ctx context.Context, reference, tag, archive string, log io.Writer) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	as, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	impatient, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	if _, err := remote.Head(ref, remote.WithContext(impatient)); err != nil {
		return err
	}
	fmt.Fprintf(log, "pulling %s, about 400 MB\n", reference)
	machine := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	image, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(machine))
	if err != nil {
		return err
	}
	return tarball.WriteToFile(archive, as, image)
}

// buildImage builds the image and what it is made of, each unless it is in the cache.
func (c *Cluster) buildImage(ctx context.Context, log io.Writer) (string, error) {
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return nodeimage.Prepare(both, log) }) // downloads, while the other compiles
	var in nodeimage.Inputs
	group.Go(func() (err error) {
		in, err = buildInputs(both, log)
		return err
	})
	if err := group.Wait(); err != nil {
		return "", err
	}
	image, err := nodeimage.Build(ctx, in, log)
	if err != nil || c.docker.HasImage(ctx, image.Name) {
		return image.Name, err
	}
	return image.Name, c.loadImage(ctx, image.Path, log)
}

// buildInputs compiles what is in the image.
func buildInputs(ctx context.Context, log io.Writer) (nodeimage.Inputs, error) {
	programs, err := gobuild.Build(ctx, log)
	if err != nil {
		return nodeimage.Inputs{}, err
	}
	kubernetes, err := cluster.Find(ctx, cluster.FindOptions{Node: true, Build: true, Progress: log})
	return nodeimage.Inputs{Kubernetes: kubernetes.Dir, Programs: programs}, err
}

// loadImage gives an archive to the daemon, in place of those built earlier that no cluster uses.
func (c *Cluster) loadImage(ctx context.Context, archive string, log io.Writer) error {
	fmt.Fprintln(log, "loading the node image, for about ten seconds")
	_, err := c.docker.Output(ctx, "image", "prune", "--all", "--force", "--filter", "label="+nodeimage.Label)
	if err != nil {
		return err
	}
	_, err = c.docker.Output(ctx, "load", "--input", archive)
	return err
}
