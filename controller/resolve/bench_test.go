package resolve

import (
	"fmt"
	"testing"
)

// BenchmarkPolicy resolves one policy of a cluster with 5,000 pods behind 1,000 Services: what one event costs.
func BenchmarkPolicy(b *testing.B) {
	s := &Snapshot{}
	for i := range 5000 {
		ip := fmt.Sprintf("10.%d.%d.%d", 1+i/65536, i/256%256, i%256)
		p := newTestPod(fmt.Sprintf("ns-%d/pod-%d", i%50, i), ip, label("app", fmt.Sprint(i%1000)))
		s.Pods = append(s.Pods, p)
		if i < 1000 {
			key := fmt.Sprintf("ns-%d/svc-%d", i%50, i)
			s.Services = append(s.Services, service(key, fmt.Sprintf("172.20.%d.%d", i/256, i%256), 80))
			s.EndpointSlices = append(s.EndpointSlices, slice(key, ip, 8080))
		}
	}
	index, errs := NewIndex(s)
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	for name, rules := range map[string]string{
		"one-app":    `[{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: "7"}}}], ports: [{port: 8080}]}]`,
		"every-pod":  `[{to: [{namespaceSelector: {}}], ports: [{port: 8080}]}]`,
		"every-port": `[{}]`,
	} {
		p := policy(b, "ns-1/p", `{policyTypes: [Egress], egress: `+rules+`}`)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				index.Policy(p, Options{})
			}
		})
	}
}
