package pinfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/palisade-netpol/palisade/scenarios/backend/netns/pinfs"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a bpf file system")
	}
}

func TestPinsSurviveTheirDescriptorAndDieWithTheFileSystem(t *testing.T) {
	needsRoot(t)
	fs, err := pinfs.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fs.Close() }() // closed already, unless something fails
	dir, err := fs.Mkdir("node")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	pin := filepath.Join(dir, "map")
	if err := m.Pin(pin); err != nil {
		t.Fatal(err)
	}
	if err := m.Put(uint32(0), uint32(42)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := ebpf.LoadPinnedMap(pin, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	var got uint32
	if err := again.Lookup(uint32(0), &got); err != nil || got != 42 {
		t.Errorf("value under the pin = %d, %v; want 42", got, err)
	}
	if err := fs.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := ebpf.LoadPinnedMap(pin, nil); err == nil {
		t.Error("the pin is still there after Close")
	}
}

func TestNobodySeesTheMount(t *testing.T) {
	needsRoot(t)
	before := mounts(t)
	fs, err := pinfs.New()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	}()
	if after := mounts(t); after != before {
		t.Errorf("%d bpf mounts before, %d after", before, after)
	}
}

// mounts counts the BPF file systems of the mount table.
func mounts(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), " - bpf ")
}
