package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The group, the version and the names under which the API server serves PolicyEndpoints.
const (
	GroupName = "networking.k8s.aws"
	Version   = "v1alpha1"
	Kind      = "PolicyEndpoint"
	Resource  = "policyendpoints" // the plural of URLs and RBAC rules
)

// GroupVersion returns networking.k8s.aws/v1alpha1.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: GroupName, Version: Version}
}

// GroupVersionResource returns the resource that dynamic and REST clients ask for.
func GroupVersionResource() schema.GroupVersionResource { return GroupVersion().WithResource(Resource) }

// AddToScheme makes s know the types of this package. It always returns nil; the result fits
// runtime.SchemeBuilder.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(), &PolicyEndpoint{}, &PolicyEndpointList{})
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}
