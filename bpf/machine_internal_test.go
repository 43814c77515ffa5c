package bpf

import (
	"os"
	"testing"
)

func TestEveryCPUHasAnEntry(t *testing.T) {
	for cpus, want := range map[int]int{1: 1, 2: 2, 3: 4, 96: 128, 1024: 1024} {
		if got, err := (machine{cpus: cpus}).entries(); got != want || err != nil {
			t.Errorf("%d CPUs: %d entries, %v; want %d", cpus, got, err, want)
		}
	}
	if got, err := (machine{cpus: 1025}).entries(); err == nil {
		t.Errorf("1025 CPUs: %d entries; want an error", got)
	}
}

func TestCPUsAreCounted(t *testing.T) {
	for ranges, want := range map[string]int{"0\n": 1, "0-1\n": 2, "0-3,8-11\n": 12, "0,2,4\n": 5} {
		if got, err := countCPUs(ranges); got != want || err != nil {
			t.Errorf("%q: %d, %v; want %d", ranges, got, err, want)
		}
	}
	if got, err := countCPUs("\n"); err == nil {
		t.Errorf("no CPU: %d; want an error", got)
	}
}

// TestLoadsOnOtherMachines: with one CPU, the number of a CPU is a constant for the verifier, and with PREEMPT_RT no packet is compared
// with the last ones.
func TestLoadsOnOtherMachines(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to load programs")
	}
	m, err := thisMachine()
	if err != nil {
		t.Fatal(err)
	}
	one, many, realtime := m, m, m
	one.cpus, many.cpus, realtime.realtime = 1, maxCPUs, true
	for name, m := range map[string]machine{"one CPU": one, "many CPUs": many, "PREEMPT_RT": realtime} {
		n, err := Open(Options{machine: &m})
		if err != nil {
			t.Errorf("%s: %+v", name, withLog(err))
			continue
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
}
