package e2e

import (
	"cmp"
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/e2e-framework/klient"
	"sigs.k8s.io/e2e-framework/pkg/envconf"

	"github.com/palisade-netpol/palisade/scenarios/backend/cluster"
	"github.com/palisade-netpol/palisade/scenarios/run"
	"github.com/palisade-netpol/palisade/scenarios/run/profile"
	"github.com/palisade-netpol/palisade/scenarios/spec"
)

// suite is a cluster and what is known of it.
type suite struct {
	backend *cluster.Backend
	client  klient.Client
	profile *profile.Profile
}

func TestScenarios(t *testing.T) {
	kubeconfig := os.Getenv("PALISADE_E2E_KUBECONFIG")
	if kubeconfig == "" {
		t.Skip("needs a cluster: PALISADE_E2E_KUBECONFIG names its kubeconfig")
	}
	s, err := connect(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	inputs, inapplicable, err := s.corpus(t)
	if err != nil {
		t.Fatal(err)
	}
	RegisterFailHandler(Fail)
	s.describeScenarios(inputs, inapplicable)
	s.describeRestarts(inputs)
	s.describeLatency()
	AfterSuite(func() { Expect(s.backend.Close()).To(Succeed()) })
	RunSpecs(t, "Scenarios on a cluster")
}

func connect(kubeconfig string) (*suite, error) {
	client, err := envconf.NewWithKubeConfig(kubeconfig).NewClient()
	if err != nil {
		return nil, err
	}
	s := &suite{client: client}
	image := cmp.Or(os.Getenv("PALISADE_E2E_PROBE_IMAGE"), "ghcr.io/palisade-netpol/palisade-probe:dev")
	s.backend, err = cluster.New(cluster.Options{Config: client.RESTConfig(), Image: image, Prefix: "palisade-e2e"})
	if err != nil {
		return nil, err
	}
	if path := os.Getenv("PALISADE_E2E_PROFILE"); path != "" {
		s.profile, err = profile.Load(path)
	}
	return s, err
}

// corpus returns one case of each scenario that can be replayed on the cluster.
func (s *suite) corpus(t *testing.T) ([]run.Input, []run.Inapplicable, error) {
	all, err := spec.LoadAll(os.DirFS(".."))
	if err != nil {
		return nil, nil, err
	}
	var inputs []run.Input
	for _, one := range all {
		inputs = append(inputs, run.Input{Scenario: one, File: one.Path()})
	}
	fit, rest, err := run.Applicable(t.Context(), s.backend, inputs)
	return run.Sample(fit), rest, err
}
