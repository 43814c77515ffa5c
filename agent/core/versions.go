package core

// versions tell how far the kernel is behind the API server.
type versions struct {
	seen    string // of the latest news of PolicyEndpoints
	inForce string // of the latest news after which nothing was left to be done
}

// settle notes after each step whether all that was seen has been acted on.
func (v *versions) settle(p programs) {
	if p.done > 0 && !p.dirty && !p.running {
		v.inForce = v.seen
	}
}

// InForce is a resourceVersion: everything that the API server said about PolicyEndpoints up to it is in force, as far as
// it can be (see Report for what cannot). It is empty until something is. While changes follow each other without a pause it
// stays behind.
func (s *State) InForce() string { return s.versions.inForce }
