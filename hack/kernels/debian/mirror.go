package debian

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// Default is the mirror of hosts whose apt names none.
const Default = "http://deb.debian.org/debian"

// uri is an address that apt fetches from, in either of its formats.
var uri = regexp.MustCompile(`https?://[^\s\]]+`)

// Mirror returns the Debian archive that apt uses on this host, without the last slash. etc is /etc/apt.
func Mirror(etc fs.FS) (string, error) {
	for _, pattern := range []string{"sources.list", "sources.list.d/*.list", "sources.list.d/*.sources"} {
		files, err := fs.Glob(etc, pattern)
		if err != nil {
			return "", err
		}
		for _, file := range files {
			text, err := fs.ReadFile(etc, file)
			if err != nil {
				return "", fmt.Errorf("read apt's sources: %w", err)
			}
			if m := mirrorIn(string(text)); m != "" {
				return m, nil
			}
		}
	}
	return Default, nil
}

// mirrorIn finds the archive of Debian itself, which mirrors call debian, among those that a file names.
func mirrorIn(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, u := range uri.FindAllString(line, -1) {
			if u = strings.TrimRight(u, "/"); strings.HasSuffix(u, "/debian") {
				return u
			}
		}
	}
	return ""
}
