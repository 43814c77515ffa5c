package v1alpha1

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Completeness says whether the objects of a policy that a consumer has seen are all there are.
type Completeness uint8

// The three answers of CompletenessOf.
const (
	Unmarked Completeness = iota // no annotations: another controller wrote the objects, and nobody can tell
	Partial                      // objects are missing, of different ages, or left over from an older set
	Complete                     // exactly the objects that one resolution of the policy produced
)

// String returns one lower-case word.
func (c Completeness) String() string {
	switch c {
	case Partial:
		return "partial"
	case Complete:
		return "complete"
	}
	return "unmarked"
}

// CompletenessOf judges the objects of one NetworkPolicy: all of one namespace with the same PolicyName,
// variants included. Their order does not matter.
//
// It trusts the annotations and does not hash the contents again, so it is cheap enough to ask on every event.
func CompletenessOf(objects []*PolicyEndpoint) Completeness {
	marked := func(o *PolicyEndpoint) bool { return o.Annotations[ChunkHashAnnotation] != "" }
	if !slices.ContainsFunc(objects, marked) {
		return Unmarked
	}
	hash := setHash(objects)
	covers := func(o *PolicyEndpoint) bool { return o.Annotations[SetHashAnnotation] == hash }
	if slices.ContainsFunc(objects, covers) {
		return Complete
	}
	return Partial
}

// MarkComplete annotates objects, which must be all those of one policy, so that CompletenessOf recognises the set.
// The first object carries what speaks of the whole set. It must be called after everything else is in place.
func MarkComplete(objects []*PolicyEndpoint) error {
	for _, o := range objects {
		hash, err := chunkHash(o)
		if err != nil {
			return fmt.Errorf("hash of %s/%s: %w", o.Namespace, o.Name, err)
		}
		annotate(o, ChunkHashAnnotation, hash)
	}
	if len(objects) > 0 {
		annotate(objects[0], SetHashAnnotation, setHash(objects))
		annotate(objects[0], ChunkCountAnnotation, strconv.Itoa(len(objects)))
	}
	return nil
}

func annotate(o *PolicyEndpoint, key, value string) {
	if o.Annotations == nil {
		o.Annotations = map[string]string{}
	}
	o.Annotations[key] = value
}

// chunkHash covers what o says: its spec and the rules its entries are attributed to.
func chunkHash(o *PolicyEndpoint) (string, error) {
	said, err := json.Marshal(struct {
		Spec            *PolicyEndpointSpec
		Ingress, Egress string
	}{&o.Spec, o.Annotations[IngressRulesAnnotation], o.Annotations[EgressRulesAnnotation]})
	if err != nil {
		return "", err
	}
	return shortHash(said), nil
}

// setHash combines names and chunk hashes. Names are object names, so no separator can be forged.
func setHash(objects []*PolicyEndpoint) string {
	byName := func(a, b *PolicyEndpoint) int { return cmp.Compare(a.Name, b.Name) }
	var said []byte
	for _, o := range slices.SortedFunc(slices.Values(objects), byName) {
		said = fmt.Appendf(said, "%s %s\n", o.Name, o.Annotations[ChunkHashAnnotation])
	}
	return shortHash(said)
}

// shortHash returns 128 bits of SHA-256 in hexadecimal.
func shortHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
