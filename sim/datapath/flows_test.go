package datapath_test

import (
	"slices"
	"testing"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/sim/datapath"
	"github.com/palisade-netpol/palisade/sim/frame"
)

var flowCases = []flowCase{
	{"reply of an allowed connection passes an isolated pod (case 71)", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonReply),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonReply),
	}},
	{"a flow one way says nothing about new ones the other way (case 72)", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.First, 4000, 80, bpf.ReasonClosed),
		in(flow.TCP, frame.Later, 4001, 80, bpf.ReasonClosed),
		in(flow.UDP, frame.Later, 4000, 80, bpf.ReasonClosed),
	}},
	{"a denied first packet leaves nothing behind", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 81, bpf.ReasonNoRule),
		in(flow.TCP, frame.Answer, 4000, 81, bpf.ReasonClosed),
	}},
	{"replies of a served connection pass the egress of an isolated pod", []step{
		policy("closed", "peer:80"),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy),
		out(flow.TCP, frame.Answer, 80, 5000, bpf.ReasonReply),
		out(flow.TCP, frame.First, 80, 5000, bpf.ReasonClosed),
	}},
	{"UDP reply passes, another port does not", []step{
		policy("peer:80", "closed"),
		out(flow.UDP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.UDP, frame.First, 4000, 80, bpf.ReasonReply),
		in(flow.UDP, frame.First, 4000, 81, bpf.ReasonClosed),
	}},
	{"a revoked flow stops with its next packet, both ways", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonReply),
		policy("closed", "closed"),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed),
	}},
	{"a policy change that still allows the flow does not cut it", []step{
		policy("open", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonNotIsolated),
		policy("peer:80", "closed"),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonReply),
	}},
	{"a flow older than the first policy goes on (aws-network-policy-agent#345)", []step{
		policy("open", "open"),
		out(flow.TCP, frame.First, 4000, 9000, bpf.ReasonNotIsolated),
		out(flow.UDP, frame.First, 4000, 9000, bpf.ReasonNotIsolated),
		policy("open", "closed"),
		in(flow.TCP, frame.Later, 4000, 9000, bpf.ReasonReply),
		in(flow.UDP, frame.Later, 4000, 9000, bpf.ReasonReply),
	}},
	{"a served UDP flow does not come back as the pod's own when it is revoked", []step{
		policy("open", "peer:80"),
		in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy),
		out(flow.UDP, frame.First, 80, 5000, bpf.ReasonNotIsolated),
		policy("open", "closed"),
		in(flow.UDP, frame.First, 80, 5000, bpf.ReasonClosed),
	}},
	{"nor does an answer that is late open it the other way", []step{
		policy("open", "peer:80"),
		in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy),
		policy("open", "closed"),
		out(flow.UDP, frame.First, 80, 5000, bpf.ReasonNotIsolated),
		in(flow.UDP, frame.First, 80, 5000, bpf.ReasonClosed),
		out(flow.UDP, frame.First, 80, 5001, bpf.ReasonNotIsolated), // where no question was known it opens one
		in(flow.UDP, frame.First, 80, 5001, bpf.ReasonReply),
		policy("open", "peer:80"),
		policy("closed", "peer:80"),
		out(flow.UDP, frame.First, 80, 5000, bpf.ReasonReply), // and allowed again, the flow is what it was
	}},
	{"the node reaches its pods, and gets its answers (case 33)", []step{
		policy("closed", "closed"),
		in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonClosed),
		node(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		out(flow.TCP, frame.Answer, 8080, 6000, bpf.ReasonReply),
	}},
	{"what the node has opened is answered under every policy, whatever address it has", []step{
		policy("closed", "peer:80"),
		node(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		node(in(flow.UDP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		in(flow.TCP, frame.First, 80, 7000, bpf.ReasonPolicy),
		policy("closed", "closed"),
		out(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonReply),
		out(flow.UDP, frame.First, 8080, 6000, bpf.ReasonReply),
		about(out(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonRelated)),
		in(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonClosed), // that others send it is no answer
		out(flow.TCP, frame.Later, 80, 7000, bpf.ReasonClosed),  // and what others have opened is revoked
	}},
	{"what the pod and its node have opened between the same ports lives and ends apart", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonReply),
		node(in(flow.TCP, frame.First, 4000, 80, bpf.ReasonFromNode)),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonReply),
		policy("closed", "closed"),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonReply),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed),
	}},
	{"SCTP: INIT ACK is a reply, INIT is not", []step{
		policy("open", "closed"),
		out(flow.SCTP, frame.First, 4000, 80, bpf.ReasonNotIsolated),
		in(flow.SCTP, frame.Answer, 4000, 80, bpf.ReasonReply),
		in(flow.SCTP, frame.First, 4000, 80, bpf.ReasonClosed),
	}},
	{"echo reply belongs to the echo request of the same identifier", []step{
		policy("open", "closed"),
		out(flow.ICMP, frame.First, 7, 7, bpf.ReasonNotIsolated),
		in(flow.ICMP, frame.Answer, 7, 7, bpf.ReasonReply),
		in(flow.ICMP, frame.Answer, 8, 8, bpf.ReasonClosed),
		in(flow.ICMP, frame.First, 7, 7, bpf.ReasonClosed),
	}},
	{"a later fragment follows its first one (case 78)", []step{
		policy("closed", "peer:80"),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonFragment), 1, 24),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy), 0, 24),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonLaterFragment), 1, 24),
		fragment(in(flow.UDP, frame.First, 81, 5000, bpf.ReasonNoRule), 0, 24),
	}},
	{"a fragment of a denied datagram is dropped", []step{
		policy("closed", "peer:80"),
		fragment(in(flow.UDP, frame.First, 81, 5000, bpf.ReasonNoRule), 0, 24),
		fragment(in(flow.UDP, frame.First, 81, 5000, bpf.ReasonFragment), 1, 24),
	}},
	{"a datagram says nothing of one of another protocol, nor of one the other way", []step{
		policy("peer:80", "peer:80"),
		fragment(out(flow.UDP, frame.First, 80, 80, bpf.ReasonPolicy), 0, 24),
		fragment(out(flow.UDP, frame.First, 80, 80, bpf.ReasonLaterFragment), 1, 24),
		fragment(out(flow.TCP, frame.First, 80, 80, bpf.ReasonFragment), 1, 24),
		fragment(in(flow.UDP, frame.First, 80, 80, bpf.ReasonFragment), 1, 24),
	}},
	{"a datagram whose first fragment passed is not completed under another policy", []step{
		policy("closed", "peer:80"),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy), 0, 24),
		policy("open", "peer:80"),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonFragment), 1, 24),
	}},
	{"a later fragment of a reply follows its first one", []step{
		policy("open", "closed"),
		out(flow.UDP, frame.First, 4000, 53, bpf.ReasonNotIsolated),
		fragment(in(flow.UDP, frame.First, 4000, 53, bpf.ReasonReply), 0, 24),
		fragment(in(flow.UDP, frame.First, 4000, 53, bpf.ReasonLaterFragment), 1, 24),
	}},
	{"a SYN in pieces of 8 bytes passes nowhere", []step{
		policy("peer:80", "peer:80"),
		fragment(in(flow.TCP, frame.First, 80, 5000, bpf.ReasonFragment), 0, 8),
		fragment(in(flow.TCP, frame.First, 80, 5000, bpf.ReasonMalformed), 1, 8),
		fragment(out(flow.TCP, frame.First, 4000, 80, bpf.ReasonFragment), 0, 8),
	}},
	{"an ICMP error about an allowed flow passes (case 76)", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		about(out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonRelated)),
		about(out(flow.TCP, frame.Later, 4001, 80, bpf.ReasonClosed)),
		about(out(flow.UDP, frame.Later, 4000, 80, bpf.ReasonClosed)),
		policy("closed", "closed"),
		about(out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed)),
	}},
	{"an ICMP error about a served flow passes, the pod's own included", []step{
		policy("closed", "peer:80"),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy),
		about(out(flow.TCP, frame.Answer, 80, 5000, bpf.ReasonRelated)),
	}},
	{"an ICMP error about a served flow stops with the flow", []step{
		policy("closed", "peer:80"),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy),
		about(out(flow.TCP, frame.Answer, 80, 5000, bpf.ReasonRelated)),
		policy("closed", "closed"),
		about(out(flow.TCP, frame.Answer, 80, 5000, bpf.ReasonClosed)),
	}},
	{"an ICMP error about a fragment belongs to the flow of the datagram, where the fragment has the ports", []step{
		policy("closed", "peer:80"),
		in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy),
		about(fragment(out(flow.UDP, frame.First, 80, 5000, bpf.ReasonRelated), 0, 24)),
		about(fragment(out(flow.UDP, frame.First, 80, 5000, bpf.ReasonNoRule), 1, 24)),
		about(fragment(out(flow.UDP, frame.First, 80, 5001, bpf.ReasonNoRule), 0, 24)),
	}},
	{"an ICMP error goes to the sender of what it is about, and nowhere else", []step{
		policy("closed", "closed"),
		node(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		refused(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonRelated)),
		elsewhere(refused(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonClosed))),
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		refused(in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonRelated)),
		elsewhere(refused(in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonNoRule))),
		about(out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonRelated)),
		elsewhere(about(out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed))),
	}},
	{"the node's last words in a connection of its own may come without a socket", []step{
		policy("closed", "closed"),
		stack(in(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonClosed)),
		node(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		node(in(flow.UDP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		stack(in(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonFromNode)),
		stack(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonClosed)),
		stack(in(flow.TCP, frame.Later, 8080, 6001, bpf.ReasonClosed)),
		stack(in(flow.UDP, frame.First, 8080, 6000, bpf.ReasonClosed)),
		in(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonClosed),
		policy("closed", "peer:80"),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy),
		policy("closed", "closed"),
		stack(in(flow.TCP, frame.Later, 80, 5000, bpf.ReasonClosed)),
	}},
	{"nor is the node's last word taken for the answer to what the pod opened between the same ports", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		node(in(flow.TCP, frame.First, 4000, 80, bpf.ReasonFromNode)),
		stack(in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonFromNode)),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonPolicy),
	}},
	{"a connection of which nothing is known any more is the pod's, and revoked, if the pod may open one to there", []step{
		policy("peer:80", "closed"),
		node(in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonFromNode)),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonPolicy),
		policy("closed", "closed"),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed),
	}},
	{"the last word of the node is that of its connection, whatever passed between the same ports just now", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonReply),
		node(in(flow.TCP, frame.First, 4000, 80, bpf.ReasonFromNode)),
		stack(in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonFromNode)),
	}},
	{"a connection of the node that is older than what is known of it heals with the node's next packet", []step{
		policy("closed", "closed"),
		out(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonClosed),
		node(in(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonFromNode)),
		out(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonReply),
		out(flow.TCP, frame.Later, 8080, 6001, bpf.ReasonClosed),
	}},
	{"a rule for ports says nothing about protocols without ports", []step{
		policy("peer:80", "peer:80"),
		out(flow.ICMP, frame.First, 7, 7, bpf.ReasonNoRule),
		in(flow.ICMP, frame.First, 7, 7, bpf.ReasonNoRule),
	}},
}

// keptCases are played where established flows are kept.
var keptCases = []flowCase{
	{"a revoked flow goes on both ways, and new ones do not begin", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonReply),
		policy("closed", "closed"),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonEstablished),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonEstablished),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonEstablished),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonClosed),
		out(flow.TCP, frame.First, 4001, 80, bpf.ReasonClosed),
		out(flow.TCP, frame.Later, 4001, 80, bpf.ReasonClosed),
		in(flow.TCP, frame.First, 4000, 80, bpf.ReasonClosed),
	}},
	{"a flow that is allowed again is an ordinary one again", []step{
		policy("closed", "peer:80"),
		in(flow.TCP, frame.First, 80, 4000, bpf.ReasonPolicy),
		policy("closed", "closed"),
		out(flow.TCP, frame.Later, 80, 4000, bpf.ReasonEstablished),
		policy("closed", "peer:80"),
		out(flow.TCP, frame.Later, 80, 4000, bpf.ReasonReply),
		in(flow.TCP, frame.Later, 80, 4000, bpf.ReasonPolicy),
	}},
	{"what a pod had opened before its first policy goes on", []step{
		policy("open", "open"),
		out(flow.UDP, frame.First, 4000, 53, bpf.ReasonNotIsolated),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonNotIsolated),
		policy("closed", "closed"),
		in(flow.UDP, frame.First, 4000, 53, bpf.ReasonEstablished),
		out(flow.UDP, frame.First, 4000, 53, bpf.ReasonEstablished),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonEstablished),
		in(flow.UDP, frame.First, 4001, 53, bpf.ReasonClosed),
	}},
}

// healingCases are about connections that are not known any more.
var healingCases = []flowCase{
	{"a connection that is older than what is known of it heals (one packet is lost)", []step{
		policy("peer:80", "closed"),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonPolicy),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonReply),
		in(flow.TCP, frame.Later, 4000, 81, bpf.ReasonClosed),
	}},
}

// fewCases are played where flows are remembered only if the pod is isolated in the other direction.
var fewCases = []flowCase{
	{"what a pod opened while its ingress was open is not known afterwards, and does not heal", []step{
		policy("open", "open"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonNotIsolated),
		out(flow.UDP, frame.First, 4000, 80, bpf.ReasonNotIsolated),
		out(flow.SCTP, frame.First, 4000, 80, bpf.ReasonNotIsolated),
		out(flow.ICMP, frame.First, 7, 7, bpf.ReasonNotIsolated),
		policy("open", "closed"),
		in(flow.UDP, frame.First, 4000, 80, bpf.ReasonClosed),
		in(flow.ICMP, frame.Answer, 7, 7, bpf.ReasonClosed),
		about(out(flow.TCP, frame.First, 4000, 80, bpf.ReasonClosed)),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonClosed),
		in(flow.SCTP, frame.Answer, 4000, 80, bpf.ReasonClosed),
		out(flow.TCP, frame.Later, 4000, 80, bpf.ReasonNotIsolated),
		out(flow.SCTP, frame.Later, 4000, 80, bpf.ReasonNotIsolated),
		in(flow.TCP, frame.Later, 4000, 80, bpf.ReasonClosed),
		in(flow.SCTP, frame.Later, 4000, 80, bpf.ReasonClosed),
	}},
	{"nor is what a rule allowed", []step{
		policy("peer:80", "open"),
		out(flow.TCP, frame.First, 4000, 80, bpf.ReasonPolicy),
		out(flow.UDP, frame.First, 4000, 80, bpf.ReasonPolicy),
		policy("peer:80", "closed"),
		in(flow.UDP, frame.First, 4000, 80, bpf.ReasonClosed),
		in(flow.TCP, frame.Answer, 4000, 80, bpf.ReasonClosed),
		out(flow.UDP, frame.First, 4000, 80, bpf.ReasonPolicy), // from here on it is
		in(flow.UDP, frame.First, 4000, 80, bpf.ReasonReply),
	}},
	{"nor what it served while its egress was open", []step{
		policy("open", "peer:80"),
		in(flow.TCP, frame.First, 80, 5000, bpf.ReasonPolicy),
		in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy),
		policy("closed", "peer:80"),
		out(flow.UDP, frame.First, 80, 5000, bpf.ReasonClosed),
		out(flow.TCP, frame.Answer, 80, 5000, bpf.ReasonClosed),
		in(flow.TCP, frame.Later, 80, 5000, bpf.ReasonPolicy),
		out(flow.TCP, frame.Later, 80, 5000, bpf.ReasonClosed),
	}},
	{"nor what its node opened, until the node's next packet", []step{
		policy("open", "closed"),
		node(in(flow.TCP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		node(in(flow.UDP, frame.First, 8080, 6000, bpf.ReasonFromNode)),
		policy("closed", "closed"),
		out(flow.UDP, frame.First, 8080, 6000, bpf.ReasonClosed),
		out(flow.TCP, frame.Answer, 8080, 6000, bpf.ReasonClosed),
		node(in(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonFromNode)),
		out(flow.TCP, frame.Later, 8080, 6000, bpf.ReasonReply),
	}},
	{"a later fragment follows its first one, whether the other direction is isolated or not", []step{
		policy("open", "peer:80"),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonPolicy), 0, 24),
		fragment(in(flow.UDP, frame.First, 80, 5000, bpf.ReasonLaterFragment), 1, 24),
	}},
}

// TestFlows plays each case on the twin and, as root, in the kernel, over IPv4 and over IPv6.
func TestFlows(t *testing.T) { playFlows(t, slices.Concat(flowCases, healingCases), plain) }

// TestKeptFlows does the same where flows are kept that a policy does not allow any more.
func TestKeptFlows(t *testing.T) { playFlows(t, keptCases, keeping) }

// TestFlowsOfIsolatedPodsOnly does the same where flows are remembered only if the pod is isolated in the other direction: those are what
// they are without the option, and of others nothing is known.
func TestFlowsOfIsolatedPodsOnly(t *testing.T) {
	cases := slices.DeleteFunc(slices.Clone(flowCases), func(c flowCase) bool { return !opensWhereAnswersArePoliced(c) })
	if len(cases) < len(flowCases)*3/4 {
		t.Errorf("only %d of %d cases are about the isolated", len(cases), len(flowCases))
	}
	playFlows(t, slices.Concat(cases, fewCases), bpf.Options{TrackIsolatedOnly: true})
}

// opensWhereAnswersArePoliced says that whatever passes by itself, and could open a flow, does so where the pod is isolated in the other direction.
func opensWhereAnswersArePoliced(c flowCase) bool {
	var now *bpf.Image
	for _, s := range c.steps {
		if s.policy != nil {
			now = s.policy
			continue
		}
		byItself := s.want == bpf.ReasonPolicy || s.want == bpf.ReasonNotIsolated || s.want == bpf.ReasonFromNode
		if byItself && now.Pods[0].Sets[s.dir.Opposite()] == bpf.SetOpen {
			return false
		}
	}
	return true
}

// TestUDPTimesOut: a reply that comes more than three minutes after the flow's last packet, which may be a reply too, is none.
func TestUDPTimesOut(t *testing.T) {
	w := &twin{now: time.Hour}
	w.Datapath = datapath.New(bpf.Standard, func() time.Duration { return w.now })
	steps := []step{policy("peer:80", "closed"), out(flow.UDP, frame.First, 4000, 80, bpf.ReasonPolicy)}
	playSteps(t, w, steps, podIP, peerIP)
	for range 2 {
		w.now += 180 * time.Second
		playSteps(t, w, []step{in(flow.UDP, frame.First, 4000, 80, bpf.ReasonReply)}, podIP, peerIP)
	}
	w.now += 181 * time.Second
	playSteps(t, w, []step{in(flow.UDP, frame.First, 4000, 80, bpf.ReasonClosed)}, podIP, peerIP)
}

// TestDeniedPacketsKeepNothingAlive: a question that was allowed once is forgotten three minutes after the last one that was, whoever goes on
// asking; allowed again, only the pod's next packet makes it a flow.
func TestDeniedPacketsKeepNothingAlive(t *testing.T) {
	w := &twin{now: time.Hour}
	w.Datapath = datapath.New(bpf.Standard, func() time.Duration { return w.now })
	question := out(flow.UDP, frame.First, 4000, 80, bpf.ReasonPolicy)
	denied, answer := in(flow.UDP, frame.First, 4000, 80, bpf.ReasonClosed), in(flow.UDP, frame.First, 4000, 80, bpf.ReasonReply)
	playSteps(t, w, []step{policy("peer:80", "closed"), question, answer, policy("closed", "closed")}, podIP, peerIP)
	for range 10 {
		w.now += time.Minute
		playSteps(t, w, []step{denied}, podIP, peerIP)
	}
	playSteps(t, w, []step{policy("peer:80", "closed"), denied, question, answer}, podIP, peerIP)
}
