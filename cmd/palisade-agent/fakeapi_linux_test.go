package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// fakeAPI is as much of an API server as an agent needs, for tests of what happens between the agent and the kernel: it
// lists and watches PolicyEndpoints, and loses no change.
type fakeAPI struct {
	kubeconfig string
	server     *http.Server

	mu      sync.Mutex
	changed chan struct{} // closed when log grows
	log     []watchEvent  // number i has resourceVersion i+1
}

type watchEvent struct {
	Type   string                   `json:"type"`
	Object *v1alpha1.PolicyEndpoint `json:"object"`
}

// serveFakeAPI serves inside the node, so that the agent reaches it on loopback.
func (b *testbed) serveFakeAPI() *fakeAPI {
	b.Helper()
	api := &fakeAPI{changed: make(chan struct{}), kubeconfig: filepath.Join(b.dir, "kubeconfig")}
	var l net.Listener
	b.must(b.node.NS().Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}))
	api.server = &http.Server{Handler: api}
	go func() {
		if err := api.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	}()
	b.closeLater(api.server.Close)
	b.must(api.tellWhere(l.Addr().String()))
	return api
}

// tellWhere writes the kubeconfig by which an agent finds the API server.
func (api *fakeAPI) tellWhere(addr string) error {
	config := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "fake",
		"contexts": [{"name": "fake", "context": {"cluster": "fake"}}],
		"clusters": [{"name": "fake", "cluster": {"server": "http://%s"}}]}`, addr)
	return os.WriteFile(api.kubeconfig, []byte(config), 0o600)
}

// tell adds a change.
func (api *fakeAPI) tell(kind string, o *v1alpha1.PolicyEndpoint) {
	api.mu.Lock()
	defer api.mu.Unlock()
	o = o.DeepCopy()
	o.ResourceVersion = fmt.Sprint(len(api.log) + 1)
	api.log = append(api.log, watchEvent{kind, o})
	close(api.changed)
	api.changed = make(chan struct{})
}

// version is that of the last change.
func (api *fakeAPI) version() string {
	api.mu.Lock()
	defer api.mu.Unlock()
	return fmt.Sprint(len(api.log))
}

// since returns the changes from number n on, and what is closed when there are more.
func (api *fakeAPI) since(n int) ([]watchEvent, chan struct{}) {
	api.mu.Lock()
	defer api.mu.Unlock()
	return api.log[min(n, len(api.log)):], api.changed
}

// ServeHTTP answers lists and watches of PolicyEndpoints. There is no difference between a change and a beginning: a watch
// from the start tells all changes there ever were.
func (api *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encode := json.NewEncoder(w)
	if r.URL.Query().Get("watch") == "" {
		empty := &v1alpha1.PolicyEndpointList{ListMeta: metav1.ListMeta{ResourceVersion: "0"}}
		empty.APIVersion, empty.Kind = v1alpha1.GroupVersion().String(), v1alpha1.Kind+"List"
		_ = encode.Encode(empty)
		return
	}
	next := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("resourceVersion"), &next) // none is the start
	list, changed := api.since(next)
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		end := &v1alpha1.PolicyEndpoint{}
		end.APIVersion, end.Kind = v1alpha1.GroupVersion().String(), v1alpha1.Kind
		end.ResourceVersion = fmt.Sprint(next + len(list))
		end.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
		list = append(list[:len(list):len(list)], watchEvent{"BOOKMARK", end})
		next--
	}
	for {
		for _, e := range list {
			if err := encode.Encode(e); err != nil {
				return
			}
		}
		next += len(list)
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		}
		list, changed = api.since(next)
	}
}
