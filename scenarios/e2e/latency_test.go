package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// loop is how long a client calls on, and lead how long it does before a policy comes.
const loop, lead = 15 * time.Second, 3 * time.Second

// stopsWithin bounds how long a client may go on after the policy that denies it was written.
const stopsWithin = 10 * time.Second

func (s *suite) describeLatency() {
	Describe("a deny policy", Label("latency"), func() {
		It("stops a running client", func(ctx SpecContext) {
			p := s.open(ctx, s.guarded(ctx))
			Expect(p.Apply(ctx, p.stages[0].Cluster)).To(Succeed())
			probe := p.probe(ctx, "stranger", "web")
			p.becomes(ctx, probe, backend.Connected)
			probe.Timeout = 100 * time.Millisecond

			tally := make(chan wire.Tally, 1)
			go func() {
				defer GinkgoRecover()
				defer close(tally)
				t, err := p.Live.(cluster.Blaster).Blast(ctx, probe, 5*time.Millisecond, loop)
				Expect(err).NotTo(HaveOccurred())
				tally <- t
			}()
			<-time.After(lead)
			Expect(p.Apply(ctx, p.stages[1].Cluster)).To(Succeed())
			_, changed, err := p.Actual(ctx)
			Expect(err).NotTo(HaveOccurred())

			t := <-tally
			Expect(t.Last).NotTo(BeNil())
			after := t.Last.Sub(changed)
			AddReportEntry("from apply to the last success", after.String())
			GinkgoWriter.Printf("from apply to the last success: %s (%d of %d connections)\n", after, t.Connected, t.Attempts)
			Expect(t.Connected).To(BeNumerically(">", 0))
			Expect(after).To(BeNumerically("<", stopsWithin), fmt.Sprintf("%+v", t))
		}, SpecTimeout(scenarioTimeout))
	})
}
