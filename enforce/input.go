package enforce

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// Input is everything that the policies of one node depend on.
type Input struct {
	// NodeAddrs are the node's own addresses: its pods may always reach them.
	NodeAddrs []netip.Addr
	// NodePorts are the ports of those addresses at which Services are: what is sent there ends at any pod of the cluster, so that
	// only a rule allows it. Default: DefaultNodePorts; NoNodePorts where there are none.
	NodePorts PortRange
	// Pods are the pods of the node that have an interface of their own.
	Pods []Pod
	// Strict leaves a pod that no policy selects to the node's mode, as nobody has said yet what it may do. What is said of a pod of
	// its name with another address, which was there before, is not said of it.
	Strict bool
	// Endpoints are the PolicyEndpoints of the cluster, or at least all those that select a pod of this node, in any
	// order.
	Endpoints []*v1alpha1.PolicyEndpoint
	// Memory, if any, saves reading again what was read for an earlier Input.
	Memory *Memory
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// String returns "FIRST-LAST".
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

var (
	// DefaultNodePorts is what the API server chooses from, unless --service-node-port-range says otherwise.
	DefaultNodePorts = PortRange{30000, 32767}
	// NoNodePorts is the empty range.
	NoNodePorts = PortRange{1, 0}
)

// Pod is a pod of the node. Namespace, name and UID together say which one: a name alone may be used again.
type Pod struct {
	Namespace, Name, UID string
	Addrs                []netip.Addr // policies select it by any of them; it sends from the first of each family
	Ifindex              uint32       // the host's side of the pod's veth
	MayRoute             bool         // may send from addresses that are not its own
	// Instance tells apart the pods that use the interface one after the other; flows do not outlive it. Default: a
	// number made of namespace, name and UID.
	Instance uint32
	// Unknown leaves the pod to the node's mode: open in standard mode, closed in strict mode.
	Unknown bool
	// Closed isolates the pod in both directions with nothing allowed but its node, whatever the policies say.
	Closed bool
}

// Condition is something that is wrong with the input and what was closed for it.
type Condition struct {
	// Object is the PolicyEndpoint or pod concerned, as "namespace/name", or several with commas between them.
	Object string
	// Message says what is wrong, and which pods stay closed for it, in one sentence.
	Message string
}

// ObjectsOf lists the objects that conditions concern, sorted, each once.
func ObjectsOf(conditions []Condition) []string {
	var list []string
	for _, c := range conditions {
		list = append(list, strings.Split(c.Object, ",")...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
