package veth

import (
	"strings"
	"testing"
)

func TestARoundIsOnlyBelievedWhenEveryPacketWasJudged(t *testing.T) {
	const sent = 320
	before := seen{received: [2]uint64{sender: 5, receiver: 10}, decided: [2]uint64{7, 7}}
	for _, c := range []struct {
		name    string
		now     seen
		oneWay  bool
		decides bool
		want    string // part of the error; empty: none
	}{
		{"all is as it should be", seen{[2]uint64{5, 330}, [2]uint64{327, 327}}, true, true, ""},
		{"a few others came by", seen{[2]uint64{20, 340}, [2]uint64{330, 330}}, true, true, ""},
		{"one packet was lost", seen{[2]uint64{5, 329}, [2]uint64{327, 327}}, true, true, "319 of 320 packets arrived"},
		{"the receiver answered", seen{[2]uint64{325, 330}, [2]uint64{327, 327}}, true, true, "320 packets came back"},
		{"answers are welcome", seen{[2]uint64{325, 330}, [2]uint64{327, 327}}, false, true, ""},
		{"one program was not there", seen{[2]uint64{5, 330}, [2]uint64{327, 7}}, true, true, "allowed 0 of 320"},
		{"a filter that does not count", seen{[2]uint64{5, 330}, [2]uint64{7, 7}}, true, false, ""},
	} {
		kind := traffic{name: "t", oneWay: c.oneWay}
		err := kind.judge(before, c.now, sent, c.decides)
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAPassTakesTheTenthPercentileOfItsBatches(t *testing.T) {
	opened, batches := 0, 0
	kind := traffic{
		ops: 4, leaves: true,
		open:  func() error { opened++; return nil },
		batch: func() error { batches++; return nil },
	}
	ns, n, err := kind.run(0)
	if err != nil || n != fewestBatches || batches != n || opened != 1 {
		t.Fatalf("%d batches of %d, opened %d times: %v", n, batches, opened, err)
	}
	if ns < 0 || ns > 1e6 {
		t.Errorf("nothing took %v ns", ns)
	}
	if _, n, err = kind.run(1 << 40); err != nil || n != fewBatches {
		t.Errorf("traffic that leaves state behind went on for %d batches: %v", n, err)
	}
}
