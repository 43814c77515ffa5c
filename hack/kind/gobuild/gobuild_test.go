package gobuild

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
)

func TestEveryPluginIsBuilt(t *testing.T) {
	var built []string
	for _, p := range packages() {
		built = append(built, path.Base(p))
	}
	for _, want := range append(CNIPlugins(), "kind", "coredns", "pause") {
		if !slices.Contains(built, want) {
			t.Errorf("%s is not among %v", want, built)
		}
	}
}

func TestKeyNamesEveryFileOfTheModule(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := hashModule(dir)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	first := write("go.mod", "module a")
	if again := write("go.mod", "module a"); again != first {
		t.Error("the same module has another key")
	}
	if other := write("go.mod", "module b"); other == first {
		t.Error("another version has the same key")
	}
	before := write("go.mod", "module a")
	if after := write("sub/main.go", ""); after == before {
		t.Error("a new file, though empty, has the same key")
	}
}

func TestModuleIsFoundFromBelow(t *testing.T) {
	module, err := findModule() // from the folder of this test
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(module) != "programs" {
		t.Errorf("found %s", module)
	}
	t.Chdir(t.TempDir())
	if module, err := findModule(); err == nil {
		t.Errorf("found %s from outside of the project", module)
	}
}
