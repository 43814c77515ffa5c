package nodeimage

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// searchPath is where programs are found in every image.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// layer is a layer of an image in the making: a tar archive of files of root's. The first error is kept.
type layer struct {
	file   *os.File
	buffer *bufio.Writer
	tar    *tar.Writer
	dirs   map[string]bool // that are in the archive
	err    error
}

// newLayer begins an archive at a path.
func newLayer(path string) *layer {
	l := &layer{dirs: map[string]bool{".": true}}
	l.file, l.err = os.Create(path)
	l.buffer = bufio.NewWriterSize(l.file, 1<<20)
	l.tar = tar.NewWriter(l.buffer)
	return l
}

// finish writes what is left and returns the layer.
func (l *layer) finish() (v1.Layer, error) {
	err := l.close()
	if err != nil {
		return nil, err
	}
	return layerOf(l.file.Name())
}

func (l *layer) close() error {
	if l.file == nil {
		return l.err
	}
	for _, step := range []func() error{l.tar.Close, l.buffer.Flush} {
		if l.err == nil {
			l.err = step()
		}
	}
	return errors.Join(l.err, l.file.Close())
}

// layerOf is the layer of an archive that is complete. It is compressed for speed: it never leaves this machine.
func layerOf(path string) (v1.Layer, error) {
	return tarball.LayerFromFile(path, tarball.WithCompressionLevel(gzip.BestSpeed))
}

// add writes a file with the content of one of this machine.
func (l *layer) add(name string, mode int64, from string) {
	if l.err != nil {
		return
	}
	f, err := os.Open(from)
	if err != nil {
		l.err = err
		return
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		l.err = err
		return
	}
	l.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: info.Size()}, f)
}

// text writes a small file.
func (l *layer) text(name string, mode int64, content string) {
	l.write(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))},
		strings.NewReader(content))
}

// link writes a symbolic link.
func (l *layer) link(name, target string) {
	l.write(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
}

// dir writes a directory and those above it, unless they are there.
func (l *layer) dir(name string) {
	if l.dirs[name] {
		return
	}
	l.dirs[name] = true
	l.dir(path.Dir(name))
	l.header(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
}

func (l *layer) write(h *tar.Header, content io.Reader) {
	l.dir(path.Dir(h.Name))
	l.header(h)
	if l.err == nil && content != nil {
		_, l.err = io.Copy(l.tar, content)
	}
}

func (l *layer) header(h *tar.Header) {
	h.ModTime = time.Unix(0, 0)
	if l.err == nil {
		l.err = l.tar.WriteHeader(h)
	}
}

// makeImage stacks layers, for this machine's architecture.
func makeImage(config v1.Config, layers ...v1.Layer) (v1.Image, error) {
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", runtime.GOARCH, config
	return mutate.ConfigFile(image, file)
}
