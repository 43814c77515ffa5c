package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/cavaliergopher/cpio"

	"github.com/palisade-netpol/palisade/hack/kernels/guest"
	"github.com/palisade-netpol/palisade/hack/kernels/modules"
)

// TestInitramfsHoldsWhatThePlanNames: every folder comes before what lies in it, or the kernel drops the file.
func TestInitramfsHoldsWhatThePlanNames(t *testing.T) {
	dir := t.TempDir()
	binary, archive := filepath.Join(dir, "init"), filepath.Join(dir, "archive")
	if err := os.WriteFile(binary, []byte("code"), 0o600); err != nil {
		t.Fatal(err)
	}
	list := []suite{{name: "live", runs: []selection{{pkg: "hack/kernels/live"}}}}
	bins := binaries{"/init": binary, inGuest("hack/kernels/live", binaryName): binary}
	if err := writeInitramfs(archive, bins, []modules.Module{{Name: "veth", Code: []byte("module")}}, list); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, archive)
	var p guest.Plan
	if err := json.Unmarshal([]byte(files[guest.PlanFile]), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Modules) != 1 || files[p.Modules[0]] != "module" {
		t.Errorf("modules of the plan are %v", p.Modules)
	}
	if run := p.Suites[0].Runs[0]; files[run.Binary] != "code" || files["/init"] != "code" {
		t.Errorf("no binary at %s", run.Binary)
	}
}

func unpack(t *testing.T, archive string) map[string]string {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	files, folders := map[string]string{}, map[string]bool{"/": true}
	for r := cpio.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		at := "/" + header.Name
		if !folders[path.Dir(at)] {
			t.Errorf("%s comes before its folder", at)
		}
		if header.Mode.IsDir() {
			folders[at] = true
			continue
		}
		if header.Mode.Perm()&0o111 == 0 {
			t.Errorf("%s cannot be run", at)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[at] = string(content)
	}
}
