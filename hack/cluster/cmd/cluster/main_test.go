package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/palisade-netpol/palisade/hack/cluster/clustertest"
)

// commandEnv makes the test binary the command, also where the command starts itself again.
const commandEnv = "PALISADE_TEST_CLUSTER_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestClusterOutlivesUpAndEndsWithDown(t *testing.T) {
	binDir := clustertest.Binaries(t, "").Dir
	t.Setenv("XDG_CACHE_HOME", shortTempDir(t))
	t.Setenv(commandEnv, "1")

	expectFailure(t, "no cluster runs", "status")
	expectFailure(t, "no cluster runs", "env")
	mustRun(t, "down") // nothing to do
	expectFailure(t, "unknown flag: --no-such-flag", "up", "-bin-dir", binDir, "-apiserver-arg", "--no-such-flag")
	expectFailure(t, "no cluster runs", "status")

	first := mustRun(t, "up", "-bin-dir", binDir, "-service-cidr", "10.77.0.0/24")
	t.Cleanup(func() { mustRun(t, "down") })
	if again := mustRun(t, "up", "-bin-dir", binDir); again != first {
		t.Errorf("a second up says\n%s, the first said\n%s", again, first)
	}
	kubeconfig := kubeconfig(t)
	checkServiceAddress(t, kubeconfig, "10.77.0.1")

	mustRun(t, "down")
	expectFailure(t, "no cluster runs", "status")
	if _, err := os.Stat(kubeconfig); !os.IsNotExist(err) {
		t.Errorf("the kubeconfig is left (%v)", err)
	}
}

func TestWrongUsageIsExplained(t *testing.T) {
	t.Setenv(commandEnv, "1")
	expectFailure(t, "usage: cluster COMMAND")
	expectFailure(t, "usage: cluster COMMAND", "destroy")
	expectFailure(t, "flag provided but not defined: -pods", "up", "-pods", "3")
	expectFailure(t, "-nodes must be from 0 to 250", "up", "-nodes", "-1")
	expectFailure(t, "up takes no arguments", "up", "please")
	expectFailure(t, "invalid value", "up", "-service-cidr", "10.0.0.0")
}

// kubeconfig is the file that "env" names.
func kubeconfig(t *testing.T) string {
	t.Helper()
	_, path, _ := strings.Cut(mustRun(t, "env"), "KUBECONFIG='")
	path, _, _ = strings.Cut(path, "'")
	return path
}

func config(t *testing.T, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// checkServiceAddress checks which ClusterIP the API server gave itself, the first of its range.
func checkServiceAddress(t *testing.T, kubeconfig, want string) {
	t.Helper()
	client, err := kubernetes.NewForConfig(config(t, kubeconfig))
	if err != nil {
		t.Fatal(err)
	}
	service, err := client.CoreV1().Services(metav1.NamespaceDefault).Get(t.Context(), "kubernetes", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if service.Spec.ClusterIP != want {
		t.Errorf("the API server has ClusterIP %s, want %s", service.Spec.ClusterIP, want)
	}
}

// mustRun runs the command and returns what it writes to stdout.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, err := call(args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, stderr)
	}
	return stdout
}

// expectFailure runs the command, which must fail and mention something on stderr.
func expectFailure(t *testing.T, mention string, args ...string) {
	t.Helper()
	_, stderr, err := call(args...)
	if err == nil || !strings.Contains(stderr, mention) {
		t.Errorf("%q: %v, want a failure that mentions %q\n%s", args, err, mention, stderr)
	}
}

func call(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// shortTempDir is t.TempDir with a path short enough for the sockets below it.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
