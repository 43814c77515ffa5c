package manifest_test

import (
	"strings"
	"testing"

	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict/stricttest"
)

// policy is a NetworkPolicy with the given spec.
func policy(spec string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  " + spec + "\n"
}

func object(kind, rest string) string { return "apiVersion: v1\nkind: " + kind + "\n" + rest + "\n" }

// refusals are documents with one mistake each, the place marked, and a part of the sentence about it.
func refusals() map[string]struct{ text, want string } {
	return map[string]struct{ text, want string }{
		"unknown field in a policy": {policy("§podSelectors: {}"), `unknown field "spec.podSelectors"`},
		"unknown field in a pod": {
			object("Pod", "metadata: {name: a}\nspec: {containers: [{name: c, §port: 80}]}"),
			`unknown field "spec.containers[0].port"`,
		},
		"field twice": {
			policy("podSelector: {}\n  §podSelector: {}"),
			`field "podSelector" is given twice`,
		},
		"wrong type": {policy("ingress: §{}"), "spec.ingress must be a list, not a mapping"},
		"a number as a label": {
			object("Pod", "metadata: {name: a, labels: {v: §1}}"),
			"metadata.labels[v] must be a string",
		},
		"null as a rule": {policy("ingress: [§null]"), "spec.ingress[0] must not be null"},
		"port 0": {
			policy("ingress: [{ports: [{port: §0}]}]"),
			"spec.ingress[0].ports[0].port: Invalid value: 0",
		},
		"port too large":        {policy("egress: [{ports: [{port: §65536}]}]"), "must be between 1 and 65535"},
		"port number as a name": {policy(`ingress: [{ports: [{port: §"80"}]}]`), "ports[0].port: Invalid value"},
		"endPort below port": {
			policy("ingress: [{ports: [{port: 80, endPort: §79}]}]"),
			"ports[0].endPort: Invalid value: 79",
		},
		"endPort without port": {policy("ingress: [{ports: [{endPort: §79}]}]"), "when `port` is not specified"},
		"endPort with a name": {
			policy("ingress: [{ports: [{port: http, endPort: §79}]}]"),
			"when `port` is non-numeric",
		},
		"unknown protocol":    {policy("ingress: [{ports: [{protocol: §ICMP}]}]"), "protocol: Unsupported value"},
		"unknown policy type": {policy("policyTypes: [§ingress]"), "policyTypes[0]: Unsupported value"},
		"empty peer":          {policy("ingress: [{from: [§{}]}]"), "must specify a peer"},
		"ipBlock and a selector": {
			policy("ingress: [{from: [§{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]"),
			"may not specify both",
		},
		"except outside": {
			policy("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [§11.0.0.0/16]}}]}]"),
			"must be a strict subset of `cidr`",
		},
		"except the whole": {
			policy("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [§10.0.0.0/8]}}]}]"),
			"must be a strict subset of `cidr`",
		},
		"no CIDR": {policy("ingress: [{from: [{ipBlock: {cidr: §10.0.0.1}}]}]"), "cidr: Invalid value"},
		"unknown operator": {
			policy("podSelector: {matchExpressions: [{key: a, operator: §Is}]}"),
			"operator: Invalid value",
		},
		"In without values": {
			policy("podSelector: {matchExpressions: [§{key: a, operator: In}]}"),
			"values: Required value",
		},
		"bad label in a selector": {policy(`podSelector: {matchLabels: §{app: "a b"}}`), "Invalid value"},
		"bad label of a pod": {
			object("Pod", `metadata: {name: a, labels: §{app: "a b"}}`),
			"metadata.labels: Invalid value",
		},
		"bad name": {object("Pod", "metadata: {name: §Big}"), "metadata.name: Invalid value"},
		"no name":  {object("Pod", "metadata: §{labels: {}}"), "metadata.name is missing"},
		"bad address": {
			object("Pod", "metadata: {name: a}\nstatus: {podIP: §10.0.0.256}"), "status.podIP: Invalid value",
		},
		"two pods with one address": {
			object("Pod", "metadata: {name: a}\nstatus: {phase: Running, podIP: 10.0.0.1}") + "---\n" +
				object("Pod", "metadata: {name: b}\nstatus: {phase: Running, podIP: §10.0.0.1}"),
			"Pod default/b: status.podIP: Invalid value: \"10.0.0.1\": is already the address of Pod default/a",
		},
		"a ClusterIP that is a pod's": {
			object("Pod", "metadata: {name: a}\nstatus: {phase: Running, podIP: 10.0.0.1}") + "---\n" +
				object("Service", "metadata: {name: s}\nspec:\n  ports: [{port: 80}]\n"+
					"  clusterIP: §10.0.0.1\n  clusterIPs: [10.0.0.1]"),
			"is already the address of Pod default/a",
		},
		"one name twice": {
			object("Pod", "metadata: {name: a}") + "---\n§" + object("Pod", "metadata: {name: a}"),
			"Pod default/a is given twice, first at <stdin>:1:1",
		},
		"a service without ports": {
			object("Service", "metadata: {name: a}\nspec: §{clusterIP: 10.0.0.1}"),
			"spec.ports: Required value",
		},
		"no kind":       {"§apiVersion: v1\nmetadata: {name: a}\n", "kind is missing"},
		"no apiVersion": {"§kind: Pod\nmetadata: {name: a}\n", "apiVersion is missing"},
		"an old version": {
			"apiVersion: §extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: a}\n",
			"is not read, only networking.k8s.io/v1",
		},
		"a list of a wrong version": {
			"apiVersion: v2\nkind: PodList\nitems:\n- §metadata: {name: a}\n",
			"apiVersion v2 of Pod is not read, only v1",
		},
		"no mapping":             {"§- a\n- b\n", "must be a mapping, not a list"},
		"a List without items":   {"§apiVersion: v1\nkind: List\nitem: []\n", "items is missing"},
		"items that are no list": {"apiVersion: v1\nkind: List\nitems: §{}\n", "items must be a list"},
		"a mistake in an item": {
			"apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n  §sepc: {}\n", `unknown field "sepc"`,
		},
	}
}

func TestLoadRefusesWithOneSentence(t *testing.T) {
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			text, line, col := stricttest.Place(c.text)
			r, err := loadText(text)
			if r != nil {
				t.Fatal("a result beside the error")
			}
			stricttest.WantOne(t, err, line, col, c.want)
		})
	}
}

func TestLoadReportsTheMistakesOfAllFiles(t *testing.T) {
	fsys := files(map[string]string{
		"a.yaml": policy("ingress: [{ports: [{port: 0}]}]"),
		"b.yaml": policy("nope: 1") + "---\n" + object("Pod", "metadata: {name: Big}"),
	})
	_, err := manifest.Load([]string{"b.yaml", "a.yaml"}, manifest.Options{FS: fsys})
	if err == nil {
		t.Fatal("no error")
	}
	var places []string
	for line := range strings.Lines(err.Error()) {
		places = append(places, strings.Join(strings.SplitN(line, ":", 4)[:3], ":"))
	}
	if got := strings.Join(places, " "); got != "a.yaml:5:29 b.yaml:5:3 b.yaml:9:18" {
		t.Errorf("mistakes at %s", got)
	}
}

func FuzzLoad(f *testing.F) {
	for _, c := range refusals() {
		text, _, _ := stricttest.Place(c.text)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := loadText(text)
		if (r == nil) == (err == nil) {
			t.Fatalf("result %v, error %v", r, err)
		}
		if err != nil && strings.TrimSpace(err.Error()) == "" {
			t.Error("an error without a sentence")
		}
	})
}
