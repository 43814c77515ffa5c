package publish

import (
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// clients talk to the API server.
type clients struct {
	kube   kubernetes.Interface // objects of Kubernetes, in the compact encoding
	leases kubernetes.Interface // with a rate limit of its own, so that writes cannot starve the election
	chunks rest.Interface       // PolicyEndpoints
}

func newClients(config *rest.Config, renewDeadline time.Duration) (clients, error) {
	compact := rest.CopyConfig(config)
	compact.ContentType = runtime.ContentTypeProtobuf
	compact.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	leases := rest.CopyConfig(compact)
	leases.Timeout = renewDeadline / 2
	kube, err := kubernetes.NewForConfig(compact)
	leaseClient, leaseErr := kubernetes.NewForConfig(leases)
	chunks, chunkErr := newChunkClient(config)
	return clients{kube, leaseClient, chunks}, errors.Join(err, leaseErr, chunkErr)
}

// newChunkClient returns a client for PolicyEndpoints.
func newChunkClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c := rest.CopyConfig(config)
	gv := v1alpha1.GroupVersion()
	c.GroupVersion = &gv
	c.APIPath = "/apis"
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(c)
}
