package core_test

import (
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
)

// TestInstanceOfAnInterfaceIsNeverUsedAgain: an interface that gets the number of one that is gone is another instance, so the
// flows of the old one count for nothing.
func TestInstanceOfAnInterfaceIsNeverUsedAgain(t *testing.T) {
	r := newRig(t, core.Config{})
	r.up()
	seen := map[uint32]bool{}
	for range 3 {
		r.step(core.LinkSeen{Link: veth(7, "eni7")})
		var instance uint32
		for _, e := range r.asked {
			if in, ok := e.(core.Introduce); ok {
				instance = in.Pod.Instance
			}
		}
		if instance == 0 || seen[instance] {
			t.Errorf("the interface is introduced as instance %d", instance)
		}
		seen[instance] = true
		r.step(core.Introduced{Ifindex: 7}, core.Attached{Ifindex: 7}, core.LinkGone{Ifindex: 7}, core.Detached{Ifindex: 7})
		r.asked = nil
		r.pass(time.Second)
	}
}
