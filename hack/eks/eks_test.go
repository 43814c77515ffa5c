package eks

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// clusterConfig is what we use of eksctl.io/v1alpha5; a field that is not here is a typing error or needs a look.
type clusterConfig struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name    string            `json:"name"`
		Region  string            `json:"region"`
		Version string            `json:"version"`
		Tags    map[string]string `json:"tags"`
	} `json:"metadata"`
	KubernetesNetworkConfig struct {
		IPFamily string `json:"ipFamily"`
	} `json:"kubernetesNetworkConfig"`
	VPC *struct {
		NAT struct {
			Gateway string `json:"gateway"`
		} `json:"nat"`
	} `json:"vpc"`
	IAM struct {
		WithOIDC bool `json:"withOIDC"`
	} `json:"iam"`
	Addons []struct {
		Name                string `json:"name"`
		ConfigurationValues string `json:"configurationValues"`
	} `json:"addons"`
	ManagedNodeGroups []struct {
		Name            string            `json:"name"`
		AMIFamily       string            `json:"amiFamily"`
		InstanceType    string            `json:"instanceType"`
		DesiredCapacity int               `json:"desiredCapacity"`
		MinSize         int               `json:"minSize"`
		MaxSize         int               `json:"maxSize"`
		VolumeSize      int               `json:"volumeSize"`
		Tags            map[string]string `json:"tags"`
	} `json:"managedNodeGroups"`
}

func TestClusterConfigs(t *testing.T) {
	for file, family := range map[string]string{"cluster-ipv4.yaml": "IPv4", "cluster-ipv6.yaml": "IPv6"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c clusterConfig
		if err := yaml.UnmarshalStrict(data, &c); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if c.APIVersion != "eksctl.io/v1alpha5" || c.Kind != "ClusterConfig" || c.KubernetesNetworkConfig.IPFamily != family {
			t.Errorf("%s is %s %s of %s", file, c.APIVersion, c.Kind, c.KubernetesNetworkConfig.IPFamily)
		}
		if family == "IPv6" && (c.VPC != nil || !c.IAM.WithOIDC) {
			t.Errorf("%s: with IPv6, eksctl wants OIDC and takes nothing about NAT", file)
		}
		if groups := c.ManagedNodeGroups; len(groups) != 1 || groups[0].MinSize != 2 || groups[0].DesiredCapacity != 2 ||
			groups[0].MaxSize != 2 || groups[0].AMIFamily != "AmazonLinux2023" {
			t.Errorf("%s: want two nodes: %+v", file, groups)
		}
		if c.Metadata.Tags["purpose"] != "ci" || c.ManagedNodeGroups[0].Tags["purpose"] != "ci" {
			t.Errorf("%s: cannot be found by its tags if it is left behind", file)
		}
		checkAddons(t, file, c)
	}
}

// checkAddons: eksctl wants all three for IPv6, and two engines that enforce would hide each other's mistakes.
func checkAddons(t *testing.T, file string, c clusterConfig) {
	t.Helper()
	var names []string
	for _, a := range c.Addons {
		names = append(names, a.Name)
		if a.Name != "vpc-cni" {
			continue
		}
		var values map[string]string
		if err := json.Unmarshal([]byte(a.ConfigurationValues), &values); err != nil {
			t.Errorf("%s: vpc-cni: %v", file, err)
		}
		if v, ok := values["enableNetworkPolicy"]; !ok || v != "false" {
			t.Errorf("%s: the VPC CNI enforces policies too: %v", file, values)
		}
	}
	if !slices.Equal(names, []string{"vpc-cni", "coredns", "kube-proxy"}) {
		t.Errorf("%s: add-ons %q", file, names)
	}
}

// fake stands for every program: it notes how it was called, fails or waits where the test says so, answers what the
// script asks, and lets go build make another one.
const fake = `#!/bin/bash
line="$(basename "$0") $*"
echo "$line" >>"$LOG"
case "$line" in *"$WAIT_ON"*) exec sleep 600 ;; esac
case "$line" in *"$FAIL_ON"*) exit 7 ;; esac
case "$line" in
  "go "*" build -o "*) cp "$0" "$5" ;;
  *"--password-stdin"*) [ "$(cat)" = secret ] || exit 8 ;;
  "aws sts "*) echo 123456789012 ;;
  "aws ecr get-login-password"*) echo secret ;;
  "aws ecr describe-repositories"*) exit 254 ;;
  "kubectl "*) printf '%s\n' 6.12.40-1.amzn2023 "$KERNEL" ;;
esac
`

// never is in no command line.
const never = "!never!"

// script runs run.sh with fakes of everything it calls.
type script struct {
	*testing.T
	log  string
	env  map[string]string
	args []string
}

func newScript(t *testing.T, args ...string) script {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go", "eksctl", "aws", "kubectl", "tar"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fake), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "log")
	return script{t, log, map[string]string{
		"PATH": dir + ":/usr/bin:/bin", "TMPDIR": t.TempDir(), "LOG": log, "FAIL_ON": never, "WAIT_ON": never,
		"KERNEL": "6.12.40-1.amzn2023", "AWS_REGION": "eu-west-1",
	}, args}
}

func (s script) command() *exec.Cmd {
	cmd := exec.CommandContext(s.Context(), "bash", append([]string{"run.sh"}, s.args...)...)
	for k, v := range s.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	return cmd
}

// calls are the commands that were carried out, without folders that differ from run to run.
func (s script) calls() []string {
	s.Helper()
	data, err := os.ReadFile(s.log)
	if err != nil {
		s.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		s.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(strings.ReplaceAll(line, root, "ROOT"))
		for i, w := range words {
			if _, file, ok := strings.Cut(w, s.env["TMPDIR"]+"/tmp."); ok {
				_, file, _ = strings.Cut(file, "/")
				words[i] = "WORK/" + file
			}
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

// clean expects that the script has left no temporary files.
func (s script) clean() {
	s.Helper()
	left, err := os.ReadDir(s.env["TMPDIR"])
	if err != nil || len(left) > 0 {
		s.Errorf("temporary files are left: %v %v", left, err)
	}
}

const deletion = "eksctl delete cluster --name palisade-ci --region eu-west-1 --wait " +
	"--disable-nodegroup-eviction --force"

func TestRunOfANewCluster(t *testing.T) {
	s := newScript(t, "--no-push", "--repository", "reg/x", "--version", "v1", "--run", "stars")
	if out, err := s.command().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{
		"go -C ROOT build -o WORK/palisade ./cmd/palisade",
		"go -C ROOT/hack/chart build -o WORK/helm helm.sh/helm/v4/cmd/helm",
		"eksctl create cluster --config-file WORK/cluster.yaml --kubeconfig WORK/kubeconfig",
		"palisade check --phase before --kubeconfig WORK/kubeconfig",
		"kubectl --kubeconfig WORK/kubeconfig get nodes -o " +
			`jsonpath={range .items[*]}{.status.nodeInfo.kernelVersion}{"\n"}{end}`,
		"helm install palisade ROOT/deploy/chart/palisade --namespace kube-system --kubeconfig WORK/kubeconfig " +
			"--set image.repository=reg/x --set image.tag=v1 --wait --timeout 5m",
		"palisade check --phase after --kubeconfig WORK/kubeconfig",
		"palisade scenarios run --backend cluster --kubeconfig WORK/kubeconfig --out ROOT/out/eks " +
			"--probe-image reg/x/palisade-probe:v1 --run stars ROOT/scenarios",
		deletion,
	}
	if got := s.calls(); !slices.Equal(got, want) {
		t.Errorf("carried out\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	s.clean()
}

// TestTornDownInEveryCase lets each step fail in turn.
func TestTornDownInEveryCase(t *testing.T) {
	for _, step := range []string{
		"eksctl create", "check --phase before", "get nodes", "helm install", "check --phase after", "scenarios run",
	} {
		t.Run(step, func(t *testing.T) {
			s := newScript(t, "--no-push")
			s.env["FAIL_ON"] = step
			out, err := s.command().CombinedOutput()
			if err == nil {
				t.Errorf("succeeds: %s", out)
			}
			calls := s.calls()
			if last := calls[len(calls)-1]; last != deletion || !strings.Contains(calls[len(calls)-2], step) {
				t.Errorf("carried out\n%s", strings.Join(calls, "\n"))
			}
			s.clean()
		})
	}
}

func TestNothingIsTornDownThatWasNotMade(t *testing.T) {
	for _, step := range []string{"./cmd/palisade", "sts get-caller-identity", "hack/images", "crane"} {
		s := newScript(t)
		s.env["FAIL_ON"] = step
		if out, err := s.command().CombinedOutput(); err == nil {
			t.Errorf("%s fails, and the run succeeds: %s", step, out)
		}
		for _, c := range s.calls() {
			if strings.HasPrefix(c, "eksctl") || strings.HasPrefix(c, "helm") {
				t.Errorf("%s fails, and then %s", step, c)
			}
		}
		s.clean()
	}
}

// TestSignalTearsDown: bash alone would wait for the end of what it runs before it hears of the signal. One comes while bash is about to run
// it, the other one while it runs.
func TestSignalTearsDown(t *testing.T) {
	const waits = "eksctl create"
	for signal, code := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130} {
		for _, running := range []bool{false, true} {
			s := newScript(t, "--no-push")
			s.env["WAIT_ON"] = waits
			cmd := s.command()
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			awaitText(t, pipe, "+ "+waits)
			for end := time.Now().Add(time.Minute); running && !strings.Contains(strings.Join(s.calls(), "\n"), waits); {
				if time.Now().After(end) {
					t.Fatalf("%s was not called: %q", waits, s.calls())
				}
				time.Sleep(time.Millisecond)
			}
			start := time.Now()
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			drain(pipe)
			_ = cmd.Wait() // the exit code says more
			if got := cmd.ProcessState.ExitCode(); got != code {
				t.Errorf("%s, running %t: exit code %d, want %d", signal, running, got, code)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s, running %t: took %s", signal, running, took)
			}
			if calls := s.calls(); calls[len(calls)-1] != deletion {
				t.Errorf("%s, running %t: carried out\n%s", signal, running, strings.Join(calls, "\n"))
			}
			s.clean()
		}
	}
}

func TestExistingClusterIsKept(t *testing.T) {
	s := newScript(t, "--no-push", "--kubeconfig", "/k", "--set", "mode=strict")
	if out, err := s.command().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	calls := s.calls()
	const chart = "palisade ROOT/deploy/chart/palisade --namespace kube-system --kubeconfig /k "
	want := []string{
		"helm upgrade " + chart + "--reuse-values --set cleanup=true --wait --timeout 5m",
		"helm uninstall palisade --namespace kube-system --kubeconfig /k --wait",
	}
	if got := calls[len(calls)-2:]; !slices.Equal(got, want) {
		t.Errorf("in the end\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	install := "helm install " + chart + "--set image.repository=ghcr.io/palisade-netpol --set image.tag=dev " +
		"--set mode=strict --wait --timeout 5m"
	eksctl := slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, "eksctl") })
	if !slices.Contains(calls, install) || eksctl {
		t.Errorf("carried out\n%s", strings.Join(calls, "\n"))
	}
}

func TestImagesArePushed(t *testing.T) {
	s := newScript(t)
	if out, err := s.command().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
	calls := strings.Join(s.calls(), "\n")
	for _, want := range []string{
		"auth login --username AWS --password-stdin " + registry + "\n",
		"-repository " + registry + "/palisade-ci -platform linux/amd64,linux/arm64\n",
		"aws ecr create-repository --region eu-west-1 --repository-name palisade-ci/palisade-agent\n",
		"push WORK/push/palisade-agent " + registry + "/palisade-ci/palisade-agent:dev\n",
		"push WORK/push/palisade-probe " + registry + "/palisade-ci/palisade-probe:dev\n",
		"--set image.repository=" + registry + "/palisade-ci ",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("lacks %sin\n%s", want, calls)
		}
	}
}

func TestOldKernelsGetPerfmon(t *testing.T) {
	for kernel, want := range map[string]bool{
		"6.1.134-152.225.amzn2023.x86_64": true, "5.10.236": true, "6.12.40-1.amzn2023": false, "6.18.3": false,
	} {
		s := newScript(t, "--no-push")
		s.env["KERNEL"] = kernel
		if out, err := s.command().CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		calls := strings.Join(s.calls(), "\n")
		if got := strings.Contains(calls, "--set agent.extraCapabilities={PERFMON}"); got != want {
			t.Errorf("kernel %s: %v, want %v", kernel, got, want)
		}
	}
}

func TestDryRunCallsNothing(t *testing.T) {
	s := newScript(t, "--dry-run", "--family", "ipv6")
	out, err := s.command().Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"+ eksctl create cluster", "helm install palisade", "scenarios run", "+ " + deletion} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("does not say %q", want)
		}
	}
	if _, err := os.Stat(s.log); err == nil {
		t.Errorf("called %q", s.calls())
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--family", "ipx"}, {"--name", "Bad Name"}, {"--nam", "x"}, {"--region"}, {"--region", "x/y"}, {"--delete", "a;b"},
	} {
		s := newScript(t, args...)
		out, err := s.command().CombinedOutput()
		if code := s.exitCode(err); code != 2 || !bytes.HasPrefix(out, []byte("run.sh: ")) {
			t.Errorf("%q: exit code %d: %s", args, code, out)
		}
		if _, err := os.Stat(s.log); err == nil {
			t.Errorf("%q: called %q", args, s.calls())
		}
	}
}

func TestDeletesWhatIsLeft(t *testing.T) {
	s := newScript(t, "--delete", "palisade-ci")
	if out, err := s.command().CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if calls := s.calls(); !slices.Equal(calls, []string{deletion}) {
		t.Errorf("carried out %q", calls)
	}
	s = newScript(t, "--delete", "palisade-ci")
	s.env["FAIL_ON"] = "delete"
	if out, err := s.command().CombinedOutput(); err == nil || !bytes.Contains(out, []byte("may be left")) {
		t.Errorf("deletion fails: %v: %s", err, out)
	}
}
