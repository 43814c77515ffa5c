package debian

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"regexp"

	"pault.ag/go/debian/version"
)

// Package is a stanza of an index.
type Package struct {
	Name     string
	Version  version.Version
	Filename string // below the root of the archive
	SHA256   string // in hexadecimal
}

// ParseIndex returns the packages of an index ("Packages", deb822) whose names match.
func ParseIndex(r io.Reader, name *regexp.Regexp) ([]Package, error) {
	stanzas := textproto.NewReader(bufio.NewReader(r))
	var list []Package
	for {
		fields, err := stanzas.ReadMIMEHeader()
		if name.MatchString(fields.Get("Package")) {
			p, err := parsePackage(fields)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
		}
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
	}
}

func parsePackage(fields textproto.MIMEHeader) (Package, error) {
	p := Package{Name: fields.Get("Package"), Filename: fields.Get("Filename"), SHA256: fields.Get("SHA256")}
	if p.Filename == "" || p.SHA256 == "" {
		return p, fmt.Errorf("package %s: no file name or no SHA256 in the index", p.Name)
	}
	var err error
	if p.Version, err = version.Parse(fields.Get("Version")); err != nil {
		return p, fmt.Errorf("package %s: %w", p.Name, err)
	}
	return p, nil
}

// Newest returns the package of the highest version; the list must not be empty.
func Newest(list []Package) Package {
	newest := list[0]
	for _, p := range list[1:] {
		if version.Compare(p.Version, newest.Version) > 0 {
			newest = p
		}
	}
	return newest
}
