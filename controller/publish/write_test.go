package publish

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/palisade-netpol/palisade/controller/core"
)

// TestEventName: whatever a policy is called, also where its name is cut, the API server takes the Event's.
func TestEventName(t *testing.T) {
	names := map[string]bool{}
	for _, policy := range []string{
		"p", strings.Repeat("a", 253), strings.Repeat("a", 199) + ".b", strings.Repeat("a", 199) + "-b",
		strings.Repeat("a", 198) + "--b", strings.Repeat("a", 197) + "-----b",
	} {
		name := eventName(core.Tell{Policy: types.NamespacedName{Namespace: "x", Name: policy}, UID: types.UID(policy)})
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
			t.Errorf("%q is no object name: %v", name, problems)
		}
		names[name] = true
	}
	if len(names) != 6 {
		t.Errorf("%d names of 6 policies", len(names))
	}
}
