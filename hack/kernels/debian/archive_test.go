package debian_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/blakesmith/ar"
	"github.com/ulikunitz/xz"

	"github.com/palisade-netpol/palisade/hack/kernels/debian"
)

// archive serves files, and notes what was asked for.
type archive struct {
	files map[string][]byte
	asked []string
}

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked = append(a.asked, r.URL.Path)
	if content, ok := a.files[r.URL.Path]; ok {
		_, _ = w.Write(content)
		return
	}
	http.NotFound(w, r)
}

func open(t *testing.T, a *archive) *debian.Archive {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	cache := filepath.Join(t.TempDir(), "cache")
	return &debian.Archive{Mirror: server.URL + "/debian", Cache: cache, Client: server.Client()}
}

var source = debian.Source{Suite: "bookworm", Arch: "amd64", Name: cloud}

const (
	security = "/debian-security/dists/bookworm-security/main/binary-amd64/Packages.xz"
	release  = "/debian/dists/bookworm/main/binary-amd64/Packages.xz"
)

// kernelPackage is a .deb whose files are where the release had them.
func kernelPackage(t *testing.T, lib string) []byte {
	t.Helper()
	var data bytes.Buffer
	files := tar.NewWriter(&data)
	for name, content := range map[string]string{
		"./boot/vmlinuz-6.1.0-1-cloud-amd64":                        "image",
		"./boot/config-6.1.0-1-cloud-amd64":                         "CONFIG",
		lib + "/modules/6.1.0-1-cloud-amd64/modules.builtin":        "kernel/a.ko\n",
		lib + "/modules/6.1.0-1-cloud-amd64/kernel/net/veth.ko":     "veth",
		lib + "/modules/6.1.0-1-cloud-amd64/../../../../etc/passwd": "outside",
	} {
		must(t, files.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644, Typeflag: tar.TypeReg}))
		_, err := io.WriteString(files, content)
		must(t, err)
	}
	must(t, files.Close())
	var deb bytes.Buffer
	members := ar.NewWriter(&deb)
	must(t, members.WriteGlobalHeader())
	for _, m := range []struct {
		name    string
		content []byte
	}{{"debian-binary", []byte("2.0\n")}, {"data.tar.xz", compress(t, data.Bytes())}} {
		must(t, members.WriteHeader(&ar.Header{Name: m.name, Size: int64(len(m.content)), ModTime: time.Unix(0, 0)}))
		_, err := members.Write(m.content)
		must(t, err)
	}
	return deb.Bytes()
}

func compress(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	must(t, err)
	_, err = w.Write(content)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func indexOf(t *testing.T, deb []byte) []byte {
	t.Helper()
	const stanza = "Package: linux-image-6.1.0-1-cloud-amd64\nVersion: 6.1-1\nFilename: pool/k.deb\nSHA256: %x\n\n"
	return compress(t, fmt.Appendf(nil, stanza, sha256.Sum256(deb)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKernelIsUnpackedOnce(t *testing.T) {
	for name, lib := range map[string]string{"until bookworm": "./lib", "since trixie": "./usr/lib"} {
		t.Run(name, func(t *testing.T) {
			deb := kernelPackage(t, lib)
			a := &archive{files: map[string][]byte{security: indexOf(t, deb), "/debian-security/pool/k.deb": deb}}
			d := open(t, a)
			k, err := d.Kernel(t.Context(), source)
			must(t, err)
			for file, want := range map[string]string{
				k.Image: "image", filepath.Join(k.Modules, "kernel/net/veth.ko"): "veth",
			} {
				if got, err := os.ReadFile(file); err != nil || string(got) != want {
					t.Errorf("%s holds %q (%v), want %q", file, got, err, want)
				}
			}
			again, err := d.Kernel(t.Context(), source)
			if err != nil || again.Image != k.Image {
				t.Errorf("second time: %+v (%v)", again, err)
			}
			if got := strings.Join(a.asked, " "); got != security+" /debian-security/pool/k.deb "+security {
				t.Errorf("asked for %s", got)
			}
			entries, err := os.ReadDir(d.Cache)
			if err != nil || len(entries) != 1 {
				t.Errorf("cache holds %v (%v), want the kernel only", entries, err)
			}
		})
	}
}

func TestKernelOfTheReleaseWhereSecurityHasNone(t *testing.T) {
	deb := kernelPackage(t, "./lib")
	d := open(t, &archive{files: map[string][]byte{release: indexOf(t, deb), "/debian/pool/k.deb": deb}})
	if _, err := d.Kernel(t.Context(), source); err != nil {
		t.Error(err)
	}
}

func TestKernelThatIsNotThere(t *testing.T) {
	d := open(t, &archive{files: map[string][]byte{security: compress(t, []byte("Package: other\nVersion: 1\n\n"))}})
	if _, err := d.Kernel(t.Context(), source); !errors.Is(err, debian.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestAnotherFileThanTheIndexSaysIsRefused(t *testing.T) {
	deb := kernelPackage(t, "./lib")
	a := &archive{files: map[string][]byte{security: indexOf(t, deb), "/debian-security/pool/k.deb": deb[:len(deb)-1]}}
	d := open(t, a)
	if _, err := d.Kernel(t.Context(), source); err == nil || !strings.Contains(err.Error(), "SHA256") {
		t.Errorf("got %v, want an error about the hash", err)
	}
	if entries, err := os.ReadDir(d.Cache); err != nil || len(entries) != 0 {
		t.Errorf("cache holds %v (%v), want nothing", entries, err)
	}
}
