package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/strvals"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	os.Exit(m.Run())
}

// with is a release with values as helm's --set takes them.
func with(t *testing.T, values ...string) release {
	t.Helper()
	r := release{chart: defaultChart, name: "palisade", namespace: "kube-system", values: map[string]any{}}
	for _, v := range values {
		if err := strvals.ParseInto(v, r.values); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// workloads returns "kind/name" of what runs, sorted.
func workloads(t *testing.T, manifests string) string {
	t.Helper()
	var list []string
	for doc := range strings.SplitSeq(manifests, "\n---\n") {
		var o unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if k := o.GetKind(); k == "DaemonSet" || k == "Deployment" {
			list = append(list, k+"/"+o.GetName())
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

const all = "DaemonSet/palisade-agent Deployment/palisade-controller"

func TestWhatRuns(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		want   string
	}{
		"by default":                {nil, all},
		"on":                        {[]string{"enableNetworkPolicy=true"}, all},
		"off":                       {[]string{"enableNetworkPolicy=false"}, ""},
		"beside another controller": {[]string{"controller.enabled=false"}, "DaemonSet/palisade-agent"},
		"to be removed":             {[]string{"cleanup=true"}, "DaemonSet/palisade-cleanup"},
	} {
		t.Run(name, func(t *testing.T) {
			manifests, err := with(t, c.values...).render()
			if err != nil {
				t.Fatal(err)
			}
			if got := workloads(t, manifests); got != c.want {
				t.Errorf("runs %q, want %q", got, c.want)
			}
			if !strings.Contains(manifests, "name: policyendpoints.networking.k8s.aws") {
				t.Error("no CRD")
			}
		})
	}
}

// TestTextIsAChoiceToo: the VPC CNI's enableNetworkPolicy is the text "true".
func TestTextIsAChoiceToo(t *testing.T) {
	for text, want := range map[string]string{"true": all, "false": ""} {
		r := with(t)
		r.values["enableNetworkPolicy"] = text
		manifests, err := r.render()
		if err != nil {
			t.Fatal(err)
		}
		if got := workloads(t, manifests); got != want {
			t.Errorf("%q: runs %q, want %q", text, got, want)
		}
	}
}

// TestCNIConfigurationIsFollowed with the same choices with which it is written.
func TestCNIConfigurationIsFollowed(t *testing.T) {
	for value, want := range map[string]int{"cni.install=true": 1, "cni.install=false": 0} {
		manifests, err := with(t, value, "cni.onAgentDown=open", "cni.timeout=7s").render()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(manifests, "- -follow\n"); got != want {
			t.Errorf("%s: %d containers follow, want %d", value, got, want)
		}
		for _, flag := range []string{"-conf-dir=/host/conf", "-on-agent-down=open", "-timeout=7s"} {
			if got := strings.Count(manifests, flag); got != 2*want {
				t.Errorf("%s: %d containers have %s, want %d", value, got, flag, 2*want)
			}
		}
	}
}

// TestWhoWritesToFoldersOfCNIMay: root without DAC_OVERRIDE may write only to what is root's.
func TestWhoWritesToFoldersOfCNIMay(t *testing.T) {
	for value, want := range map[string]int{"cni.install=true": 2, "cni.install=false": 0, "cleanup=true": 1} {
		manifests, err := with(t, value).render()
		if err != nil {
			t.Fatal(err)
		}
		writers := strings.Count(manifests, "{name: cni-conf, mountPath: /host/conf}")
		if got := strings.Count(manifests, "DAC_OVERRIDE"); got != want || writers != want {
			t.Errorf("%s: %d containers write, and %d have the capability, want %d", value, writers, got, want)
		}
	}
}

// TestPrivilegedOnlyToMount: no value but one makes a container privileged, and that one ends before the agent starts.
func TestPrivilegedOnlyToMount(t *testing.T) {
	for values, want := range map[string]int{"cni.install=true": 0, "cleanup=true": 0, "agent.bpffs.mount=true": 1} {
		manifests, err := with(t, values).render()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(manifests, "privileged: true"); got != want {
			t.Errorf("%s: %d privileged containers, want %d", values, got, want)
		}
	}
}

// cluster answers look-ups of DaemonSets.
type cluster struct{ client dynamic.Interface }

func newCluster(daemonsets ...runtime.Object) cluster {
	kinds := map[schema.GroupVersionResource]string{daemonsetResource(): "DaemonSetList"}
	return cluster{fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, daemonsets...)}
}

func daemonsetResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "daemonsets"}
}

func (c cluster) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	if apiVersion != "apps/v1" || kind != "DaemonSet" {
		return nil, false, fmt.Errorf("unexpected look-up of %s %s", apiVersion, kind)
	}
	return c.client.Resource(daemonsetResource()), true, nil
}

func newDaemonset(namespace, name string, containers any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "DaemonSet",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers}}},
	}}
}

// known are the DaemonSets that package check is tested with too.
func known(t *testing.T) (list []struct {
	Engine    string
	Daemonset struct {
		Namespace, Name string
		Containers      []any
	}
}) {
	t.Helper()
	data, err := os.ReadFile("../../deploy/testdata/daemonsets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &list); err != nil || len(list) < 10 {
		t.Fatalf("%d DaemonSets, %v", len(list), err)
	}
	return list
}

func TestOffBesideAnotherEngine(t *testing.T) {
	for _, k := range known(t) {
		d := k.Daemonset
		r := with(t)
		r.cluster = newCluster(newDaemonset(d.Namespace, d.Name, d.Containers))
		manifests, err := r.render()
		if err != nil {
			t.Fatal(err)
		}
		want := all
		if k.Engine != "" {
			want = ""
		}
		if got := workloads(t, manifests); got != want {
			t.Errorf("beside %s/%s %v: runs %q, want %q", d.Namespace, d.Name, d.Containers, got, want)
		}
		if got := r.printedNotes(t); k.Engine != "" && !strings.Contains(got, "NOT enforced by Palisade: this cluster has "+k.Engine) {
			t.Errorf("notes: %s", got)
		}
	}
}

func (r release) printedNotes(t *testing.T) string {
	t.Helper()
	c, files, err := r.all()
	if err != nil {
		t.Fatal(err)
	}
	return files[r.notes(c)]
}

// TestChoiceBesideAnotherEngine: who says so explicitly, or enforces already, goes on.
func TestChoiceBesideAnotherEngine(t *testing.T) {
	calico := newDaemonset("calico-system", "calico-node", []any{map[string]any{"name": "calico-node"}})
	ours := newDaemonset("kube-system", "palisade-agent", []any{map[string]any{"name": "agent"}})
	elsewhere := newDaemonset("other", "palisade-agent", []any{map[string]any{"name": "agent"}})
	for name, c := range map[string]struct {
		cluster cluster
		values  string
		want    string
	}{
		"explicitly":                     {newCluster(calico), "enableNetworkPolicy=true", all},
		"enforcing already":              {newCluster(calico, ours), "enableNetworkPolicy=auto", all},
		"enforcing in another namespace": {newCluster(calico, elsewhere), "enableNetworkPolicy=auto", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := with(t, c.values)
			r.cluster = c.cluster
			manifests, err := r.render()
			if err != nil {
				t.Fatal(err)
			}
			if got := workloads(t, manifests); got != c.want {
				t.Errorf("runs %q, want %q", got, c.want)
			}
			warned := strings.Contains(r.printedNotes(t), "WARNING: other engines enforce them too: Calico")
			if warned != (c.want == all) {
				t.Errorf("notes: %s", r.printedNotes(t))
			}
		})
	}
}

// TestAgentsDoNotGoBeforeTheCNIPlugin, without which no pod would start any more.
func TestAgentsDoNotGoBeforeTheCNIPlugin(t *testing.T) {
	plain := newDaemonset("kube-system", "palisade-agent", []any{map[string]any{"name": "agent"}})
	chained := plain.DeepCopy()
	if err := unstructured.SetNestedSlice(chained.Object, []any{map[string]any{"name": "install-cni"}},
		"spec", "template", "spec", "initContainers"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		agent   *unstructured.Unstructured
		value   string
		refused bool
	}{
		"off":                 {chained, "enableNetworkPolicy=false", true},
		"off, without plugin": {plain, "enableNetworkPolicy=false", false},
		"still on":            {chained, "enableNetworkPolicy=auto", false},
		"to be removed":       {chained, "cleanup=true", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := with(t, c.value)
			r.cluster = newCluster(c.agent)
			_, err := r.render()
			refused := err != nil && strings.Contains(err.Error(), "upgrade with cleanup=true first")
			if refused != c.refused {
				t.Errorf("%v, want refused: %v", err, c.refused)
			}
		})
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for value, want := range map[string]string{
		"mode=strct":                              "at '/mode': value must be one of 'standard', 'strict'",
		"enableNetworkPolicy=yes":                 "at '/enableNetworkPolicy': value must be one of",
		"agent.bpfs.mount=true":                   "at '/agent': additional properties 'bpfs' not allowed",
		"controller.replicas=0":                   "at '/controller/replicas': minimum: got 0, want 1",
		"image.tag=a b":                           "at '/image/tag': 'a b' does not match pattern",
		"agent.extraArgs={pprof}":                 "at '/agent/extraArgs/0': 'pprof' does not match pattern",
		"agent.port=70000":                        "at '/agent/port': maximum: got 70,000, want 65,535",
		"agent.resources.requests.memory=plenty":  "at '/agent/resources/requests/memory'",
		"cni.timeout=soon":                        "at '/cni/timeout': 'soon' does not match pattern",
		"agent.interfacePrefixes={eni\\,x}":       "at '/agent/interfacePrefixes/0'",
		"mayRoute={vpn}":                          "at '/mayRoute/0': 'vpn' does not match pattern",
		"mayRoute={a/b\\,c/d}":                    "at '/mayRoute/0'",
		"logLevel=verbose":                        "at '/logLevel': value must be one of 'debug', 'info', 'warn', 'error'",
		"flowLog=all":                             "at '/flowLog': value must be one of 'off', 'denied', false",
		"agent.bpffs.hostPath=sys/fs/bpf":         "at '/agent/bpffs/hostPath': 'sys/fs/bpf' does not match pattern",
		"agent.maxUnavailable=0%":                 "at '/agent/maxUnavailable'",
		"controller.tolerations={a}":              "at '/controller/tolerations/0': got string, want object",
		"agent.seLinuxOptions.typ=spc_t":          "at '/agent/seLinuxOptions': additional properties 'typ' not allowed",
		"image.pullSecrets={Registry}":            "at '/image/pullSecrets/0'",
		"agent.hook=xdp":                          "at '/agent/hook': value must be one of 'auto', 'tcx', 'clsact'",
		"cni.onAgentDown=ignore":                  "at '/cni/onAgentDown': value must be one of 'fail', 'open'",
		"networkPolicy.enabled=true":              "at '': additional properties 'networkPolicy' not allowed",
		"controller.resources.limit.cpu=1":        "at '/controller/resources': additional properties 'limit' not allowed",
		"image.repository=https://ghcr.io/x":      "at '/image/repository'",
		"controller.priorityClassName=Very High!": "at '/controller/priorityClassName'",
	} {
		_, err := with(t, value).render()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", value, err, want)
		}
	}
}

// TestEveryValueIsDescribedAndChecked: a value without a comment, or that the schema does not know, is half done.
func TestEveryValueIsDescribedAndChecked(t *testing.T) {
	data, err := os.ReadFile(defaultChart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What speaks for itself, or is described with the value before it.
	plain := []string{
		"image", "replicas", "priorityClassName", "resources", "requests", "nodeSelector", "tolerations", "operator", "effect",
		"binDir", "confDir", "bpffs",
	}
	key := regexp.MustCompile(`^ *([a-zA-Z]+):`)
	before := ""
	for line := range strings.Lines(string(data)) {
		m := key.FindStringSubmatch(line)
		described := strings.HasPrefix(strings.TrimSpace(before), "#")
		if m != nil && !described && !slices.Contains(plain, m[1]) {
			t.Errorf("%s has no comment before it", m[1])
		}
		before = line
	}
	schemaText, err := os.ReadFile(defaultChart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var values, properties map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(schemaText, &properties); err != nil {
		t.Fatal(err)
	}
	sameKeys(t, "", values, properties)
}

// sameKeys: whatever values.yaml has the schema describes, and the other way round.
func sameKeys(t *testing.T, path string, values, described map[string]any) {
	t.Helper()
	properties, ok := described["properties"].(map[string]any)
	if !ok || path == "/agent/seLinuxOptions" { // a map of the user's
		return
	}
	for k, d := range properties {
		v, ok := values[k]
		if !ok {
			t.Errorf("values.yaml lacks %s/%s", path, k)
		}
		if inner, ok := v.(map[string]any); ok {
			sameKeys(t, path+"/"+k, inner, d.(map[string]any))
		}
	}
	for k := range values {
		if properties[k] == nil {
			t.Errorf("the schema lacks %s/%s", path, k)
		}
	}
}

// TestFlowLog: off means off, also where YAML reads it as a boolean.
func TestFlowLog(t *testing.T) {
	for value, want := range map[string]int{"flowLog=off": 0, "flowLog=false": 0, "flowLog=denied": 2} {
		manifests, err := with(t, value).render()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Count(string(manifests), "-flow-log=denied") + strings.Count(string(manifests), "fieldPath: spec.nodeName")
		if got != want {
			t.Errorf("%s: %d of the flag and the node's name, want %d", value, got, want)
		}
	}
}

// TestMayRoute: whatever a pattern may consist of, it comes to the agent as one text.
func TestMayRoute(t *testing.T) {
	for value, want := range map[string]string{
		"mode=standard": "", "mayRoute={vpn/*}": "vpn/*", "mayRoute={kube-system/keepalived-*,*/gateway-?}": "kube-system/keepalived-*,*/gateway-?",
	} {
		manifests, err := with(t, value).render()
		if err != nil {
			t.Fatal(err)
		}
		var args []string
		for doc := range strings.SplitSeq(manifests, "\n---\n") {
			var o struct {
				Kind string
				Spec struct {
					Template struct {
						Spec struct{ Containers []struct{ Args []string } }
					}
				}
			}
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				t.Fatal(err)
			}
			if o.Kind == "DaemonSet" {
				args = o.Spec.Template.Spec.Containers[0].Args
			}
		}
		got := slices.DeleteFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-may-route") })
		if want == "" && len(got) > 0 || want != "" && !slices.Equal(got, []string{"-may-route=" + want}) {
			t.Errorf("%s: the agent has %q, want %q", value, got, want)
		}
	}
}

func TestLint(t *testing.T) {
	for _, m := range lint.RunAll(defaultChart, nil, "kube-system").Messages {
		if m.Severity > support.InfoSev {
			t.Error(m)
		}
	}
}

func TestCommandLine(t *testing.T) {
	var out bytes.Buffer
	file := t.TempDir() + "/values.yaml"
	if err := os.WriteFile(file, []byte("mode: strict\nimage: {tag: v9}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-values", file, "-set", "image.tag=v10", "-n", "here"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-mode=strict", "palisade-agent:v10", "namespace: here"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(out.String(), "kube-system") {
		t.Error("names another namespace")
	}
	for _, args := range [][]string{{"x"}, {"-values", "none"}, {"-chart", t.TempDir()}, {"-set", "a"}} {
		if err := run(args, io.Discard, io.Discard); err == nil {
			t.Errorf("accepted %q", args)
		}
	}
}
