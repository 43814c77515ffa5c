package debian

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/blakesmith/ar"
	"github.com/ulikunitz/xz"
)

// Kernel is an unpacked kernel.
type Kernel struct {
	Package Package
	Image   string // what boots
	Modules string // the directory that holds kernel/ and modules.builtin
}

// The names of what is kept of a package.
const (
	imageName   = "vmlinuz"
	modulesName = "modules"
)

func openKernel(dir string, p Package) (*Kernel, error) {
	k := &Kernel{Package: p, Image: filepath.Join(dir, imageName), Modules: filepath.Join(dir, modulesName)}
	if _, err := os.Stat(k.Image); err != nil {
		return nil, err
	}
	return k, nil
}

// unpack writes the kernel and the modules of a package below dir.
func unpack(deb io.Reader, dir string) error {
	members := ar.NewReader(deb)
	for {
		member, err := members.Next()
		if err != nil {
			return fmt.Errorf("find data.tar.xz: %w", err)
		}
		if strings.TrimSuffix(member.Name, "/") != "data.tar.xz" {
			continue
		}
		data, err := xz.NewReader(members)
		if err != nil {
			return err
		}
		return unpackData(tar.NewReader(data), dir)
	}
}

func unpackData(files *tar.Reader, dir string) error {
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := keptAs(header.Name)
		if name == "" || header.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), files); err != nil {
			return err
		}
	}
}

// module is a file of a kernel's modules; newer releases have /lib in /usr.
var module = regexp.MustCompile(`^\./(?:usr/)?lib/modules/[^/]+/(.+)$`)

// keptAs returns under which name a file of a package is kept, or nothing.
func keptAs(name string) string {
	if strings.HasPrefix(name, "./boot/vmlinuz-") {
		return imageName
	}
	m := module.FindStringSubmatch(name)
	if m == nil || !filepath.IsLocal(m[1]) {
		return ""
	}
	return filepath.Join(modulesName, m[1])
}

func writeFile(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
