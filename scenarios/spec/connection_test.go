package spec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/scenarios/manifest/strict/stricttest"
)

const talk = "connections: [{name: talk, keep: true, from: default/a, to: default/b, port: UDP/53}]"

// following lists per step what is held there and what is opened.
func following(t *testing.T, text string) []string {
	t.Helper()
	var all []string
	for _, stage := range mustStages(t, text) {
		var words []string
		for _, k := range stage.Held {
			words = append(words, fmt.Sprintf("%s %s", k.Name, k.Verdict))
		}
		for _, k := range stage.Opens {
			words = append(words, fmt.Sprintf("opens %s: %s to %s%s %s", k.Name, k.From, k.To, k.Service, k.PortProto))
		}
		all = append(all, strings.Join(words, ", "))
	}
	return all
}

func TestConnectionsAreHeldAsLongAsTheirEndsLive(t *testing.T) {
	const held, over = "talk/ipv4 undefined", ""
	for name, c := range map[string]struct{ change, want string }{
		"nothing happens":             {"", held},
		"an end terminates":           {"terminate: [default/b]", held},
		"an end is relabelled":        {"label: [{kind: Pod, name: a, labels: {x: z}}]", held},
		"the one that opened it goes": {"delete: [{kind: Pod, name: a}]", over},
		"the called one restarts":     {"restart: [default/b]", over},
		"the called one completes":    {"phase: [{pod: default/b, to: Succeeded}]", over},
	} {
		t.Run(name, func(t *testing.T) {
			got := following(t, steps("- name: one\n  "+talk+"\n- name: two\n  "+c.change+"\n- name: three"))
			want := []string{"opens talk/ipv4: default/a to default/b UDP/53", c.want, c.want}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAConnectionIsOnePerFamilyAndJudgedInEach(t *testing.T) {
	got := following(t, document("families: [ipv4, ipv6]\n"+twoPods+"steps:\n- name: one\n  "+talk+`
- name: two
  connections: [{name: talk, verdict: stops}]
- name: three
  connections: [{name: talk, verdict: goes-on}]`))
	want := []string{
		"opens talk/ipv4: default/a to default/b UDP/53, opens talk/ipv6: default/a to default/b UDP/53",
		"talk/ipv4 deny, talk/ipv6 deny", "talk/ipv4 allow, talk/ipv6 allow",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsOpenedIsExpectedToBeAllowed(t *testing.T) {
	stage := mustStages(t, steps("- name: one\n  "+talk))[0]
	if len(stage.Expect) != 1 || stage.Expect[0].To != "default/b" || stage.Expect[0].Line != 11 {
		t.Errorf("%d expectations: %+v", len(stage.Expect), stage.Expect)
	}
	said := steps("- name: one\n  " + talk +
		"\n  expect: [{from: default/a, to: default/b, port: UDP/53, verdict: allow}]")
	if stage := mustStages(t, said)[0]; len(stage.Expect) != 1 || stage.Expect[0].Line != 12 {
		t.Errorf("%d expectations: %+v", len(stage.Expect), stage.Expect)
	}
}

func TestAConnectionThroughAServiceLivesByItsBackends(t *testing.T) {
	got := following(t, document(`objects:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- {apiVersion: v1, kind: Pod, metadata: {name: b, labels: {app: b}}}
- {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: b}, ports: [{port: 80}]}}
steps:
- name: one
  connections: [{name: talk, keep: true, from: default/a, service: default/web, port: TCP/80}]
- name: two
- name: three
  restart: [default/b]`))
	want := []string{"opens talk/ipv4: default/a to default/web TCP/80", "talk/ipv4 undefined", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestConnectionsRefuseWithOneSentence(t *testing.T) {
	for name, c := range map[string]struct{ step, want string }{
		"a verdict and keep": {
			"connections: [§{name: talk, keep: true, from: default/a, to: default/b, port: UDP/53, verdict: stops}]",
			"a connection is opened with keep: true",
		},
		"ends without keep": {"connections: [§{name: talk, from: default/a, to: default/b, port: UDP/53}]", "keep: true"},
		"nobody to call": {
			"connections: [§{name: talk, keep: true, from: default/a, port: UDP/53}]", "exactly one of to and service",
		},
		"a name that is none": {
			"connections: [{name: §Talk, keep: true, from: default/a, to: default/b, port: UDP/53}]", `"Talk" is no name`,
		},
		"an unknown connection": {"connections: [{name: §other, verdict: stops}]", "no connection other of an earlier step"},
		"another verdict":       {"connections: [{name: talk, verdict: §allow}]", "must be goes-on or stops"},
		"a name twice": {
			talk + "\n- name: two\n  connections: [{name: §talk, keep: true, from: default/a, to: default/b, port: UDP/53}]",
			"there is a connection talk already",
		},
		"judged twice": {
			talk + "\n- name: two\n  connections: [{name: talk, verdict: stops}, §{name: talk, verdict: stops}]",
			"spoken of twice",
		},
		"an end that is gone": {
			talk + "\n- name: two\n  delete: [{kind: Pod, name: b}]\n  connections: [{name: §talk, verdict: stops}]",
			"no connection talk of an earlier step is alive",
		},
		"a phase that is none": {"phase: [{pod: default/a, to: §Gone}]", `"Gone" is none of Pending`},
		"the phase of nobody":  {"phase: [{pod: §default/z, to: Failed}]", "there is no Pod default/z"},
		"nobody to terminate":  {"terminate: [§default/z]", "there is no Pod default/z"},
		"a node without a service": {
			"expect: [{from: default/a, to: default/b, node: §node-a, port: TCP/80, verdict: allow}]", "to: node/node-a",
		},
		"a service without node port": {
			"expect: [{from: default/a, service: default/web, node: §node-a, port: TCP/80, verdict: allow}]",
			"has no node ports",
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, line, col := stricttest.Place(steps("- name: one\n  " + c.step))
			_, err := Parse("s.yaml", []byte(text), nil)
			stricttest.WantOne(t, err, line, col, c.want)
		})
	}
}

func TestHostsOutsideHaveAddressesOfAllFamilies(t *testing.T) {
	stage := mustStages(t, document(`families: [ipv6, ipv4]
external: [{name: office}, {name: street, address: 198.51.100.7}, {name: garden}]
objects: [`+pod("a")+`]
steps: [{name: x, expect: [{from: external/office, to: default/a, port: TCP/80, verdict: allow}]}]`))[0]
	got := fmt.Sprint(stage.Outside)
	want := "[{external/office [fd00:203:0:71::a 203.0.113.10]} {external/street [fd00:198:51:64::7 198.51.100.7]} " +
		"{external/garden [fd00:203:0:71::b 203.0.113.11]}]"
	if got != want || len(stage.Expect) != 2 {
		t.Errorf("got %s\nwant %s, and %d expectations", got, want, len(stage.Expect))
	}
}

func TestExternalRefusesWithOneSentence(t *testing.T) {
	for name, c := range map[string]struct{ external, want string }{
		"a name that is none": {"[{name: §Office}]", `"Office" is no name`},
		"a name twice":        {"[{name: a}, {name: §a}]", "or is taken"},
		"an address twice":    {"[{name: a, address: 203.0.113.10}, {name: b, address: §203.0.113.10}]", "or is taken"},
		"an IPv6 address":     {"[{name: a, address: §fd00::1}]", "is no IPv4 address"},
	} {
		t.Run(name, func(t *testing.T) {
			text, line, col := stricttest.Place(document("external: " + c.external + "\nsteps: [{name: x}]"))
			_, err := Parse("s.yaml", []byte(text), nil)
			stricttest.WantOne(t, err, line, col, c.want)
		})
	}
}

func TestAPodThatStartsGetsItsAddressThen(t *testing.T) {
	stages := mustStages(t, steps(`
- name: one
  apply: [{apiVersion: v1, kind: Pod, metadata: {name: late}, status: {phase: Pending}}]
- name: two
  phase: [{pod: default/late, to: Running}]
- name: three
  phase: [{pod: default/late, to: Failed}]
- name: four
  terminate: [default/a]`))
	var got []string
	for _, stage := range stages {
		p := findPod(t, stage.Cluster, "default/late")
		got = append(got, fmt.Sprint(p.Status.Phase, podIPs(p), p.Status.Conditions[0].Status))
	}
	want := []string{"Pending[]False", "Running[10.240.1.3]True", "Failed[10.240.1.3]False", "Failed[10.240.1.3]False"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	before, after := findPod(t, stages[2].Cluster, "default/a"), findPod(t, stages[3].Cluster, "default/a")
	if before.DeletionTimestamp != nil || after.DeletionTimestamp == nil || before.UID != after.UID {
		t.Errorf("got %+v, then %+v", before.ObjectMeta, after.ObjectMeta)
	}
}

func TestNodePortsAreGivenOnceAndKept(t *testing.T) {
	web := "{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {type: NodePort, ports: [{port: %d}]}}"
	stages := mustStages(t, document("objects:\n- "+fmt.Sprintf(web, "one", 80)+"\n- "+fmt.Sprintf(web, "two", 80)+
		"\nsteps:\n- name: one\n- name: two\n  apply: ["+fmt.Sprintf(web, "one", 80)+", "+fmt.Sprintf(web, "two", 81)+"]"))
	var got []int32
	for _, stage := range stages {
		for _, s := range stage.Cluster.Services {
			got = append(got, s.Spec.Ports[0].NodePort)
		}
	}
	if diff := cmp.Diff([]int32{30001, 30002, 30001, 30003}, got); diff != "" {
		t.Error(diff)
	}
}
