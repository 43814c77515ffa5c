package core

// versions tell how far the kernel is behind the API server.
type versions struct {
	seen    string // of the latest news of PolicyEndpoints
	inForce string // of the latest news after which nothing was left to be done
}

// settle notes after each step whether all that was seen has been acted on; unsettled says whether a policy is known
// in part, or something is in force beside it that was seen before, or an interface is on its way to being filtered.
func (v *versions) settle(p programs, unsettled bool) {
	if p.done > 0 && !p.dirty && !p.running && !unsettled {
		v.inForce = v.seen
	}
}

// InForce is a resourceVersion: everything that the API server said about PolicyEndpoints up to it is in force, as far as
// it can be (see Report for what cannot). It is empty until something is. While changes follow each other without a pause it
// stays behind.
func (s *State) InForce() string { return s.versions.inForce }
