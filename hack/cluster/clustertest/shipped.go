package clustertest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/deploy"
)

// Home is the namespace of the ServiceAccounts that the shipped roles are for.
const Home = "kube-system"

// Shipped are files, for cluster.Options.Manifests, with what is shipped for a program, "agent" or "controller": the
// CustomResourceDefinitions, and its roles. The roles are the last file.
func Shipped(tb testing.TB, program string) []string {
	tb.Helper()
	names, err := fs.Glob(deploy.Manifests, "crds/*.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var files []string
	for _, name := range append(names, "rbac/"+program+".yaml") {
		text, err := fs.ReadFile(deploy.Manifests, name)
		if err != nil {
			tb.Fatal(err)
		}
		file := filepath.Join(tb.TempDir(), path.Base(name))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			tb.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// How often Eventually tries, and for how long, on a machine busy with other tests.
const (
	interval = 20 * time.Millisecond
	patience = time.Minute
)

// Eventually tries until check succeeds. If that takes too long, the test ends with the last error.
func Eventually(tb testing.TB, check func() error) {
	tb.Helper()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			tb.Fatal(err)
		}
	}
}
