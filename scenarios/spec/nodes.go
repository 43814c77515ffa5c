package spec

// Spread gives the scenario so many nodes if it gives none: from 2, which is what it has by itself, to 26. Pods that name no
// node are placed on one after the other.
func (s *Scenario) Spread(nodes int) { s.nodes = min(nodes, 26) }
