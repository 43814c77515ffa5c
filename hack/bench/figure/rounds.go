package figure

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Percentile returns the smallest value that at least the share p of all values does not exceed (nearest rank), NaN of
// no values. The order of values stays as it is.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Median is the value in the middle, of an even number of values the upper one of the two.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Orders returns in which order n candidates are measured in each round: every one once, in an order of its own, so
// that what drifts while it is measured meets all alike. Equal seeds give equal orders.
func Orders(seed uint64, rounds, n int) [][]int {
	r := rand.New(rand.NewPCG(seed, 0))
	orders := make([][]int, rounds)
	for i := range orders {
		orders[i] = r.Perm(n)
	}
	return orders
}

// Ratios divides what was measured in a round by what its base was in the same round.
func Ratios(values, base []float64) []float64 {
	ratios := make([]float64, len(values))
	for i := range values {
		ratios[i] = values[i] / base[i]
	}
	return ratios
}
