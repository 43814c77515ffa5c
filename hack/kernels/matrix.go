package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-netpol/palisade/hack/kernels/debian"
	"github.com/palisade-netpol/palisade/hack/kernels/guest"
)

// kernel is a column of the matrix.
type kernel struct {
	name   string
	arch   string // as Go calls it
	source debian.Source
	// facts are what tests must note on this kernel: the table is the documentation of what it demands.
	facts map[string]string
}

// What tests note with T.Attr, and what a kernel can demand.
const (
	factCapabilities = "capabilities"
	factHook         = "hook"
	factMemlock      = "memlock"
	factEgress       = "verified-instructions-pod_egress"
	factIngress      = "verified-instructions-pod_ingress"

	twoCapabilities = "CAP_BPF CAP_NET_ADMIN"
	withPerfmon     = twoCapabilities + " CAP_PERFMON"
)

// kernels are the columns, oldest first. Debian calls a build without drivers for real hardware "cloud".
func kernels() []kernel {
	const trixie = `6\.12\.[0-9]+\+deb13[.0-9]*`
	return []kernel{
		{"5.10", "amd64", debian.Source{Suite: "bullseye", Arch: "amd64", Name: image(`5\.10\.0-[0-9]+`, "amd64")},
			map[string]string{factCapabilities: withPerfmon, factHook: "clsact", factMemlock: "raised"}},
		{"6.1", "amd64", debian.Source{Suite: "bookworm", Arch: "amd64", Name: image(`6\.1\.0-[0-9]+`, "amd64")},
			map[string]string{factCapabilities: withPerfmon, factHook: "clsact", factMemlock: "not needed"}},
		{"6.12", "amd64", debian.Source{Suite: "trixie", Arch: "amd64", Name: image(trixie, "amd64")},
			map[string]string{factCapabilities: twoCapabilities, factHook: "tcx", factMemlock: "not needed"}},
		{"6.12-arm64", "arm64", debian.Source{Suite: "trixie", Arch: "arm64", Name: image(trixie, "arm64")},
			map[string]string{factCapabilities: twoCapabilities, factHook: "tcx", factMemlock: "not needed"}},
	}
}

func image(version, arch string) *regexp.Regexp {
	return regexp.MustCompile("^linux-image-" + version + "-cloud-" + arch + "$")
}

// loaded are the modules that the suites need: what an interface, its hooks and the sockets of the tests are made of.
func loaded() []string { return []string{"veth", "bridge", "sch_ingress", "cls_bpf"} }

// suite is a row of the matrix.
type suite struct {
	name string
	says string // for people
	runs []selection
}

// selection is a test binary with arguments. Folders are those of the module.
type selection struct {
	pkg   string
	tests string // what -test.run is given; everything where it is empty
	skip  string
	args  []string
}

// suites are the rows. checks is how many random cases a property is tried on: emulation is some twenty times slower
// than the machine that it runs on.
func suites(checks int) []suite {
	random := []string{"-rapid.checks=" + strconv.Itoa(checks), "-rapid.nofailfile"}
	const verifier, twin = "^TestLoadsWithTwoCapabilities$", "^TestTwinMatchesKernel$"
	return []suite{
		{"verifier", "the programs are accepted, with no more capabilities than documented", []selection{
			{pkg: "bpf", tests: verifier},
		}},
		{"packets", "verdicts on packets sent through BPF_PROG_TEST_RUN", []selection{
			{pkg: "bpf", skip: verifier},
			{pkg: "sim/datapath", skip: twin, args: random},
			{pkg: "sim/engine", tests: "^TestSemantics$"},
		}},
		{"property", "the programs against the twin and the model, on random policies and packets", []selection{
			{pkg: "sim/datapath", tests: twin, args: random},
			{pkg: "sim/engine", tests: "^(TestEnginesAgree|TestClusterIPsFollowTheirBackends)$", args: random},
		}},
		{"live", "pods as network namespaces: attach, allow, deny, revoke, restart; hooks shared with others", []selection{
			{pkg: "hack/kernels/live"},
			{pkg: "bpf/hook"},
		}},
	}
}

// pick returns the items whose names are listed, in their own order; all where the list is empty.
func pick[T any](all []T, name func(T) string, list string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	wanted := strings.Split(list, ",")
	var known []string
	var picked []T
	for _, item := range all {
		known = append(known, name(item))
		if slices.Contains(wanted, name(item)) {
			picked = append(picked, item)
		}
	}
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("%q is none of %s", w, strings.Join(known, ", "))
		}
	}
	return picked, nil
}

// plan says what the guest is to run.
func plan(modules []string, list []suite) guest.Plan {
	p := guest.Plan{Modules: modules}
	for _, s := range list {
		planned := guest.Suite{Name: s.name}
		for _, r := range s.runs {
			run := guest.Run{Dir: inGuest(r.pkg), Binary: inGuest(r.pkg, binaryName), Args: r.flags()}
			planned.Runs = append(planned.Runs, run)
		}
		p.Suites = append(p.Suites, planned)
	}
	return p
}

// flags are the arguments of the test binary.
func (r selection) flags() []string {
	flags := []string{"-test.timeout=15m", "-test.short"}
	if r.tests != "" {
		flags = append(flags, "-test.run="+r.tests)
	}
	if r.skip != "" {
		flags = append(flags, "-test.skip="+r.skip)
	}
	return append(flags, r.args...)
}
