package main

// inController are bugs of what the controller writes, and when.
func inController() []Mutant {
	return []Mutant{
		{"no-pause-before-the-next-delete", "an object that cannot be deleted costs thousands of requests a second",
			"controller/core/due.go", `for which wrote asks
		return effects`, `which wrote asks
		return append(effects, Queue{Policy: key})`,
			[]string{"controller/core:TestWhatIsInTheWay"}},
	}
}
