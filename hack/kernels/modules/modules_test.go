package modules_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ulikunitz/xz"

	"github.com/palisade-netpol/palisade/hack/kernels/modules"
)

func TestOrderPutsWhatIsNeededFirst(t *testing.T) {
	needs := map[string][]string{
		"nft_nat": {"nf_tables", "nf_nat"}, "nf_nat": {"nf_conntrack", "libcrc32c"}, "nf_tables": {"libcrc32c"},
		"nf_conntrack": {"libcrc32c"},
	}
	depends := func(name string) ([]string, error) { return needs[name], nil }
	got, err := modules.Order([]string{"nft-nat", "veth", "nf_nat"}, depends)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"libcrc32c", "nf_tables", "nf_conntrack", "nf_nat", "nft_nat", "veth"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOrderEndsInACircle(t *testing.T) {
	got, err := modules.Order([]string{"a"}, func(name string) ([]string, error) {
		return map[string][]string{"a": {"b"}, "b": {"a"}}[name], nil
	})
	if err != nil || len(got) != 2 {
		t.Errorf("got %v (%v), want both once", got, err)
	}
}

func TestOrderNamesWhoNeedsWhatIsMissing(t *testing.T) {
	missing := errors.New("missing")
	_, err := modules.Order([]string{"a"}, func(name string) ([]string, error) {
		if name == "b" {
			return nil, missing
		}
		return []string{"b"}, nil
	})
	if !errors.Is(err, missing) || !strings.Contains(err.Error(), "needed by a") {
		t.Errorf("got %v", err)
	}
}

func TestParseDepends(t *testing.T) {
	for info, want := range map[string][]string{
		"license=GPL\x00depends=nf_nat,libcrc32c\x00name=x\x00": {"nf_nat", "libcrc32c"},
		"license=GPL\x00depends=\x00":                           nil,
		"softdep=pre: depends=no\x00":                           nil,
	} {
		if got := modules.ParseDepends(info); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", info, got, want)
		}
	}
}

// TestLoad reads modules that are compressed and not, and leaves out what the kernel has built in.
func TestLoad(t *testing.T) {
	plain, packed := object("depends=nf-nat,crc32c\x00"), object("depends=\x00")
	tree := fstest.MapFS{
		"modules.builtin":                 {Data: []byte("kernel/lib/crc32c.ko\n")},
		"kernel/net/netfilter/nft_nat.ko": {Data: plain},
		"kernel/net/nf_nat.ko.xz":         {Data: compress(t, packed)},
	}
	got, err := modules.Load(tree, []string{"nft_nat"})
	if err != nil {
		t.Fatal(err)
	}
	want := []modules.Module{{Name: "nf_nat", Code: packed}, {Name: "nft_nat", Code: plain}}
	same := func(a, b modules.Module) bool { return a.Name == b.Name && bytes.Equal(a.Code, b.Code) }
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("got %d modules, want nf_nat and nft_nat with their code", len(got))
	}
	if _, err := modules.Load(tree, []string{"veth"}); !errors.Is(err, modules.ErrNotFound) {
		t.Errorf("unknown module: %v, want ErrNotFound", err)
	}
}

// object is an ELF file with nothing but the section .modinfo.
func object(info string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	header := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2, Shoff: 64,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	header.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	at := uint64(64 + 3*64)
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: at, Size: uint64(len(info))},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(info)), Size: uint64(len(names))},
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, header) // a buffer refuses nothing
	_ = binary.Write(&b, binary.LittleEndian, sections)
	b.WriteString(info + names)
	return b.Bytes()
}

func compress(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
