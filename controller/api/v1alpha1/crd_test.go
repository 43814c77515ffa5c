package v1alpha1

import (
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

func TestSchemeKnowsTheTypes(t *testing.T) {
	s := runtime.NewScheme()
	if err := AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[string]runtime.Object{Kind: &PolicyEndpoint{}, Kind + "List": &PolicyEndpointList{}} {
		made, err := s.New(GroupVersion().WithKind(kind))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if diff := cmp.Diff(object, made); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	// Options of lists and watches are encoded by the group's own codec.
	if !s.IsVersionRegistered(GroupVersion()) || !s.Recognizes(GroupVersion().WithKind("ListOptions")) {
		t.Errorf("the scheme does not know the options of %v", GroupVersion())
	}
}

// crd is the part of a CustomResourceDefinition that clients depend on.
type crd struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Group string `json:"group"`
		Scope string `json:"scope"`
		Names struct {
			Kind       string   `json:"kind"`
			Plural     string   `json:"plural"`
			ShortNames []string `json:"shortNames"`
		} `json:"names"`
		Versions []struct {
			Name         string         `json:"name"`
			Served       bool           `json:"served"`
			Storage      bool           `json:"storage"`
			Subresources map[string]any `json:"subresources"`
			Schema       struct {
				OpenAPIV3Schema validation `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// validation is what can reject an object.
type validation struct {
	Type       string                `json:"type"`
	Properties map[string]validation `json:"properties"`
	Items      *validation           `json:"items"`
	Required   []string              `json:"required"`
	Enum       []any                 `json:"enum"`
	Pattern    string                `json:"pattern"`
	MaxItems   *int                  `json:"maxItems"`
	MaxLength  *int                  `json:"maxLength"`
}

func readCRD(t *testing.T) crd {
	t.Helper()
	data, err := os.ReadFile("../../../deploy/crds/networking.k8s.aws_policyendpoints.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c crd
	if err := yaml.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCRDServesWhatTheTypesSay(t *testing.T) {
	c := readCRD(t)
	names := c.Spec.Names
	got := []string{c.Metadata.Name, c.Spec.Group, c.Spec.Scope, names.Kind, names.Plural}
	want := []string{Resource + "." + GroupName, GroupName, "Namespaced", Kind, Resource}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if !slices.Contains(names.ShortNames, "pe") {
		t.Errorf("short names %v, want pe among them", names.ShortNames)
	}
	if len(c.Spec.Versions) != 1 {
		t.Fatalf("%d versions, want 1", len(c.Spec.Versions))
	}
	if v := c.Spec.Versions[0]; v.Name != Version || !v.Served || !v.Storage || v.Subresources["status"] == nil {
		t.Errorf("version %+v, want %s served and stored, with a status", v, Version)
	}
}

// TestCRDAcceptsWhatEKSWrites: the only things required are those that every object of EKS has.
func TestCRDAcceptsWhatEKSWrites(t *testing.T) {
	spec := readCRD(t).Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	want := map[string][]string{
		"":                              {"policyRef"},
		".policyRef":                    {"name", "namespace"},
		".podSelectorEndpoints":         {"hostIP", "name", "namespace", "podIP"},
		".podSelector.matchExpressions": {"key", "operator"},
	}
	got := map[string][]string{}
	requirements(t, spec, "", got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("required fields (-want +got):\n%s", diff)
	}
}

// requirements collects the required fields of s and refuses every other kind of validation.
func requirements(t *testing.T, s validation, path string, into map[string][]string) {
	if len(s.Required) > 0 {
		into[path] = slices.Sorted(slices.Values(s.Required))
	}
	if len(s.Enum) > 0 || s.Pattern != "" || s.MaxItems != nil || s.MaxLength != nil {
		t.Errorf("%s is validated in a way that could reject what EKS writes", path)
	}
	if s.Items != nil {
		requirements(t, *s.Items, path, into)
	}
	for name, p := range s.Properties {
		requirements(t, p, path+"."+name, into)
	}
}
