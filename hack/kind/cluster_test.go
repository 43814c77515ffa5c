//go:build kind

package kind_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/hack/cluster"
	"github.com/palisade-netpol/palisade/hack/kind"
)

// pods are a server on each of two nodes, and a Service for the second one. kubectl, which is in the image of
// kube-proxy, is a server (of the API, which the path /version needs no rights for) and a client. The default
// ServiceAccount may not be there yet.
const pods = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: test}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  serviceAccountName: test
  nodeName: %[1]s-worker
  containers: [{name: c, image: %[2]s, command: [kubectl, proxy, --port=8080]}]
---
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  serviceAccountName: test
  nodeName: %[1]s-control-plane
  containers: [{name: c, image: %[2]s, command: [kubectl, proxy, '--address=%[3]s', '--accept-hosts=.*', --port=8080]}]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ipFamilyPolicy: PreferDualStack, ports: [{port: 80, targetPort: 8080}]}
`

// TestPodsReachEachOther makes a cluster of each family. Pods of different nodes, Services and names have to work
// there, and nothing of it is left in the end (when no other cluster runs, of the daemon neither).
//
//	go test -tags kind -run TestPodsReachEachOther -timeout 30m ./hack/kind
func TestPodsReachEachOther(t *testing.T) {
	for family, listen := range map[kind.IPFamily]string{kind.IPv4: "0.0.0.0", kind.IPv6: "[::]", kind.Dual: "[::]"} {
		t.Run(string(family), func(t *testing.T) {
			c, err := kind.Up(t.Context(), kind.Options{
				Name: "test-" + string(family), Workers: 1, IPFamily: family, Log: t.Output(),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Down(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			k := newKubectl(t, c)
			proxy := k.run("", "get", "-n", "kube-system", "daemonset", "kube-proxy", "-o",
				"jsonpath={.spec.template.spec.containers[0].image}")
			k.run(fmt.Sprintf(pods, c.Name(), proxy, listen), "apply", "-f", "-")
			k.run("", "wait", "--for=condition=Ready", "pod/client", "pod/server", "--timeout=60s")
			addresses := k.run("", "get", "pod/server", "-o", `jsonpath={range .status.podIPs[*]}{.ip} 8080{"\n"}{end}`)
			addresses += "\n" + k.run("", "get", "service/server", "-o", `jsonpath={range .spec.clusterIPs[*]}{@} 80{"\n"}{end}`)
			for line := range strings.Lines(addresses + "\nserver.default.svc.cluster.local 80") {
				if address, port, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
					k.reaches(address, port)
				}
			}
		})
	}
}

// kubectl calls kubectl for a cluster.
type kubectl struct {
	*testing.T
	program, kubeconfig string
}

// newKubectl takes the kubectl that the nodes have.
func newKubectl(t *testing.T, c *kind.Cluster) kubectl {
	t.Helper()
	programs, err := cluster.Find(t.Context(), cluster.FindOptions{Node: true, Build: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	return kubectl{t, filepath.Join(programs.Dir, "kubectl"), c.Kubeconfig()}
}

func (k kubectl) run(input string, args ...string) string {
	k.Helper()
	out, err := k.try(input, args...)
	if err != nil {
		k.Fatalf("kubectl %v: %v: %s", args, err, out)
	}
	return out
}

func (k kubectl) try(input string, args ...string) (string, error) {
	cmd := exec.CommandContext(k.Context(), k.program, append([]string{"--kubeconfig", k.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// reaches asks the server from the client. kube-proxy may need a moment for a new Service.
func (k kubectl) reaches(address, port string) {
	k.Helper()
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	url := "http://" + address + ":" + port
	for deadline := time.Now().Add(30 * time.Second); ; {
		out, err := k.try("", "exec", "client", "--", "kubectl", "-s", url, "version")
		if err == nil && strings.Contains(out, "Server Version") {
			k.Log(url, "answers")
			return
		}
		if time.Now().After(deadline) {
			k.Errorf("%s does not answer: %v: %s", url, err, out)
			return
		}
	}
}
