package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"github.com/ulikunitz/xz"
)

// ErrNotFound says that the archive has no such suite or package.
var ErrNotFound = errors.New("not in the archive")

// Archive is a Debian archive together with that of its security updates, and a cache of what was fetched from them.
type Archive struct {
	Mirror string // such as Default; security updates are beside it, in debian-security
	Cache  string // a directory, created when needed
	Client *http.Client
}

// Source is where a package is looked for.
type Source struct {
	Suite string // such as bookworm
	Arch  string // in Debian's words
	Name  *regexp.Regexp
}

// Kernel returns the newest kernel of the source, unpacked. Kernels are published as security updates, so those are
// looked through first, and the suite itself only where they hold none.
func (a *Archive) Kernel(ctx context.Context, s Source) (*Kernel, error) {
	for _, place := range []struct{ root, suite string }{
		{a.Mirror + "-security", s.Suite + "-security"},
		{a.Mirror, s.Suite},
	} {
		list, err := a.index(ctx, place.root, place.suite, s)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if len(list) > 0 {
			return a.unpacked(ctx, place.root, Newest(list))
		}
	}
	return nil, fmt.Errorf("package %s of %s/%s: %w", s.Name, s.Suite, s.Arch, ErrNotFound)
}

func (a *Archive) index(ctx context.Context, root, suite string, s Source) ([]Package, error) {
	body, err := a.get(ctx, fmt.Sprintf("%s/dists/%s/main/binary-%s/Packages.xz", root, suite, s.Arch))
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	text, err := xz.NewReader(body)
	if err != nil {
		return nil, fmt.Errorf("index of %s: %w", suite, err)
	}
	list, err := ParseIndex(text, s.Name)
	if err != nil {
		return nil, fmt.Errorf("index of %s: %w", suite, err)
	}
	return list, nil
}

func (a *Archive) get(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.Client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	_ = resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("fetch %s: %w", url, ErrNotFound)
	}
	return nil, fmt.Errorf("fetch %s: %s", url, resp.Status)
}

// unpacked returns the kernel of a package from the cache, which it is fetched into if necessary.
func (a *Archive) unpacked(ctx context.Context, root string, p Package) (*Kernel, error) {
	dir := filepath.Join(a.Cache, p.Name+"_"+p.Version.String())
	if k, err := openKernel(dir, p); !errors.Is(err, os.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(a.Cache, 0o755); err != nil {
		return nil, err
	}
	half, err := os.MkdirTemp(a.Cache, "unpacking-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(half) }()
	deb, err := a.fetch(ctx, root, p, half)
	if err != nil {
		return nil, err
	}
	defer func() { _ = deb.Close() }()
	if err := unpack(deb, half); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", p.Name, err)
	}
	if err := os.Remove(deb.Name()); err != nil {
		return nil, err
	}
	if err := os.Rename(half, dir); err != nil {
		return nil, err
	}
	return openKernel(dir, p)
}

// fetch downloads a package into a directory and verifies it.
func (a *Archive) fetch(ctx context.Context, root string, p Package, dir string) (*os.File, error) {
	body, err := a.get(ctx, root+"/"+p.Filename)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	f, err := os.Create(filepath.Join(dir, "package.deb"))
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, hash), body); err != nil {
		return nil, errors.Join(fmt.Errorf("fetch %s: %w", p.Name, err), f.Close())
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != p.SHA256 {
		return nil, errors.Join(fmt.Errorf("package %s has SHA256 %s, the index says %s", p.Name, sum, p.SHA256), f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
