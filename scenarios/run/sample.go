package run

import (
	"hash/fnv"
)

// Sample leaves one case of every file, in order: one with the most address families, and of those another one from
// file to file, so that a sample of many files has every value of what they vary. The same files give the same sample.
func Sample(inputs []Input) []Input {
	var sample []Input
	for len(inputs) > 0 {
		n := 1
		for n < len(inputs) && inputs[n].File == inputs[0].File {
			n++
		}
		widest := widest(inputs[:n])
		name := fnv.New32a()
		_, _ = name.Write([]byte(widest[0].Scenario.Metadata.Name)) // never fails
		sample = append(sample, widest[name.Sum32()%uint32(len(widest))])
		inputs = inputs[n:]
	}
	return sample
}

// widest returns the cases that have as many families as any.
func widest(cases []Input) []Input {
	var best []Input
	for _, in := range cases {
		families := len(in.Scenario.AddressFamilies())
		if len(best) > 0 && families > len(best[0].Scenario.AddressFamilies()) {
			best = nil
		}
		if len(best) == 0 || families == len(best[0].Scenario.AddressFamilies()) {
			best = append(best, in)
		}
	}
	return best
}
