package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/palisade-netpol/palisade/scenarios/backend/cluster/wire"
)

// target is a container in which a probe serves.
type target struct{ namespace, pod, container string }

func (t target) String() string { return fmt.Sprintf("%s/%s (%s)", t.namespace, t.pod, t.container) }

// runner runs palisade-probe with some arguments in the container of a pod until it ends. in may be nil.
type runner func(ctx context.Context, t target, args []string, in io.Reader, out, log io.Writer) error

// link is the way to a probe: one program in its container that brings requests, one per line, and replies. It is
// started with the first request and stays, so that a step costs no new process in every pod. Its methods are safe
// for concurrent use.
type link struct {
	target
	run runner

	mu   sync.Mutex
	conn *connection // nil while there is none
}

// connection is a program that runs.
type connection struct {
	stop  context.CancelFunc
	in    *io.PipeWriter
	out   *io.PipeReader
	reply *json.Decoder
	ended chan struct{} // closed when the program has ended
	err   error         // then: why
}

// ask sends a request and returns the reply. A link that has broken is made again, once.
func (l *link) ask(ctx context.Context, r wire.Request) (wire.Reply, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	reused := l.conn != nil
	reply, err := l.try(ctx, r)
	if err != nil && reused && ctx.Err() == nil {
		reply, err = l.try(ctx, r)
	}
	if err == nil && reply.Error != "" {
		err = errors.New(reply.Error)
	}
	if err != nil {
		return wire.Reply{}, fmt.Errorf("probe in pod %s: %w", l.target, err)
	}
	return reply, nil
}

func (l *link) try(ctx context.Context, r wire.Request) (reply wire.Reply, err error) {
	if ctx.Err() != nil {
		return reply, context.Cause(ctx)
	}
	if l.conn == nil {
		l.conn = l.open()
	}
	c := l.conn
	defer context.AfterFunc(ctx, c.stop)()
	if err = json.NewEncoder(c.in).Encode(r); err == nil {
		err = c.reply.Decode(&reply)
	}
	if err == nil {
		return reply, nil
	}
	l.hangUp()
	if ctx.Err() != nil {
		return reply, context.Cause(ctx)
	}
	return reply, errors.Join(c.err, err)
}

// open starts the program.
func (l *link) open() *connection {
	ctx, stop := context.WithCancel(context.Background())
	in, toProgram := io.Pipe()
	fromProgram, out := io.Pipe()
	c := &connection{
		stop: stop, in: toProgram, out: fromProgram, reply: json.NewDecoder(fromProgram), ended: make(chan struct{}),
	}
	go func() {
		defer close(c.ended)
		var log bytes.Buffer
		c.err = l.run(ctx, l.target, []string{"probe", "--stream"}, in, out, &log)
		if text := strings.TrimSpace(log.String()); text != "" {
			c.err = errors.Join(c.err, errors.New(text))
		}
		_ = in.Close()
		_ = out.CloseWithError(io.ErrUnexpectedEOF)
	}()
	return c
}

// parting is how long a program may take to end by itself, which it does when its input ends.
const parting = 5 * time.Second

// hangUp ends the program, if one runs.
func (l *link) hangUp() {
	c := l.conn
	if c == nil {
		return
	}
	l.conn = nil
	_ = c.in.Close()
	defer time.AfterFunc(parting, c.stop).Stop()
	<-c.ended
	c.stop()
}

// close ends the program; there may be no link.
func (l *link) close() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangUp()
}

// execIn starts programs as kubectl exec does: through the API server and the kubelet, over a WebSocket, or SPDY
// where a proxy on the way does not know the former.
func execIn(config *rest.Config, client rest.Interface) runner {
	return func(ctx context.Context, t target, args []string, in io.Reader, out, log io.Writer) error {
		url := client.Post().Resource("pods").Namespace(t.namespace).Name(t.pod).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{
				Container: t.container, Command: append([]string{"/palisade-probe"}, args...),
				Stdin: in != nil, Stdout: true, Stderr: true,
			}, scheme.ParameterCodec).URL()
		socket, err := remotecommand.NewWebSocketExecutor(config, "GET", url.String())
		if err != nil {
			return err
		}
		spdy, err := remotecommand.NewSPDYExecutor(config, "POST", url)
		if err != nil {
			return err
		}
		either, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
		if err != nil {
			return err
		}
		// What goes wrong is returned; the library would print it as well.
		ctx = klog.NewContext(ctx, logr.Discard())
		return either.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: log})
	}
}
