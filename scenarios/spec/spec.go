// Package spec is the scenario format: what a file under scenarios/ may say, how it is read, and which cluster each
// of its steps leads to.
//
// Parse reads one file and checks all of it, the expectations of every step included; a file that varies something is
// several scenarios, its cases. Stages replays the steps without any cluster. Addresses, nodes and UIDs that a file
// does not state are assigned in the order of the file, so that the same file always means the same cluster.
package spec

import (
	"io/fs"
	"slices"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// The type of a scenario file.
const (
	APIVersion = "palisade.dev/v1alpha1"
	Kind       = "Scenario"
)

//go:generate go test -run UpToDate -update .

// Scenario is one file: a cluster, and steps that change it, each with what must be allowed and denied after it.
type Scenario struct {
	strict.Origin `json:"-"`

	APIVersion string   `json:"apiVersion" jsonschema:"enum=palisade.dev/v1alpha1"`
	Kind       string   `json:"kind" jsonschema:"enum=Scenario"`
	Metadata   Metadata `json:"metadata"`
	// What the scenario shows, in a sentence or two.
	Description string `json:"description"`
	// The address families of the cluster, the preferred one first; [ipv4] where absent.
	Families []string `json:"families,omitempty" jsonschema:"enum=ipv4,enum=ipv6,minItems=1,maxItems=2"`
	// What the scenario is repeated with; every combination is a case of its own.
	Vary *Vary `json:"vary,omitempty"`
	// Kubernetes objects that exist from the start.
	Objects []Object `json:"objects,omitempty"`
	// Paths of manifests with more such objects, relative to this file.
	Files []string `json:"files,omitempty"`
	// Hosts outside the cluster, from the start to the end.
	External []External `json:"external,omitempty"`
	// What happens, one step after the other.
	Steps []Step `json:"steps" jsonschema:"minItems=1"`

	path     string
	fsys     fs.FS
	variant  variant
	nodes    int // that it has if it gives none: see Spread
	families []flow.Family
	outside  []Host
	objects  []manifest.Object // of Objects and Files
}

// Metadata names a scenario.
type Metadata struct {
	// A short name, unique among all scenarios: lower-case letters, digits and dashes.
	Name string `json:"name" jsonschema:"pattern=^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"`
	// What the scenario is about, for selecting scenarios; its folder is a topic anyway.
	Topics []string `json:"topics,omitempty"`
	// The cases of CASES.md that the scenario shows, by number.
	Cases []int `json:"cases,omitempty" jsonschema:"minItems=1"`
}

// External is a host outside the cluster. Expectations call it external/NAME.
type External struct {
	strict.Origin `json:"-"`

	Name string `json:"name" jsonschema:"pattern=^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"`
	// Its IPv4 address, in a cluster of IPv6 the counterpart of that; the next of 203.0.113.10 and so on where absent.
	Address string `json:"address,omitempty"`
}

// Step changes the cluster — first delete, then apply, label, phase, terminate, then restart — and says what holds
// afterwards.
type Step struct {
	strict.Origin `json:"-"`

	// What this step does, for people.
	Name string `json:"name"`
	// References of objects to delete. A namespace takes everything in it along.
	Delete []Reference `json:"delete,omitempty"`
	// Kubernetes objects to create, or to replace where there is one of this kind and name.
	Apply []Object `json:"apply,omitempty"`
	// Paths of manifests to apply, relative to this file.
	ApplyFiles []string `json:"applyFiles,omitempty"`
	// Labels to set and remove.
	Label []Relabel `json:"label,omitempty"`
	// Pods that enter another phase.
	Phase []PhaseChange `json:"phase,omitempty"`
	// Pods (namespace/name) that are being deleted, and still run while they end.
	Terminate []string `json:"terminate,omitempty"`
	// Pods (namespace/name) that are deleted and created again under the same name with the same addresses.
	Restart []string `json:"restart,omitempty"`
	// Ports to observe in the whole scenario beside those that occur in its objects, for example TCP/81.
	Probes []string `json:"probes,omitempty"`
	// What must be allowed and denied after the step, written by hand.
	Expect []Expect `json:"expect,omitempty"`
	// Connections that are opened after the step and kept, and what becomes of those that were kept before.
	Connections []Connection `json:"connections,omitempty"`

	applied []manifest.Object // of Apply and ApplyFiles
}

// Reference names an object of the cluster.
type Reference struct {
	strict.Origin `json:"-"`

	// One of the kinds that are read.
	Kind string `json:"kind" jsonschema:"pattern=^(Namespace|Node|Pod|Service|NetworkPolicy|EndpointSlice)$"`
	// default where absent; not for namespaces and nodes.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Relabel changes labels of a pod or of a namespace.
type Relabel struct {
	strict.Origin `json:"-"`

	Kind string `json:"kind" jsonschema:"enum=Pod,enum=Namespace"`
	// default where absent; not for namespaces.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// The labels to set; null removes a label.
	Labels map[string]*string `json:"labels"`
}

// PhaseChange moves a pod on in its life. A pod that leaves Pending gets its addresses then.
type PhaseChange struct {
	strict.Origin `json:"-"`

	// The pod, as namespace/name.
	Pod string `json:"pod"`
	To  string `json:"to" jsonschema:"enum=Pending,enum=Running,enum=Succeeded,enum=Failed"`
}

// Expect says what must become of new connections: from each of From to each of To (or Service) at each of Port. A pod
// is not paired with itself unless both lists hold just that pod.
type Expect struct {
	strict.Origin `json:"-"`

	// Who opens the connection: namespace/pod, node/NAME or external/NAME, or a list of them.
	From OneOrMany `json:"from"`
	// Who is called: namespace/pod, node/NAME or external/NAME, or a list of them. Exactly one of to and service is given.
	To OneOrMany `json:"to,omitempty"`
	// A Service (namespace/name) that is called at its ClusterIP, or a list of them.
	Service OneOrMany `json:"service,omitempty"`
	// The name of a node: the Service is called there, at the node port that belongs to port, not at its ClusterIP.
	Node string `json:"node,omitempty"`
	// Protocol and port, for example TCP/80, or a list of them.
	Port OneOrMany `json:"port"`
	// The address family; every family that both ends have where absent.
	Family string `json:"family,omitempty" jsonschema:"enum=ipv4,enum=ipv6"`
	// allow or deny.
	Verdict string `json:"verdict" jsonschema:"enum=allow,enum=deny"`
}

// Connection opens a connection that is kept (keep: true, with from, to or service, and port), or says what has become
// of one that an earlier step opened (with verdict).
type Connection struct {
	strict.Origin `json:"-"`

	// What the scenario calls the connection.
	Name string `json:"name"`
	// Opens the connection after the step and keeps it to the end of the scenario.
	Keep bool `json:"keep,omitempty"`
	// Who opens it: namespace/pod, node/NAME or external/NAME.
	From string `json:"from,omitempty"`
	// Who is called: namespace/pod, node/NAME or external/NAME. Exactly one of to and service is given.
	To string `json:"to,omitempty"`
	// A Service (namespace/name) that is called at its ClusterIP.
	Service string `json:"service,omitempty"`
	// Protocol and port, for example UDP/53.
	Port string `json:"port,omitempty"`
	// goes-on: packets pass both ways. stops: none passes any way.
	Verdict string `json:"verdict,omitempty" jsonschema:"enum=goes-on,enum=stops"`
}

// OneOrMany is a string or a list of strings.
type OneOrMany []string

// UnmarshalNode reads "a" as well as ["a", "b"].
func (l *OneOrMany) UnmarshalNode(n *strict.Node) strict.Errors {
	nodes := []*strict.Node{n}
	if n.Kind == strict.List {
		nodes = n.Items
	}
	*l = nil
	for _, item := range nodes {
		if item.Kind != strict.String {
			return strict.Errors{item.Errorf("a string or a list of strings is expected here, not %s", item.Kind)}
		}
		*l = append(*l, item.Text)
	}
	return nil
}

// Object is a Kubernetes object as it stands in the file.
type Object struct{ node *strict.Node }

// UnmarshalNode keeps the node: what it means is decided when the scenario is read as a whole.
func (o *Object) UnmarshalNode(n *strict.Node) strict.Errors {
	o.node = n
	return nil
}

// Path returns the file of the scenario, as given to Parse.
func (s *Scenario) Path() string { return s.path }

// AddressFamilies returns the families of the cluster, the preferred one first.
func (s *Scenario) AddressFamilies() []flow.Family { return slices.Clone(s.families) }

// Topics returns what the scenario is about: the name of its folder, and the topics it states.
func (s *Scenario) Topics() []string {
	topics := append([]string{folderOf(s.path)}, s.Metadata.Topics...)
	slices.Sort(topics)
	return slices.Compact(topics)
}
