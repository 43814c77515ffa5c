package spec

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-netpol/palisade/scenarios/manifest/strict/stricttest"
)

// document is a whole scenario with the given rest.
func document(rest string) string {
	return "apiVersion: palisade.dev/v1alpha1\nkind: Scenario\nmetadata: {name: s}\ndescription: d\n" + rest + "\n"
}

// parseOne returns the first case of a file.
func parseOne(path string, data []byte, fsys fs.FS) (*Scenario, error) {
	cases, err := Parse(path, data, fsys)
	if len(cases) == 0 {
		return nil, err
	}
	return cases[0], err
}

const twoPods = `objects:
- {apiVersion: v1, kind: Pod, metadata: {name: a}}
- {apiVersion: v1, kind: Pod, metadata: {name: b}}
- {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}
`

// step is a scenario of two pods, a Service and one step with the given fields.
func step(fields string) string { return document(twoPods + "steps:\n- name: one\n  " + fields) }

func expect(entry string) string { return step("expect:\n  - " + entry) }

func applied(object string) string { return step("apply:\n  - " + object) }

// refusals are scenarios with one mistake each, the place marked, and a part of the sentence about it.
func refusals() map[string]struct{ text, want string } {
	return map[string]struct{ text, want string }{
		"another apiVersion": {
			"apiVersion: §palisade.dev/v2\nkind: Scenario",
			"a scenario has apiVersion: palisade.dev/v1alpha1",
		},
		"another kind":       {"apiVersion: palisade.dev/v1alpha1\nkind: §Pod", "a scenario has kind: Scenario"},
		"no mapping":         {"§[a]", "a scenario has apiVersion"},
		"unknown field":      {document("steps: [{name: x}]\n§step: []"), `unknown field "step"`},
		"unknown step field": {step("§expects: []"), `unknown field "steps[0].expects"`},
		"a field twice":      {step("expect: []\n  §expect: []"), `field "expect" is given twice`},
		"no steps":           {"§" + document(""), "steps is missing"},
		"a step that is null": {
			document("steps: [§null]"), "steps[0] must not be null",
		},
		"a step without a name": {document("steps:\n- §probes: [TCP/80]"), "steps[0].name is missing"},
		"an unknown family": {
			document("families: [ipv4, §ipv5]\nsteps: [{name: x}]"),
			"families must be ipv4, ipv6 or both",
		},
		"a family twice": {document("families: [ipv4, §ipv4]\nsteps: [{name: x}]"), "each once"},
		"a bad name": {
			strings.Replace(step(""), "name: s}", "name: §Big}", 1),
			`metadata.name "Big" is not`,
		},
		"no description": {
			strings.Replace(step(""), "description: d", "description: §''", 1),
			"description is missing",
		},
		"an object that is null": {applied("§null"), "steps[0].apply[0] must not be null"},
		"an object without kind": {applied("§{apiVersion: v1}"), "kind is missing"},
		"a kind that is not read": {
			applied("§{apiVersion: apps/v1, kind: Deployment}"),
			"apps/v1 Deployment is not read",
		},
		"an object's unknown field": {
			applied("{apiVersion: v1, kind: Pod, metadata: {name: c}, §sepc: {}}"), `unknown field "sepc"`,
		},
		"an invalid object": {
			applied("{apiVersion: v1, kind: Pod, metadata: {name: c, labels: §{app: 'a b'}}}"),
			"Pod default/c: metadata.labels: Invalid value",
		},
		"one object twice in a step": {
			applied("{apiVersion: v1, kind: Pod, metadata: {name: c}}\n  - §{apiVersion: v1, kind: Pod, metadata: {name: c}}"),
			"Pod default/c is given twice, first in line 12",
		},
		"two pods with one address": {
			applied("{apiVersion: v1, kind: Pod, metadata: {name: c}, status: {podIPs: [{ip: 10.240.1.9}]}}\n" +
				"  - {apiVersion: v1, kind: Pod, metadata: {name: d}, status: §{podIPs: [{ip: 10.240.1.9}]}}"),
			"is already the address of Pod default/c",
		},
		"a pod on no node": {
			applied("§{apiVersion: v1, kind: Pod, metadata: {name: c}, spec: {nodeName: node-z}}"),
			`Pod default/c: there is no node "node-z"`,
		},
		"a pod whose spec changes": {
			applied("§{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: node-b}}"),
			"Pod default/a lives already and its spec cannot be changed",
		},
		"a pod whose address changes": {
			applied("§{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIPs: [{ip: 10.240.1.99}]}}"),
			"Pod default/a lives already and keeps its address",
		},
		"a file that is not there": {step("applyFiles: [§x.yaml]"), "the file topic/x.yaml does not exist"},
		"a file outside":           {step("applyFiles: [§../../x.yaml]"), "outside the folder of the scenarios"},
		"deleting what is not there": {
			step("delete: [§{kind: Pod, name: z}]"),
			"there is no Pod default/z at this step",
		},
		"deleting an unknown kind": {
			step("delete: [§{kind: Pud, name: a}]"),
			"there is no Pud default/a at this step",
		},
		"labelling what is not there": {
			step("label: [§{kind: Namespace, name: z, labels: {a: b}}]"), "there is no Namespace z at this step",
		},
		"labelling a Service": {
			step("label: [{kind: §Service, name: web, labels: {a: b}}]"),
			"labels of a Pod or of a Namespace",
		},
		"a bad label":            {step("label: [{kind: Pod, name: a, labels: §{a: 'b c'}}]"), "Invalid value"},
		"no labels":              {step("label: [{kind: Pod, name: a, labels: §{}}]"), "labels is missing"},
		"restarting nobody":      {step("restart: [§default/z]"), "there is no Pod default/z at this step"},
		"restarting without a /": {step("restart: [§a]"), `"a" is not namespace/pod`},
		"a probe without number": {step("probes: [TCP/80, §UDP/x]"), `probes: "UDP/x": port "x" is not a number`},
		"no from":                {expect("§{to: default/b, port: TCP/80, verdict: deny}"), "from is missing"},
		"no end": {
			expect("§{from: default/a, port: TCP/80, verdict: deny}"),
			"exactly one of to and service",
		},
		"two ends": {
			expect("§{from: default/a, to: default/b, service: default/web, port: TCP/80, verdict: deny}"),
			"exactly one of",
		},
		"no port": {expect("§{from: default/a, to: default/b, verdict: deny}"), "port is missing"},
		"no verdict": {
			expect("§{from: default/a, to: default/b, port: TCP/80}"),
			"verdict must be allow or deny",
		},
		"an undefined verdict": {
			expect("{from: default/a, to: default/b, port: TCP/80, verdict: §undefined}"),
			"verdict must be",
		},
		"an expected family": {
			expect("{from: default/a, to: default/b, port: TCP/80, family: §v4, verdict: deny}"),
			`family "v4"`,
		},
		"a family nobody has": {
			expect("§{from: default/a, to: default/b, port: TCP/80, family: ipv6, verdict: deny}"),
			"no address of the same family",
		},
		"an unknown pod": {
			expect("{from: [default/a, §default/z], to: default/b, port: TCP/80, verdict: deny}"),
			"from: there is no pod default/z",
		},
		"an unknown node": {
			expect("{from: §node/z, to: default/b, port: TCP/80, verdict: deny}"),
			"from: there is no node/z at this step",
		},
		"an unknown Service": {
			expect("{from: default/a, service: §default/z, port: TCP/80, verdict: deny}"),
			"there is no Service default/z",
		},
		"a Service's other port": {
			expect("{from: default/a, service: default/web, port: §TCP/81, verdict: deny}"),
			"Service default/web has no port TCP/81, only TCP/80",
		},
		"a name without a /": {
			expect("{from: §a, to: default/b, port: TCP/80, verdict: deny}"),
			`from: "a" is not of the form namespace/name`,
		},
		"a port without protocol": {
			expect(`{from: default/a, to: default/b, port: §"80", verdict: deny}`),
			`port: "80" is not PROTOCOL/PORT`,
		},
		"a number as port": {
			expect("{from: default/a, to: default/b, port: §80, verdict: deny}"),
			"a string or a list of strings",
		},
		"a contradiction": {
			expect("{from: default/a, to: default/b, port: TCP/80, verdict: deny}\n" +
				"  - §{from: default/a, to: [default/b], port: TCP/80, verdict: allow}"),
			"default/a to default/b at TCP/80 contradicts line 12",
		},
		"a completed pod": {
			step("apply: [{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {phase: Failed}}]\n" +
				"  expect: [{from: §default/a, to: default/b, port: TCP/80, verdict: deny}]"),
			"from: pod default/a cannot be asked, it is Failed",
		},
	}
}

func TestParseRefusesWithOneSentence(t *testing.T) {
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			text, line, col := stricttest.Place(c.text)
			s, err := parseOne("topic/s.yaml", []byte(text), fstest.MapFS{})
			if s != nil {
				t.Fatal("a scenario beside the error")
			}
			stricttest.WantOne(t, err, line, col, c.want)
		})
	}
}

func TestParseRefusesTwoDocuments(t *testing.T) {
	_, err := parseOne("s.yaml", []byte(step("")+"---\n"+step("")), nil)
	if err == nil || err.Error() != "s.yaml: a scenario is one document, not 2" {
		t.Errorf("got %v", err)
	}
}

func TestParseReportsTheMistakesOfAllSteps(t *testing.T) {
	text := document(twoPods + `steps:
- name: one
  expect: [{from: default/x, to: default/b, port: TCP/80, verdict: deny}]
- name: two
  expect: [{from: default/a, to: default/y, port: TCP/0, verdict: deny}]`)
	_, err := parseOne("s.yaml", []byte(text), nil)
	want := `s.yaml:11:19: from: there is no pod default/x at this step
s.yaml:13:34: to: there is no pod default/y at this step
s.yaml:13:51: port: "TCP/0": port "0" is not a number from 1 to 65535`
	if err == nil || err.Error() != want {
		t.Error(cmp.Diff(want, err.Error()))
	}
}

func TestLoadAllReadsTopicsAndRefusesRepeatedNames(t *testing.T) {
	fsys := fstest.MapFS{
		"b/two.yaml":           {Data: []byte(strings.Replace(step(""), "name: s}", "name: two}", 1))},
		"a/one.yaml":           {Data: []byte(step("applyFiles: [manifests/p.yaml]"))},
		"a/manifests/p.yaml":   {Data: []byte("{apiVersion: v1, kind: Pod, metadata: {name: c}}")},
		"a/README.md":          {Data: []byte("no scenario")},
		"a/other/nothing.yaml": {Data: []byte("no scenario: at all")},
	}
	all, err := LoadAll(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].Path() != "a/one.yaml" || all[1].Path() != "b/two.yaml" {
		t.Errorf("got %d scenarios, the first %s", len(all), all[0].Path())
	}
	fsys["c/three.yaml"] = &fstest.MapFile{Data: []byte(step(""))}
	if _, err := LoadAll(fsys); err == nil || err.Error() != "c/three.yaml:3:18: the name s is taken by a/one.yaml" {
		t.Errorf("got %v", err)
	}
}

func TestTopicsAreTheFolderAndWhatTheFileSays(t *testing.T) {
	text := strings.Replace(step(""), "name: s}", "name: s, topics: [dns, alpha]}", 1)
	s, err := parseOne("ports/s.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"alpha", "dns", "ports"}, s.Topics()); diff != "" {
		t.Error(diff)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range refusals() {
		text, _, _ := stricttest.Place(c.text)
		f.Add(text)
	}
	if walkthrough, err := os.ReadFile("../walkthrough/network-policy-walkthrough.yaml"); err == nil {
		f.Add(string(walkthrough))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseOne("s.yaml", []byte(text), nil)
		if (s == nil) == (err == nil) {
			t.Fatalf("scenario %v, error %v", s, err)
		}
		if err != nil {
			return
		}
		stages, err := s.Stages()
		if err != nil || len(stages) == 0 || len(stages[0].Ports) == 0 {
			t.Errorf("a valid scenario has %d stages, error %v", len(stages), err)
		}
	})
}
