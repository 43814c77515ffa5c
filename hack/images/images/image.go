package images

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// image builds one image for one platform.
func (b *builder) image(ctx context.Context, r recipe, p v1.Platform) (v1.Image, error) {
	content, err := b.content(ctx, r, p)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	labels := b.labels(r)
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Config: r.config(labels), Created: v1.Time{Time: b.tree.time},
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: b.tree.time}, CreatedBy: "hack/images",
	}})
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return mutate.Annotations(image, labels).(v1.Image), nil
}

// labels are those of https://specs.opencontainers.org/image-spec/annotations/.
func (b *builder) labels(r recipe) map[string]string {
	const prefix = "org.opencontainers.image."
	labels := map[string]string{
		prefix + "title":       r.title,
		prefix + "description": r.description,
		prefix + "version":     b.Version,
		prefix + "licenses":    "Apache-2.0",
		prefix + "source":      "https://github.com/palisade-netpol/palisade",
	}
	if b.tree.revision != "" {
		maps.Copy(labels, map[string]string{
			prefix + "revision": b.tree.revision,
			prefix + "created":  b.tree.time.Format(time.RFC3339),
		})
	}
	return labels
}

// content builds the programs and returns the layer as a tar archive.
func (b *builder) content(ctx context.Context, r recipe, p v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "palisade-image-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l := newLayer()
	l.dir("etc")
	l.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n"))
	l.file("etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\n"))
	for _, command := range r.commands {
		b.Progress(fmt.Sprintf("build %s for %s", command, p))
		out := filepath.Join(dir, command)
		if err := b.tree.program(ctx, command, p.Architecture, out); err != nil {
			return nil, err
		}
		program, err := os.ReadFile(out)
		if err != nil {
			return nil, err
		}
		l.file(command, 0o755, program)
	}
	return l.finish()
}

// layer is a tar archive in the making: everything belongs to root and has no time. The first error is kept.
type layer struct {
	buf bytes.Buffer
	tar *tar.Writer
	err error
}

func newLayer() *layer {
	l := &layer{}
	l.tar = tar.NewWriter(&l.buf)
	return l
}

func (l *layer) dir(name string) {
	l.write(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}, nil)
}

func (l *layer) file(name string, mode int64, content []byte) {
	l.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content)
}

func (l *layer) write(h *tar.Header, content []byte) {
	h.ModTime = time.Unix(0, 0)
	if l.err == nil {
		l.err = l.tar.WriteHeader(h)
	}
	if l.err == nil {
		_, l.err = l.tar.Write(content)
	}
}

func (l *layer) finish() ([]byte, error) {
	if l.err == nil {
		l.err = l.tar.Close()
	}
	return l.buf.Bytes(), l.err
}
