package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/palisade-netpol/palisade/scenarios/run"
)

// scenarioTimeout bounds one scenario, on a busy cluster.
const scenarioTimeout = 10 * time.Minute

func (s *suite) describeScenarios(inputs []run.Input, inapplicable []run.Inapplicable) {
	Describe("scenario", func() {
		for _, in := range inputs {
			It(in.Scenario.Metadata.Name, Label(in.Scenario.Topics()...), func(ctx SpecContext) {
				s.replay(ctx, 1, in)
			}, SpecTimeout(scenarioTimeout))
		}
		for _, one := range inapplicable {
			It(one.Name, func() { Skip("the scenario " + one.Reason) })
		}
	})
}

// replay fails unless all scenarios pass.
func (s *suite) replay(ctx context.Context, parallel int, inputs ...run.Input) {
	GinkgoHelper()
	result, err := run.Run(ctx, run.Options{Backend: s.backend, Parallel: parallel, Profile: s.profile}, inputs)
	Expect(err).NotTo(HaveOccurred())
	var wrong strings.Builder
	for _, scenario := range result.Scenarios {
		if scenario.Error != "" {
			fmt.Fprintf(&wrong, "%s: %s\n", scenario.Name, scenario.Error)
		}
		for _, step := range scenario.Steps {
			for _, m := range step.Mismatches {
				fmt.Fprintf(&wrong, "%s: step %q: %s\n  %s\n", m.At, step.Name, m, strings.Join(m.Explanation, "\n  "))
			}
		}
	}
	total := result.Totals()
	AddReportEntry("connections", fmt.Sprintf("%d as expected, %d declared limits", total.Cells, total.Limited))
	Expect(wrong.String()).To(BeEmpty())
	Expect(result.Passed()).To(BeTrue(), run.NothingChecked)
}
