package resolve

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/palisade-netpol/palisade/controller/api/v1alpha1"
)

// portRange is the ports first to last of a protocol, both included. first 0 stands for every port.
type portRange struct {
	protocol    corev1.Protocol
	first, last uint16
}

func (r portRange) contains(protocol corev1.Protocol, port uint16) bool {
	return r.protocol == protocol && (r.first == 0 || r.first <= port && port <= r.last)
}

func compareRanges(a, b portRange) int {
	return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last))
}

// api returns r in the form of the API: no endPort for a single port.
func (r portRange) api() v1alpha1.Port {
	p := v1alpha1.Port{Protocol: &r.protocol}
	if r.first == 0 {
		return p
	}
	p.Port = new(int32(r.first))
	if r.last != r.first {
		p.EndPort = new(int32(r.last))
	}
	return p
}

// portName is a named port: it means something only on a pod.
type portName struct {
	name     string
	protocol corev1.Protocol
}

func compareNames(a, b portName) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.protocol, b.protocol))
}

// portSpec is the ports section of a rule. With all false and both lists empty it opens nothing, which is what is left
// of a section with invalid ports only.
type portSpec struct {
	all   bool // the section is absent: every port and every protocol
	ports []portRange
	names []portName
}

// on returns the ports of s, sorted, where the names mean what named says. Nothing at all is false, since an empty
// list of ports in a PolicyEndpoint means everything.
func (s portSpec) on(named map[portName][]uint16) (ports []portRange, ok bool) {
	if s.all {
		return nil, true
	}
	ports = append(slices.Clone(s.ports), s.namedOn(named)...)
	slices.SortFunc(ports, compareRanges)
	return slices.Compact(ports), len(ports) > 0
}

// namedOn returns what the names of s mean on a pod.
func (s portSpec) namedOn(named map[portName][]uint16) []portRange {
	var ports []portRange
	for _, n := range s.names {
		for _, number := range named[n] {
			ports = append(ports, portRange{n.protocol, number, number})
		}
	}
	slices.SortFunc(ports, compareRanges)
	return slices.Compact(ports)
}

// ports reads the ports section of a rule.
func (p *parser) ports(path *field.Path, section []networkingv1.NetworkPolicyPort) portSpec {
	s := portSpec{all: len(section) == 0}
	for i := range section {
		p.port(path.Index(i), &section[i], &s)
	}
	return s
}

// port adds one element of a ports section to s.
func (p *parser) port(path *field.Path, port *networkingv1.NetworkPolicyPort, s *portSpec) {
	protocol := corev1.ProtocolTCP
	if port.Protocol != nil {
		protocol = *port.Protocol
	}
	numeric := port.Port != nil && port.Port.Type == intstr.Int
	switch {
	case protocol != corev1.ProtocolTCP && protocol != corev1.ProtocolUDP && protocol != corev1.ProtocolSCTP:
		p.fail(field.NotSupported(path.Child("protocol"), protocol, []string{"TCP", "UDP", "SCTP"}))
	case port.EndPort != nil && !numeric:
		p.fail(field.Forbidden(path.Child("endPort"), "needs a numeric port"))
	case port.Port == nil:
		s.ports = append(s.ports, portRange{protocol: protocol})
	case numeric:
		p.numericPort(path, protocol, port, s)
	default:
		p.namedPort(path, protocol, port, s)
	}
}

func (p *parser) numericPort(
	path *field.Path, protocol corev1.Protocol, port *networkingv1.NetworkPolicyPort, s *portSpec,
) {
	first, last := port.Port.IntVal, port.Port.IntVal
	if port.EndPort != nil {
		last = *port.EndPort
	}
	switch {
	case !validPort(first):
		p.fail(field.Invalid(path.Child("port"), first, "must be between 1 and 65535"))
	case !validPort(last) || last < first:
		p.fail(field.Invalid(path.Child("endPort"), last, "must be between port and 65535"))
	default:
		s.ports = append(s.ports, portRange{protocol, uint16(first), uint16(last)})
	}
}

func (p *parser) namedPort(
	path *field.Path, protocol corev1.Protocol, port *networkingv1.NetworkPolicyPort, s *portSpec,
) {
	name := port.Port.StrVal
	for _, problem := range validation.IsValidPortName(name) {
		p.fail(field.Invalid(path.Child("port"), name, problem))
		return
	}
	s.names = append(s.names, portName{name, protocol})
}

func validPort(n int32) bool { return n >= 1 && n <= 65535 }
