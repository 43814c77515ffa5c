package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/palisade-netpol/palisade/agent/socket"
)

// unavailable is the error code of the CNI specification for a plugin that cannot serve ADD at the moment.
const unavailable = 50

// retry is how often an agent that does not answer is asked again.
const retry = 100 * time.Millisecond

// add returns when the pod's interface is filtered, and passes the result of the plugin before on.
func add(args *skel.CmdArgs) error {
	conf, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	req, err := podRequest(socket.Add, args, conf)
	if err != nil {
		return err
	}
	if err := conf.ask(req); err != nil {
		return err
	}
	return types.PrintResult(conf.PrevResult, conf.CNIVersion)
}

// check returns nil if the pod's interface is filtered.
func check(args *skel.CmdArgs) error {
	conf, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	req, err := podRequest(socket.Check, args, conf)
	if err != nil {
		return err
	}
	return conf.ask(req)
}

// status returns nil if pods can be started.
func status(args *skel.CmdArgs) error {
	conf, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	if err := conf.ask(socket.Request{Command: socket.Status}); err != nil {
		return types.NewError(unavailable, "pods cannot be filtered", err.Error())
	}
	return nil
}

// ask asks the agent, within the timeout. If there is no answer, the configuration decides.
func (c *config) ask(req socket.Request) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	resp, err := c.call(ctx, req)
	switch {
	case errors.Is(err, socket.ErrDown) && c.OnAgentDown == open:
		fmt.Fprintf(os.Stderr, "palisade-cni: %s/%s starts unfiltered: %v\n", req.Namespace, req.Name, err)
		return nil
	case err != nil:
		return types.NewError(types.ErrTryAgainLater, "palisade-cni: "+req.Namespace+"/"+req.Name, err.Error())
	}
	fmt.Fprintf(os.Stderr, "palisade-cni: %s/%s filtered after %s, policies in force: %v\n",
		req.Namespace, req.Name, resp.Took, resp.Programmed)
	return nil
}

// call asks until there is an answer: while an agent is replaced, nobody answers for some seconds.
func (c *config) call(ctx context.Context, req socket.Request) (socket.Response, error) {
	ticker := time.NewTicker(retry)
	defer ticker.Stop()
	for {
		resp, err := socket.Call(ctx, c.Socket, req)
		if !errors.Is(err, socket.ErrDown) {
			return resp, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return resp, err
		}
	}
}
