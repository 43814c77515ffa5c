package images

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// write writes the image, which is built for each of the platforms, to a.Path: an OCI layout with one entry. The entry
// carries its name the way containerd, and with it kind, reads it, and the way the specification has it.
func (a *Archive) write(built []v1.Image, platforms []v1.Platform) error {
	dir, err := os.MkdirTemp("", "palisade-layout-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	tag := a.Reference[strings.LastIndex(a.Reference, ":")+1:]
	names := map[string]string{"io.containerd.image.name": a.Reference, "org.opencontainers.image.ref.name": tag}
	top := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	entry := mutate.IndexAddendum{Descriptor: v1.Descriptor{Annotations: names}}
	if len(built) == 1 {
		entry.Add = built[0]
		entry.Platform = &platforms[0]
		a.Digest, err = built[0].Digest()
	} else {
		index := platformIndex(built, platforms)
		entry.Add = index
		a.Digest, err = index.Digest()
	}
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	if _, err := layout.Write(dir, mutate.AppendManifests(top, entry)); err != nil {
		return fmt.Errorf("OCI layout: %w", err)
	}
	a.Size, err = writeTar(dir, a.Path)
	return err
}

// platformIndex lists the images of several platforms.
func platformIndex(built []v1.Image, platforms []v1.Platform) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, image := range built {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &platforms[i]},
		})
	}
	return index
}

// writeTar archives a folder, in the order of names and without times and owners, and returns the archive's size. The
// file appears under its name only when it is complete.
func writeTar(dir, name string) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".palisade-image-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	defer func() { _ = f.Close() }()           // closed already, unless something fails
	w := tar.NewWriter(f)
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return addFile(w, dir, path)
	}); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(f.Name(), name)
}

func addFile(w *tar.Writer, dir, path string) error {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: filepath.ToSlash(name), Mode: 0o644, Size: info.Size(), ModTime: time.Unix(0, 0),
	}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
