package debian_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/palisade-netpol/palisade/hack/kernels/debian"
)

// index is in the form of a Packages file: a field may go on in lines that begin with a space.
const index = `Package: linux-image-6.1.0-9-cloud-amd64
Version: 6.1.27-1
Description: Linux
 with more
 .
 words
Filename: pool/main/l/linux/nine.deb
SHA256: 09

Package: linux-image-6.1.0-10-cloud-amd64
Version: 6.1.27-1+b1
Filename: pool/main/l/linux/ten.deb
SHA256: 10

Package: linux-image-6.1.0-10-cloud-amd64-dbg
Version: 7.0-1
Filename: pool/main/l/linux/dbg.deb
SHA256: ff

Package: linux-image-6.1.0-8-cloud-amd64
Version: 6.1.27~rc1-1
Filename: pool/main/l/linux/eight.deb
SHA256: 08
`

var cloud = regexp.MustCompile(`^linux-image-6\.1\.0-[0-9]+-cloud-amd64$`)

func TestParseIndexKeepsWhatMatches(t *testing.T) {
	list, err := debian.ParseIndex(strings.NewReader(index), cloud)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	want := "linux-image-6.1.0-9-cloud-amd64 linux-image-6.1.0-10-cloud-amd64 linux-image-6.1.0-8-cloud-amd64"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if p := list[0]; p.Filename != "pool/main/l/linux/nine.deb" || p.SHA256 != "09" || p.Version.String() != "6.1.27-1" {
		t.Errorf("first package is %+v", p)
	}
}

func TestNewestGoesByVersionNotByName(t *testing.T) {
	list, err := debian.ParseIndex(strings.NewReader(index), cloud)
	if err != nil {
		t.Fatal(err)
	}
	if p := debian.Newest(list); p.SHA256 != "10" {
		t.Errorf("newest is %+v", p)
	}
}

func TestParseIndexRefusesWhatCannotBeVerified(t *testing.T) {
	for name, text := range map[string]string{
		"no hash":     "Package: linux-image-6.1.0-1-cloud-amd64\nVersion: 1\nFilename: pool/a.deb\n\n",
		"no file":     "Package: linux-image-6.1.0-1-cloud-amd64\nVersion: 1\nSHA256: 00\n\n",
		"bad version": "Package: linux-image-6.1.0-1-cloud-amd64\nVersion: 1 2\nFilename: pool/a.deb\nSHA256: 00\n\n",
		"no stanza":   "<html>not found</html>\n",
	} {
		t.Run(name, func(t *testing.T) {
			if list, err := debian.ParseIndex(strings.NewReader(text), cloud); err == nil {
				t.Errorf("got %+v", list)
			}
		})
	}
}

func TestMirrorIsWhatAptUses(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, c := range map[string]struct {
		etc  fstest.MapFS
		want string
	}{
		"old format": {fstest.MapFS{"sources.list": file("deb [arch=amd64] https://mirror.example/debian/ bookworm main\n")},
			"https://mirror.example/debian"},
		"new format": {fstest.MapFS{"sources.list.d/debian.sources": file(
			"Types: deb\n# http://old.example/debian\nURIs: http://sec.example/debian-security http://new.example/debian\n")},
			"http://new.example/debian"},
		"others' archives": {fstest.MapFS{
			"sources.list.d/tool.list": file("deb https://tool.example/apt stable main\n"),
		}, debian.Default},
		"no apt": {fstest.MapFS{}, debian.Default},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := debian.Mirror(c.etc); err != nil || got != c.want {
				t.Errorf("got %s (%v), want %s", got, err, c.want)
			}
		})
	}
}
