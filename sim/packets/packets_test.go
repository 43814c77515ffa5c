package packets_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/sim/packets"
	"github.com/palisade-netpol/palisade/sim/random"
)

// play sends packets over the policies of three clusters, of which the flows of one go on in the next.
func play(t testing.TB, d *packets.Duel, cluster int, seed uint64, count int) {
	t.Helper()
	start(t, d, cluster)
	for i := range 3 {
		img, err := d.Load(random.Example(cluster), packets.Capacities[i])
		if err != nil {
			t.Fatal(err)
		}
		source := packets.New(seed+uint64(i), img)
		for range count {
			if err := d.Send(source.Next()); err != nil {
				t.Fatalf("cluster %d, seed %d: %v", cluster, seed, err)
			}
		}
	}
}

func start(t testing.TB, d *packets.Duel, seed int) {
	t.Helper()
	if err := d.Start(seed); err != nil {
		t.Fatal(err)
	}
}

func duel(t testing.TB, o bpf.Options) *packets.Duel {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: packets go through the kernel's programs")
	}
	d, err := packets.NewDuel(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestKernelAndTwinAgreeOnManyPackets(t *testing.T) {
	for i, o := range packets.Options {
		d := duel(t, o)
		for cluster := i; cluster < 24; cluster += len(packets.Options) {
			play(t, d, cluster, 1, 5000)
		}
	}
}

// TestDifferencesAreNoticed: packets that one side has not been told of the policies of are decided otherwise.
func TestDifferencesAreNoticed(t *testing.T) {
	d := duel(t, bpf.Options{})
	start(t, d, 1)
	img, err := d.Load(random.Example(3), bpf.Capacity{})
	if err != nil {
		t.Fatal(err)
	}
	start(t, d, 1) // the twin forgets the policies, the kernel does not
	source := packets.New(1, img)
	for range 1000 {
		err := d.Send(source.Next())
		if diff := (*packets.Difference)(nil); errors.As(err, &diff) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no difference was noticed")
}

// FuzzKernelAndTwin sends a frame of the fuzzer's as it is, among many that are drawn.
func FuzzKernelAndTwin(f *testing.F) {
	d := duel(f, bpf.Options{})
	f.Add(1, uint64(1), make([]byte, 60))
	f.Fuzz(func(t *testing.T, cluster int, seed uint64, frame []byte) {
		play(t, d, cluster, seed, 1000)
		if len(frame) < 60 { // the kernel runs no test on an IP packet without its header
			return
		}
		for p := range packets.AtEveryHook(frame, 8) {
			if err := d.Send(p); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// BenchmarkDuel tells how many packets per second both judge.
func BenchmarkDuel(b *testing.B) {
	d := duel(b, bpf.Options{})
	start(b, d, 1)
	img, err := d.Load(random.Example(3), bpf.Capacity{})
	if err != nil {
		b.Fatal(err)
	}
	source, start := packets.New(1, img), time.Now()
	for b.Loop() {
		if err := d.Send(source.Next()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "packets/s")
}
