package validation

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

func metadata() *field.Path { return field.NewPath("metadata") }

// invalid makes an error of each message.
func invalid(path *field.Path, value any, messages []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range messages {
		errs = append(errs, field.Invalid(path, value, msg))
	}
	return errs
}

// oneOf accepts the values of an enumeration.
func oneOf[T ~string](value T, known []T, path *field.Path) field.ErrorList {
	if slices.Contains(known, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, known)}
}

// optionalOneOf also accepts no value, for fields with a default.
func optionalOneOf[T ~string](value T, known []T, path *field.Path) field.ErrorList {
	if value == "" {
		return nil
	}
	return oneOf(value, known, path)
}

func portNumber(n int32, path *field.Path) field.ErrorList {
	return invalid(path, n, validation.IsValidPortNum(int(n)))
}

// portOrName accepts a port number, or a name: a string of digits is neither.
func portOrName(p intstr.IntOrString, path *field.Path) field.ErrorList {
	if p.Type == intstr.Int {
		return portNumber(p.IntVal, path)
	}
	return invalid(path, p.StrVal, validation.IsValidPortName(p.StrVal))
}

// address applies the rules of apimachinery.
func address(text string, o Options, path *field.Path) field.ErrorList {
	return validation.IsValidIPForLegacyField(path, text, !o.LegacyIP, nil)
}

// addresses validates a list that holds at most one address of each family; at gives the path of an element.
func addresses(list []string, o Options, path *field.Path, at func(i int) *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, text := range list {
		errs = append(errs, address(text, o, at(i))...)
	}
	if len(errs) > 0 || len(list) < 2 {
		return errs
	}
	if pair, err := netutils.IsDualStackIPStrings(list); err != nil || !pair || len(list) > 2 {
		errs = append(errs, field.Invalid(path, list, "may specify no more than one IP for each IP family"))
	}
	return errs
}

// firstIs: the singular field of old repeats the first element of the list.
func firstIs(single string, list []string, path *field.Path, plural string) field.ErrorList {
	if single == "" || len(list) == 0 || single == list[0] {
		return nil
	}
	return field.ErrorList{field.Invalid(path, single, "must be equal to the first of `"+plural+"`, which is "+list[0])}
}
