package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/palisade-netpol/palisade/agent/socket"
)

// What to do when no agent answers.
const (
	fail = "fail"
	open = "open"
)

// config is the plugin's part of a network configuration. See the package comment.
type config struct {
	types.PluginConf
	Socket      string `json:"socket"`
	OnAgentDown string `json:"onAgentDown"`
	Timeout     string `json:"timeout"`

	timeout time.Duration
}

func parseConfig(data []byte) (*config, error) {
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "palisade-cni: network configuration", err.Error())
	}
	c.Socket = cmp.Or(c.Socket, "/run/palisade/agent.sock")
	c.OnAgentDown = cmp.Or(c.OnAgentDown, fail)
	if c.OnAgentDown != fail && c.OnAgentDown != open {
		return nil, invalid(fmt.Errorf("onAgentDown: %q is neither %q nor %q", c.OnAgentDown, fail, open))
	}
	var err error
	if c.timeout, err = time.ParseDuration(cmp.Or(c.Timeout, "10s")); err != nil || c.timeout <= 0 {
		return nil, invalid(fmt.Errorf("timeout: %q is no positive duration", c.Timeout))
	}
	if err := version.ParsePrevResult(&c.PluginConf); err != nil {
		return nil, invalid(err)
	}
	return &c, nil
}

func invalid(err error) error {
	return types.NewError(types.ErrInvalidNetworkConfig, "palisade-cni: network configuration", err.Error())
}

// podArgs are what kubelet's runtime says of a pod in CNI_ARGS.
type podArgs struct {
	types.CommonArgs
	K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID types.UnmarshallableString //nolint:revive // names are the runtime's
}

// podRequest says which pod it is about and what the plugin before made for it.
func podRequest(c socket.Command, args *skel.CmdArgs, conf *config) (socket.Request, error) {
	pod := podArgs{CommonArgs: types.CommonArgs{IgnoreUnknown: true}}
	if err := types.LoadArgs(args.Args, &pod); err != nil {
		return socket.Request{}, types.NewError(types.ErrInvalidEnvironmentVariables, "palisade-cni: CNI_ARGS", err.Error())
	}
	req := socket.Request{
		Command:   c,
		Namespace: string(pod.K8S_POD_NAMESPACE), Name: string(pod.K8S_POD_NAME), UID: string(pod.K8S_POD_UID),
	}
	if conf.PrevResult == nil {
		return req, invalid(errors.New("there is no result of a plugin before: palisade-cni cannot be the first"))
	}
	result, err := current.NewResultFromResult(conf.PrevResult)
	if err != nil {
		return req, invalid(err)
	}
	return req, describe(&req, result, args.IfName)
}

// describe notes the interfaces on the host, and the addresses inside the sandbox: first those of the interface that
// the runtime asks for, of which Kubernetes takes the pod's.
func describe(req *socket.Request, result *current.Result, ifName string) error {
	var others []netip.Addr
	for _, i := range result.Interfaces {
		if i.Sandbox == "" {
			req.HostInterfaces = append(req.HostInterfaces, i.Name)
		}
	}
	for _, ip := range result.IPs {
		on := interfaceOf(ip, result)
		if on != nil && on.Sandbox == "" {
			continue
		}
		addr, ok := netip.AddrFromSlice(ip.Address.IP)
		if !ok {
			return invalid(fmt.Errorf("prevResult: %s is no address", ip.Address.IP))
		}
		if on != nil && on.Name != ifName {
			others = append(others, addr.Unmap())
			continue
		}
		req.Addresses = append(req.Addresses, addr.Unmap())
	}
	req.Addresses = append(req.Addresses, others...)
	return nil
}

// interfaceOf returns the interface that has an address, nil if the result does not say.
func interfaceOf(ip *current.IPConfig, result *current.Result) *current.Interface {
	if n := ip.Interface; n != nil && *n >= 0 && *n < len(result.Interfaces) {
		return result.Interfaces[*n]
	}
	return nil
}
