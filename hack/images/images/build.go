package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DefaultRepository is where references point by default: a registry and an organisation.
const DefaultRepository = "ghcr.io/palisade-netpol"

// Options say what to build. The zero value builds every image for this machine's architecture.
type Options struct {
	// Dir is a directory in the source tree; default: the working directory.
	Dir string
	// Out is where archives are written; it is made if it is not there. Default: the working directory.
	Out string
	// Images are short names, see Names; default: all whose commands are in the source tree.
	Images []string
	// Platforms are those to build for, as "linux/arm64"; default: Linux on this machine's architecture.
	Platforms []string
	// Repository begins the references of the images; default: DefaultRepository.
	Repository string
	// Version is the tag of the images; default: "dev".
	Version string
	// Progress is told of each program before it is built; default: nobody.
	Progress func(message string)
}

// Archive is one image in a file.
type Archive struct {
	Image     string  // its short name, as in Options.Images
	Path      string  // of the archive
	Reference string  // its name in a cluster: "ghcr.io/palisade-netpol/palisade-agent:dev"
	Digest    v1.Hash // of the image, or of the index of its platforms
	Size      int64   // of the archive, in bytes
}

// Build builds images and returns their archives in the order of their names. Errors name the image. Nothing is left
// of an archive that could not be finished.
func Build(ctx context.Context, o Options) ([]Archive, error) {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(b.tree, b.Images)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.Out, 0o755); err != nil {
		return nil, fmt.Errorf("folder for archives: %w", err)
	}
	archives := make([]Archive, 0, len(chosen))
	for _, r := range chosen {
		a, err := b.archive(ctx, r)
		if err != nil {
			return archives, fmt.Errorf("image %s: %w", r.name, err)
		}
		archives = append(archives, a)
	}
	return archives, nil
}

// builder is what the images of one call of Build share.
type builder struct {
	Options
	tree      tree
	platforms []v1.Platform
}

func newBuilder(ctx context.Context, o Options) (*builder, error) {
	o.Dir, o.Out = cmp.Or(o.Dir, "."), cmp.Or(o.Out, ".")
	o.Repository, o.Version = cmp.Or(o.Repository, DefaultRepository), cmp.Or(o.Version, "dev")
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	platforms, err := parsePlatforms(o.Platforms)
	if err != nil {
		return nil, err
	}
	t, err := findTree(ctx, o.Dir)
	return &builder{o, t, platforms}, err
}

// choose returns the recipes of the named images, or of all that can be built.
func choose(t tree, names []string) ([]recipe, error) {
	var chosen []recipe
	var errs []error
	for _, r := range recipes() {
		missing := t.missing(r.commands)
		switch named := slices.Contains(names, r.name); {
		case named && len(missing) > 0:
			errs = append(errs, fmt.Errorf("image %s: no command %s", r.name, strings.Join(missing, ", ")))
		case named, len(names) == 0 && len(missing) == 0:
			chosen = append(chosen, r)
		}
	}
	for _, n := range names {
		if !slices.Contains(Names(), n) {
			errs = append(errs, fmt.Errorf("no image %q; there are %s", n, strings.Join(Names(), ", ")))
		}
	}
	return chosen, errors.Join(errs...)
}

// archive builds one image for all platforms and writes it.
func (b *builder) archive(ctx context.Context, r recipe) (Archive, error) {
	a := Archive{Image: r.name, Path: filepath.Join(b.Out, r.repository()+".tar")}
	a.Reference = b.Repository + "/" + r.repository() + ":" + b.Version
	built := make([]v1.Image, 0, len(b.platforms))
	for _, p := range b.platforms {
		image, err := b.image(ctx, r, p)
		if err != nil {
			return a, fmt.Errorf("%s: %w", p, err)
		}
		built = append(built, image)
	}
	err := a.write(built, b.platforms)
	return a, err
}
