package resolve

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	operator "k8s.io/apimachinery/pkg/selection"
)

// selectorTable finds those of many label selectors that match some labels, without asking all of them: a selector is
// kept under one label that it requires, and only labels that have it lead there. The trap: selectors that require
// nothing, such as NotIn alone, are asked every time.
type selectorTable[T comparable] struct {
	buckets map[bucket]map[T]labels.Selector
	asked   *uint64 // counts selectors that were compared with labels; may be shared
}

// bucket is where a selector is kept: under a label, under a key with any value, or, as the zero bucket, under nothing.
type bucket struct {
	key, value string
	anyValue   bool
}

func newSelectorTable[T comparable](asked *uint64) *selectorTable[T] {
	return &selectorTable[T]{buckets: map[bucket]map[T]labels.Selector{}, asked: asked}
}

// add keeps item under s and returns where, for remove.
func (t *selectorTable[T]) add(s labels.Selector, item T) []bucket {
	places := t.place(s)
	for _, b := range places {
		if t.buckets[b] == nil {
			t.buckets[b] = map[T]labels.Selector{}
		}
		t.buckets[b][item] = s
	}
	return places
}

// remove forgets item, which add put into places.
func (t *selectorTable[T]) remove(places []bucket, item T) {
	for _, b := range places {
		delete(t.buckets[b], item)
		if len(t.buckets[b]) == 0 {
			delete(t.buckets, b)
		}
	}
}

// matching returns the items whose selectors match l, in no order.
func (t *selectorTable[T]) matching(l labels.Set) []T {
	var found []T
	ask := func(b bucket) {
		for item, s := range t.buckets[b] {
			*t.asked++
			if s.Matches(l) {
				found = append(found, item)
			}
		}
	}
	ask(bucket{})
	for key, value := range l {
		ask(bucket{key: key, value: value})
		ask(bucket{key: key, anyValue: true})
	}
	return found
}

// place chooses the requirement of s under which the fewest selectors are kept already, so that one that all of them
// share, such as env=prod, does not gather them all.
func (t *selectorTable[T]) place(s labels.Selector) []bucket {
	requirements, _ := s.Requirements()
	best, least := []bucket{{}}, -1
	for i := range requirements {
		places := required(&requirements[i])
		if places == nil {
			continue
		}
		load := 0
		for _, b := range places {
			load += len(t.buckets[b])
		}
		if least < 0 || load < least {
			best, least = places, load
		}
	}
	return best
}

// required returns the buckets one of which labels must lead to if they meet r; nil if labels without the key may.
func required(r *labels.Requirement) []bucket {
	switch r.Operator() {
	case operator.In, operator.Equals, operator.DoubleEquals:
		places := []bucket{}
		for _, value := range slices.Sorted(slices.Values(r.ValuesUnsorted())) {
			places = append(places, bucket{key: r.Key(), value: value})
		}
		return places
	case operator.Exists, operator.GreaterThan, operator.LessThan:
		return []bucket{{key: r.Key(), anyValue: true}}
	}
	return nil
}
