package figure_test

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/palisade-netpol/palisade/hack/bench/figure"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	ten := []float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}
	for _, c := range []struct {
		name   string
		values []float64
		p      float64
		want   float64
	}{
		{"the tenth part of ten values is the smallest", ten, 0.1, 1},
		{"a little more is the next one", ten, 0.11, 2},
		{"half", ten, 0.5, 5},
		{"nothing is still the smallest", ten, 0, 1},
		{"everything is the largest", ten, 1, 10},
		{"of one value it is that one", []float64{7}, 0.1, 7},
	} {
		if got := figure.Percentile(c.values, c.p); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if ten[0] != 10 {
		t.Error("the values were sorted in place")
	}
}

func TestNothingHasNoPercentileAndNoMedian(t *testing.T) {
	if p, m := figure.Percentile(nil, 0.5), figure.Median(nil); !math.IsNaN(p) || !math.IsNaN(m) {
		t.Errorf("percentile %v, median %v of no values", p, m)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3, 1, 2}, 2},
		{[]float64{100, 1, 2, 1, 2}, 2}, // one outlier moves nothing
		{[]float64{4, 1, 3, 2}, 3},
	} {
		if got := figure.Median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
	}
}

func TestEveryRoundMeasuresEverythingOnce(t *testing.T) {
	orders := figure.Orders(1, 50, 9)
	if len(orders) != 50 {
		t.Fatalf("%d rounds", len(orders))
	}
	first := map[int]bool{}
	for i, o := range orders {
		if !reflect.DeepEqual(slices.Sorted(slices.Values(o)), []int{0, 1, 2, 3, 4, 5, 6, 7, 8}) {
			t.Errorf("round %d is %v", i, o)
		}
		first[o[0]] = true
	}
	if len(first) < 9 {
		t.Errorf("only %d of 9 were ever the first of 50 rounds", len(first))
	}
	if !reflect.DeepEqual(orders, figure.Orders(1, 50, 9)) || reflect.DeepEqual(orders, figure.Orders(2, 50, 9)) {
		t.Error("the seed does not decide the order")
	}
}

func TestRatiosAreTakenWithinARound(t *testing.T) {
	// The second round was twice as slow for both: it says the same as the first one.
	if got := figure.Ratios([]float64{11, 22}, []float64{10, 20}); !reflect.DeepEqual(got, []float64{1.1, 1.1}) {
		t.Errorf("ratios %v", got)
	}
}
