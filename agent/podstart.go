package agent

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/palisade-netpol/palisade/agent/core"
	"github.com/palisade-netpol/palisade/agent/hostnet"
	"github.com/palisade-netpol/palisade/agent/metrics"
	"github.com/palisade-netpol/palisade/agent/socket"
)

// answerMargin is how long before its deadline a request is answered with what is missing, instead of with silence.
const answerMargin = 200 * time.Millisecond

// podStart answers the CNI plugin.
type podStart struct {
	loop     *loop
	metrics  *metrics.Metrics
	prefixes []string
}

// handle answers one request. DEL needs nothing: the interface stays filtered until it is gone, and that is noticed.
func (p *podStart) handle(ctx context.Context, req socket.Request) (programmed bool, err error) {
	switch req.Command {
	case socket.Add:
		return p.add(ctx, req)
	case socket.Check:
		return p.check(ctx, req)
	case socket.Status:
		if !p.loop.ready.Load() {
			return false, errors.New("policies are not in force yet")
		}
	}
	return false, nil
}

func (p *podStart) add(ctx context.Context, req socket.Request) (bool, error) {
	start := time.Now()
	defer func() { p.metrics.Started(time.Since(start)) }()
	link, err := p.locate(req)
	if err != nil {
		return false, err
	}
	pod := core.Pod{Namespace: req.Namespace, Name: req.Name, UID: req.UID, Ifindex: link.Ifindex}
	for _, a := range req.Addresses {
		pod.Addrs = append(pod.Addrs, a.Unmap())
	}
	deadline, _ := ctx.Deadline()
	answer, err := p.loop.ask(ctx, func(id uint64) core.Input {
		return core.PodAdded{Request: id, Pod: pod, Link: link, Deadline: deadline.Add(-answerMargin)}
	})
	return answer.Programmed, err
}

func (p *podStart) check(ctx context.Context, req socket.Request) (bool, error) {
	link, err := p.locate(req)
	if err != nil {
		return false, err
	}
	answer, err := p.loop.ask(ctx, func(id uint64) core.Input {
		return core.PodChecked{Request: id, Ifindex: link.Ifindex}
	})
	return answer.Programmed, err
}

// locate finds the host's side of the pod's veth: what the network plugin made, else what its rule of names or the
// route to the pod's address leads to.
func (p *podStart) locate(req socket.Request) (core.Link, error) {
	pod := core.Name{Namespace: req.Namespace, Name: req.Name}
	names := append(req.HostInterfaces, core.ByName{Prefixes: p.prefixes}.LinkNames(pod)...)
	var errs []error
	for _, name := range names {
		link, err := hostnet.ByName(name)
		if err == nil && link.Veth {
			return link, nil
		}
		errs = append(errs, err)
	}
	return byRoute(req.Addresses, errs)
}

func byRoute(addrs []netip.Addr, errs []error) (core.Link, error) {
	for _, a := range addrs {
		link, err := hostnet.ByRoute(a)
		if err == nil && link.Veth {
			return link, nil
		}
		errs = append(errs, err)
	}
	return core.Link{}, errors.Join(append([]error{errors.New("cannot find the pod's interface on the host")}, errs...)...)
}
