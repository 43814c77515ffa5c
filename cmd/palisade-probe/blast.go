package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
)

// own is the name of the namespace that blast runs in.
const own = "blast"

// blast opens one new connection after the other, each with a question and an answer, and counts those that succeed.
func blast(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("blast")
	to := flags.String("to", "", "`ADDRESS:PORT` to call")
	protocol := flags.String("protocol", "TCP", "TCP, UDP or SCTP")
	every := flags.Duration("every", 10*time.Millisecond, "how soon one connection follows the other")
	timeout := flags.Duration("timeout", 100*time.Millisecond, "how long to wait for an answer")
	duration := flags.Duration("for", 10*time.Second, "how long to go on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(*to)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	proto, err := flow.ParseProtocol(*protocol)
	if err != nil {
		return err
	}
	addrs, err := prober.OwnAddrs()
	if err != nil {
		return err
	}
	p := prober.NewFar()
	defer p.Close()
	p.Add(own, ns.Own(), addrs)
	ctx, cancel := context.WithTimeout(ctx, *duration)
	defer cancel()
	t, err := blastAt(ctx, p, prober.Probe{From: own, To: at, Protocol: proto, Timeout: *timeout}, *every)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(t)
}

// blastAt opens connections until ctx is done.
func blastAt(ctx context.Context, p *prober.Prober, probe prober.Probe, every time.Duration) (wire.Tally, error) {
	var t wire.Tally
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for ctx.Err() == nil {
		seen, err := p.Probe(ctx, []prober.Probe{probe})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return t, err
		}
		count(&t, seen[0].Outcome == backend.Connected, time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return t, nil
}

// count notes what became of one connection.
func count(t *wire.Tally, connected bool, now time.Time) {
	t.Attempts++
	if !connected {
		return
	}
	t.Connected++
	t.First = cmp.Or(t.First, &now)
	if t.Last != nil {
		t.LongestSilence = max(t.LongestSilence, now.Sub(*t.Last))
	}
	t.Last = &now
}
