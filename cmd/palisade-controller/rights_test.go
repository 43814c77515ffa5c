package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

func gvr(group, version, resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}
}

// right is a verb on a resource.
func right(verb, group, resource string) string {
	return verb + " " + schema.GroupResource{Group: group, Resource: resource}.String()
}

// compareRights compares the rights that are shipped with those that the audit log says were used. Lists are used only
// where the API server cannot begin a watch with all objects there are (before Kubernetes 1.34).
func (w *world) compareRights() error {
	granted, used := w.granted(), w.used()
	for r := range granted {
		if verb := "list "; len(r) > len(verb) && r[:len(verb)] == verb && granted["watch "+r[len(verb):]] {
			delete(granted, r)
			delete(used, r)
		}
	}
	if diff := cmp.Diff(granted, used); diff != "" {
		return fmt.Errorf("rights (-granted +used):\n%s", diff)
	}
	return nil
}

// granted reads the shipped roles.
func (w *world) granted() map[string]bool {
	w.Helper()
	text, err := os.ReadFile(w.roles)
	must(w.T, err)
	rights := map[string]bool{}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var r struct {
			Rules []rbacv1.PolicyRule `json:"rules"`
		}
		must(w.T, yaml.Unmarshal(document, &r))
		for _, rule := range r.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						rights[right(verb, group, resource)] = true
					}
				}
			}
		}
	}
	return rights
}

// used reads the audit log.
func (w *world) used() map[string]bool {
	w.Helper()
	text, err := os.ReadFile(w.audit)
	must(w.T, err)
	rights := map[string]bool{}
	user, _ := account()
	for line := range bytes.Lines(text) {
		var event struct {
			Verb      string                               `json:"verb"`
			User      struct{ Username string }            `json:"user"`
			ObjectRef *struct{ APIGroup, Resource string } `json:"objectRef"`
		}
		if json.Unmarshal(line, &event) != nil || event.ObjectRef == nil || event.User.Username != user {
			continue // the last line may be half written; requests without a resource need no right
		}
		rights[right(event.Verb, event.ObjectRef.APIGroup, event.ObjectRef.Resource)] = true
	}
	return rights
}
