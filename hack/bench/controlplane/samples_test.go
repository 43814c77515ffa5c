package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMeasure sends a packet every millisecond; it arrives half a millisecond later, or not at all where the line has a
// dot. Changes are asked for at o or c and answered a millisecond later.
func TestMeasure(t *testing.T) {
	const ms = time.Millisecond
	tests := map[string]struct {
		changes, packets string
		want             samples
	}{
		"opening": {
			changes: "  o     ",
			packets: ".....xxx",
			want:    samples{firstPassed: []time.Duration{2500 * time.Microsecond}, requests: []time.Duration{ms}},
		},
		"packets lost after opening": {
			changes: "o     ",
			packets: "..x.x.",
			want:    samples{firstPassed: []time.Duration{1500 * time.Microsecond}, lost: 2, requests: []time.Duration{ms}},
		},
		"closing counts the last packet that passed, not the first that did not": {
			changes: " c       ",
			packets: "xxx.x....",
			want: samples{
				lastPassed: []time.Duration{2500 * time.Microsecond}, firstDropped: []time.Duration{3 * ms},
				requests: []time.Duration{ms},
			},
		},
		"closed before the answer": {
			changes: " c   ",
			packets: "x....",
			want: samples{
				lastPassed: []time.Duration{-ms}, firstDropped: []time.Duration{-ms}, requests: []time.Duration{ms},
			},
		},
		"each change has the packets up to the next": {
			changes: "o   c   ",
			packets: ".xxxxx..",
			want: samples{
				firstPassed: []time.Duration{500 * time.Microsecond}, lastPassed: []time.Duration{500 * time.Microsecond},
				firstDropped: []time.Duration{ms}, requests: []time.Duration{ms, ms},
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sent, arrived, changes := play(tt.changes, tt.packets)
			got := measure(changes, sent, arrived)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(samples{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func play(changes, packets string) (sent []time.Time, arrived []arrival, made []change) {
	start := time.Unix(0, 0)
	for i := range packets {
		now := start.Add(time.Duration(i) * time.Millisecond)
		sent = append(sent, now)
		if packets[i] == 'x' {
			arrived = append(arrived, arrival{i, now.Add(time.Millisecond / 2)})
		}
		if c := changes[i]; c != ' ' {
			made = append(made, change{opens: c == 'o', asked: now, answered: now.Add(time.Millisecond), from: i})
		}
	}
	return sent, arrived, made
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, tt := range []struct {
		list []time.Duration
		q    float64
		want time.Duration
	}{
		{hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1}, {hundred[:3], 0.99, 3}, {nil, 0.5, 0},
	} {
		if got := quantile(tt.list, tt.q); got != tt.want {
			t.Errorf("quantile %v of %d is %d, want %d", tt.q, len(tt.list), got, tt.want)
		}
	}
}
