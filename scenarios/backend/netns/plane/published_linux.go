package plane

import (
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// lacks returns what describes the first object that is not as wanted.
func lacks(want []*v1alpha1.PolicyEndpoint) func(map[types.NamespacedName]*v1alpha1.PolicyEndpoint) string {
	return func(have map[types.NamespacedName]*v1alpha1.PolicyEndpoint) string {
		left := maps.Clone(have)
		for _, w := range want {
			name := types.NamespacedName{Namespace: w.Namespace, Name: w.Name}
			if left[name] == nil {
				return fmt.Sprintf("%s is missing", name)
			}
			if want, have := said(w), said(left[name]); !equality.Semantic.DeepEqual(want, have) {
				return fmt.Sprintf("%s is\n%+v, not\n%+v", name, have, want)
			}
			delete(left, name)
		}
		for name := range left {
			return fmt.Sprintf("%s should not be there", name)
		}
		return ""
	}
}

// statement is what a controller of ours says in an object.
type statement struct {
	Annotations map[string]string
	Spec        v1alpha1.PolicyEndpointSpec
}

func said(o *v1alpha1.PolicyEndpoint) *statement {
	own := maps.Clone(o.Annotations)
	maps.DeleteFunc(own, func(k, _ string) bool { return !strings.HasPrefix(k, "palisade.dev/") })
	return &statement{own, o.Spec}
}
