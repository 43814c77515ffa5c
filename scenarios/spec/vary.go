package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/manifest/strict"
)

// Vary lists what the scenario is repeated with. Every combination is a case of its own, named after the scenario and
// the values: "named-port/ipv6/udp".
type Vary struct {
	strict.Origin `json:"-"`

	// The address families of the cluster; dual has both, IPv4 preferred. Replaces families.
	Families []string `json:"families,omitempty" jsonschema:"enum=ipv4,enum=ipv6,enum=dual,minItems=1"`
	// What $(protocol) stands for.
	Protocols []string `json:"protocols,omitempty" jsonschema:"enum=TCP,enum=UDP,enum=SCTP,minItems=1"`
	// Where pods run that name no node: all on the first node, or the first pod there and all others on the second.
	Placement []string `json:"placement,omitempty" jsonschema:"enum=same-node,enum=cross-node,minItems=1"`
	// How a step's objects come, those that exist from the start included: all at once, or one after the other in the
	// order of the file, or in the opposite order.
	Order []string `json:"order,omitempty" jsonschema:"enum=together,enum=forward,enum=backward,minItems=1"`
}

// The values of Vary.Placement and Vary.Order.
const (
	sameNode  = "same-node"
	crossNode = "cross-node"
	together  = "together"
	forward   = "forward"
	backward  = "backward"
)

// variant is one combination of the values that a scenario varies; a word that does not vary is empty.
type variant struct{ family, protocol, placement, order string }

// String returns what the case adds to the name of its scenario.
func (v variant) String() string {
	words := []string{v.family, strings.ToLower(v.protocol), v.placement, v.order}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), "/")
}

// variants returns all combinations, in the order of the lists; one empty variant where nothing varies.
func (v *Vary) variants() []variant {
	if v == nil {
		return []variant{{}}
	}
	var all []variant
	for _, family := range orNothing(v.Families) {
		for _, protocol := range orNothing(v.Protocols) {
			for _, placement := range orNothing(v.Placement) {
				for _, order := range orNothing(v.Order) {
					all = append(all, variant{family, protocol, placement, order})
				}
			}
		}
	}
	return all
}

func orNothing(words []string) []string {
	if len(words) == 0 {
		return []string{""}
	}
	return words
}

// check refuses words that are not known, and words that are given twice.
func (v *Vary) check() strict.Errors {
	if v == nil {
		return nil
	}
	var errs strict.Errors
	for _, list := range []struct {
		field        string
		words, known []string
	}{
		{"families", v.Families, []string{flow.IPv4.String(), flow.IPv6.String(), dual}},
		{"protocols", v.Protocols, []string{flow.TCP.String(), flow.UDP.String(), flow.SCTP.String()}},
		{"placement", v.Placement, []string{sameNode, crossNode}},
		{"order", v.Order, []string{together, forward, backward}},
	} {
		for i, word := range list.words {
			if !slices.Contains(list.known, word) || slices.Contains(list.words[:i], word) {
				at := v.Node().At(fmt.Sprintf("%s[%d]", list.field, i))
				errs = append(errs, at.Errorf("vary.%s must be of %s, each once; %q is not",
					list.field, strings.Join(list.known, ", "), word))
			}
		}
	}
	return errs
}

// dual is the word for a cluster with both families.
const dual = "dual"

// familiesOfWord returns the families of a word of Vary.Families.
func familiesOfWord(word string) []flow.Family {
	if word == dual {
		return []flow.Family{flow.IPv4, flow.IPv6}
	}
	f, _ := flow.ParseFamily(word) // checked before
	return []flow.Family{f}
}

// readVariants decodes only what says how often the scenario is read.
func readVariants(doc *strict.Node) ([]variant, strict.Errors) {
	at := doc.Get("vary")
	if at == nil {
		return []variant{{}}, nil
	}
	v := &Vary{}
	if errs := strict.Decode(at, v); len(errs) > 0 {
		return nil, errs
	}
	if v.Node() == nil || len(v.variants()) == 1 && v.variants()[0] == (variant{}) {
		return nil, strict.Errors{at.Errorf("vary says nothing: it lists families, protocols, placement or order")}
	}
	if families := doc.Get("families"); families != nil && len(v.Families) > 0 {
		return nil, strict.Errors{families.Errorf("families and vary.families cannot both be given")}
	}
	return v.variants(), v.check()
}

// apply makes s the case of a variant.
func (v variant) apply(s *Scenario) {
	s.variant = v
	s.Metadata.Name = strings.TrimSuffix(s.Metadata.Name+"/"+v.String(), "/")
}

// Case returns which case of its file s is, for example "ipv6/cross-node"; empty where the file varies nothing.
func (s *Scenario) Case() string { return s.variant.String() }

// arrivals returns the order in which n objects come, in groups that come at once.
func (v variant) arrivals(n int) [][]int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if cmp.Or(v.order, together) == together {
		return [][]int{all}
	}
	if v.order == backward {
		slices.Reverse(all)
	}
	return slices.Collect(slices.Chunk(all, 1))
}
