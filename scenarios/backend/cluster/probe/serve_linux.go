package probe

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/ns"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/prober"
)

// Options say who a probe is. Name, Socket, NS and Log are required.
type Options struct {
	// Name is what listeners answer.
	Name string
	// Addrs are the probe's own addresses; nil means those of its interfaces.
	Addrs []netip.Addr
	// Listen are ports to listen on from the start, at all addresses.
	Listen []flow.PortProto
	// Socket is the path where requests come in.
	Socket string
	// NS is the network namespace to be in.
	NS  *ns.NS
	Log *slog.Logger
	// Ready is called once requests are taken; may be nil.
	Ready func()
}

// server is a probe that runs.
type server struct {
	Options
	mu     sync.Mutex // one request at a time
	prober *prober.Prober
	exit   chan int
}

// Serve answers requests until ctx is done, or a request ends it, whose exit code it returns.
func Serve(ctx context.Context, o Options) (code int, err error) {
	if o.Addrs == nil {
		if o.Addrs, err = prober.OwnAddrs(); err != nil {
			return 0, err
		}
	}
	s := &server{Options: o, prober: prober.NewFar(), exit: make(chan int, 1)}
	s.prober.Add(o.Name, o.NS, o.Addrs)
	defer s.prober.Close()
	if err := s.listenEverywhere(); err != nil {
		return 0, err
	}
	l, err := listen(ctx, o.Socket)
	if err != nil {
		return 0, err
	}
	if o.Ready != nil {
		o.Ready()
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { err = s.accept(ctx, l, &work) })
	select {
	case <-ctx.Done():
	case code = <-s.exit:
	}
	cancel()
	err2 := l.Close()
	work.Wait()
	return code, errors.Join(err, err2)
}

// listen takes over the socket of a probe that ran before.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var config net.ListenConfig
	return config.Listen(ctx, "unix", path)
}

func (s *server) listenEverywhere() error {
	for _, port := range s.Listen {
		for _, a := range s.Addrs {
			if err := s.prober.Listen(s.Name, port.Protocol, netip.AddrPortFrom(a, port.Port)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *server) accept(ctx context.Context, l net.Listener, work *sync.WaitGroup) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		work.Go(func() {
			defer func() { _ = c.Close() }()
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			if err := s.converse(ctx, c); err != nil {
				s.Log.Warn("a request was lost", "error", err)
			}
		})
	}
}

// converse answers one request.
func (s *server) converse(ctx context.Context, c net.Conn) error {
	var request wire.Request
	if err := json.NewDecoder(c).Decode(&request); err != nil {
		return err
	}
	s.mu.Lock()
	reply, err := s.do(ctx, request)
	s.mu.Unlock()
	if err != nil {
		reply = wire.Reply{Error: err.Error()}
	}
	if err := json.NewEncoder(c).Encode(reply); err != nil {
		return err
	}
	if request.Exit != nil {
		select {
		case s.exit <- *request.Exit:
		default:
		}
	}
	return nil
}
