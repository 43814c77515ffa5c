package validation

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/palisade-netpol/palisade/model/flow"
)

// Service validates s.
func Service(s *corev1.Service, o Options) field.ErrorList {
	types := []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
		corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort}
	spec := field.NewPath("spec")
	errs := apivalidation.ValidateObjectMeta(&s.ObjectMeta, true, apivalidation.NameIsDNSLabel, metadata())
	errs = append(errs, optionalOneOf(s.Spec.Type, types, spec.Child("type"))...)
	errs = append(errs, metavalidation.ValidateLabels(s.Spec.Selector, spec.Child("selector"))...)
	errs = append(errs, servicePorts(s, spec.Child("ports"))...)
	return inOrder(append(errs, clusterIPs(&s.Spec, o, spec)...))
}

func headless(s *corev1.ServiceSpec) bool {
	return s.ClusterIP == corev1.ClusterIPNone || len(s.ClusterIPs) == 1 && s.ClusterIPs[0] == corev1.ClusterIPNone
}

func clusterIPs(s *corev1.ServiceSpec, o Options, path *field.Path) field.ErrorList {
	plural, single := path.Child("clusterIPs"), path.Child("clusterIP")
	switch {
	case s.Type == corev1.ServiceTypeExternalName && (s.ClusterIP != "" || len(s.ClusterIPs) > 0):
		return field.ErrorList{field.Forbidden(plural, "may not be set for ExternalName services")}
	case headless(s) && s.Type != "" && s.Type != corev1.ServiceTypeClusterIP:
		return field.ErrorList{field.Invalid(single, corev1.ClusterIPNone, "may not be set to 'None' for this type")}
	case headless(s):
		return firstIs(s.ClusterIP, s.ClusterIPs, single, "clusterIPs")
	}
	var errs field.ErrorList
	if s.ClusterIP != "" {
		errs = address(s.ClusterIP, o, single)
	}
	errs = append(errs, addresses(s.ClusterIPs, o, plural, plural.Index)...)
	return append(errs, firstIs(s.ClusterIP, s.ClusterIPs, single, "clusterIPs")...)
}

func servicePorts(s *corev1.Service, path *field.Path) field.ErrorList {
	if len(s.Spec.Ports) == 0 && !headless(&s.Spec) && s.Spec.Type != corev1.ServiceTypeExternalName {
		return field.ErrorList{field.Required(path, "")}
	}
	var errs field.ErrorList
	names, numbers := sets.New[string](), sets.New[flow.PortProto]()
	for i, p := range s.Spec.Ports {
		at := path.Index(i)
		errs = append(errs, servicePort(p, len(s.Spec.Ports) > 1, at)...)
		if p.Name != "" && names.Has(p.Name) {
			errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
		}
		names.Insert(p.Name)
		if number, ok := portProto(p); ok {
			if numbers.Has(number) {
				errs = append(errs, field.Duplicate(at, number.String()))
			}
			numbers.Insert(number)
		}
	}
	return errs
}

func servicePort(p corev1.ServicePort, needsName bool, path *field.Path) field.ErrorList {
	errs := portNumber(p.Port, path.Child("port"))
	errs = append(errs, optionalOneOf(p.Protocol, protocols(), path.Child("protocol"))...)
	switch {
	case p.Name != "":
		errs = append(errs, invalid(path.Child("name"), p.Name, validation.IsDNS1123Label(p.Name))...)
	case needsName:
		errs = append(errs, field.Required(path.Child("name"), "ports need names where there are several"))
	}
	if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
		return errs // it defaults to port
	}
	return append(errs, portOrName(p.TargetPort, path.Child("targetPort"))...)
}

// portProto returns what makes two ports of a Service the same.
func portProto(p corev1.ServicePort) (flow.PortProto, bool) {
	if p.Protocol == "" {
		p.Protocol = corev1.ProtocolTCP
	}
	proto, err := flow.ParseProtocol(string(p.Protocol))
	if err != nil || p.Port < 1 || p.Port > 65535 {
		return flow.PortProto{}, false
	}
	return flow.PortProto{Protocol: proto, Port: uint16(p.Port)}, true
}

// EndpointSlice validates s.
func EndpointSlice(s *discoveryv1.EndpointSlice, o Options) field.ErrorList {
	types := []discoveryv1.AddressType{discoveryv1.AddressTypeFQDN, discoveryv1.AddressTypeIPv4,
		discoveryv1.AddressTypeIPv6}
	errs := apivalidation.ValidateObjectMeta(&s.ObjectMeta, true, apivalidation.NameIsDNSSubdomain, metadata())
	if s.AddressType == "" {
		errs = append(errs, field.Required(field.NewPath("addressType"), ""))
	} else {
		errs = append(errs, oneOf(s.AddressType, types, field.NewPath("addressType"))...)
	}
	errs = append(errs, slicePorts(s.Ports, field.NewPath("ports"))...)
	for i, e := range s.Endpoints {
		path := field.NewPath("endpoints").Index(i).Child("addresses")
		if len(e.Addresses) == 0 {
			errs = append(errs, field.Required(path, "must contain at least 1 address"))
		}
		for j, text := range e.Addresses {
			errs = append(errs, endpointAddress(text, s.AddressType, o, path.Index(j))...)
		}
	}
	return inOrder(errs)
}

// slicePorts: a port without a number stands for all ports.
func slicePorts(ports []discoveryv1.EndpointPort, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := sets.New[string]()
	for i, p := range ports {
		at, name := path.Index(i), ""
		if p.Name != nil && *p.Name != "" {
			name = *p.Name
			errs = append(errs, invalid(at.Child("name"), name, validation.IsDNS1123Label(name))...)
		}
		if names.Has(name) {
			errs = append(errs, field.Duplicate(at.Child("name"), name))
		}
		names.Insert(name)
		if p.Protocol != nil {
			errs = append(errs, oneOf(*p.Protocol, protocols(), at.Child("protocol"))...)
		}
		if p.Port != nil {
			errs = append(errs, portNumber(*p.Port, at.Child("port"))...)
		}
	}
	return errs
}

func endpointAddress(text string, t discoveryv1.AddressType, o Options, path *field.Path) field.ErrorList {
	switch t {
	case discoveryv1.AddressTypeFQDN:
		return validation.IsFullyQualifiedDomainName(path, text)
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	default:
		return nil
	}
	errs := address(text, o, path)
	if t == discoveryv1.AddressTypeIPv6 {
		errs = validation.IsValidIP(path, text) // the canonical form, and never anything else
	}
	if len(errs) > 0 {
		return errs
	}
	ip, _ := parse(text)
	if ip.Is4() != (t == discoveryv1.AddressTypeIPv4) {
		return field.ErrorList{field.Invalid(path, text, "must be an "+string(t)+" address")}
	}
	return ordinary(ip, text, path)
}

// ordinary refuses addresses that no endpoint can have.
func ordinary(ip netip.Addr, text string, path *field.Path) field.ErrorList {
	switch {
	case ip.IsUnspecified():
		return field.ErrorList{field.Invalid(path, text, "may not be unspecified")}
	case ip.IsLoopback():
		return field.ErrorList{field.Invalid(path, text, "may not be in the loopback range")}
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast():
		return field.ErrorList{field.Invalid(path, text, "may not be in a link-local range")}
	}
	return nil
}
