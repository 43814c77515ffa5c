package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/probe"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
)

// serve answers connections and requests until it is stopped, or a request says with which code to exit.
func serve(ctx context.Context, args []string, log io.Writer) (int, error) {
	o := probe.Options{NS: ns.Own(), Log: slog.New(slog.NewTextHandler(log, nil))}
	flags := newFlags("serve")
	flags.StringVar(&o.Name, "name", "", "`NAME` to answer with")
	flags.StringVar(&o.Socket, "socket", socket, "`PATH` of the socket for requests")
	listen := flags.String("listen", "", "`PORTS` to listen on at once, for example TCP/80,UDP/53")
	addrs := flags.String("addresses", "", "own `ADDRESSES`, separated by commas (default: those of the interfaces)")
	stay := flags.Bool("stay", false, "go on after SIGTERM, as long as the grace period of the pod lasts")
	if err := flags.Parse(args); err != nil {
		return 2, err
	}
	var err error
	if o.Listen, err = parseList(*listen, flow.ParsePortProto); err != nil {
		return 2, err
	}
	if o.Addrs, err = parseList(*addrs, netip.ParseAddr); err != nil {
		return 2, err
	}
	ctx, stop := untilStopped(ctx, *stay)
	defer stop()
	return probe.Serve(ctx, o)
}

func newFlags(command string) *flag.FlagSet {
	return flag.NewFlagSet("palisade-probe "+command, flag.ContinueOnError)
}

// parseList parses words separated by commas.
func parseList[T any](text string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for word := range strings.SplitSeq(text, ",") {
		if word == "" {
			continue
		}
		one, err := parse(word)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// ask brings a request to the probe that serves.
func ask(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := newFlags("probe")
	path := flags.String("socket", socket, "`PATH` of the socket of the probe that serves")
	stream := flags.Bool("stream", false, "take requests from standard input until it ends, and print a reply to each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *stream {
		return askAll(ctx, *path, in, out)
	}
	text := []byte(flags.Arg(0))
	if flags.NArg() == 0 {
		var err error
		if text, err = io.ReadAll(in); err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
	}
	r, err := parseRequest(text)
	if err != nil {
		return err
	}
	reply, err := probe.Ask(ctx, *path, r)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(reply)
}

// askAll brings requests to the probe that serves, one after the other. What goes wrong with one is its reply.
func askAll(ctx context.Context, path string, in io.Reader, out io.Writer) error {
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r wire.Request
		if err := requests.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		reply, err := probe.Ask(ctx, path, r)
		if err != nil {
			reply = wire.Reply{Error: err.Error()}
		}
		if err := replies.Encode(reply); err != nil {
			return err
		}
	}
}

// parseRequest reads a request, or the list of its targets.
func parseRequest(text []byte) (r wire.Request, err error) {
	into := any(&r)
	if strings.HasPrefix(strings.TrimSpace(string(text)), "[") {
		into = &r.Probes
	}
	if err := json.Unmarshal(text, into); err != nil {
		return r, fmt.Errorf("read a request: %w", err)
	}
	return r, nil
}

// exit does nothing else, for containers that only have to end.
func exit(args []string) (int, error) {
	if len(args) == 0 {
		return 0, nil
	}
	code, err := strconv.Atoi(args[0])
	if err != nil {
		return 2, fmt.Errorf("exit code: %w", err)
	}
	return code, nil
}
