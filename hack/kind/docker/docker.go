package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"
)

// probeTimeout is how long a daemon may take to say its version.
const probeTimeout = 5 * time.Second

// Docker is a daemon and the client to talk to it.
type Docker struct {
	host  string // of the client's DOCKER_HOST; "" for what the environment says
	owned bool   // the daemon is the one that this package starts
}

// Ensure returns the daemon that the environment names if it answers, else the one that this package started earlier,
// and else starts one, for which it installs packages where they are missing.
func Ensure(ctx context.Context, log io.Writer) (*Docker, error) {
	d, err := Find(ctx)
	if err == nil || !errors.Is(err, ErrNone) {
		return d, err
	}
	fmt.Fprintln(log, "no Docker daemon answers; starting one of its own")
	if err := install(ctx, log); err != nil {
		return nil, err
	}
	return start(ctx)
}

// ErrNone means that no daemon runs that could be used.
var ErrNone = errors.New("no Docker daemon runs")

// Find returns a running daemon: the one that the environment names, or the one that this package started.
func Find(ctx context.Context) (*Docker, error) {
	state, err := openState()
	if err != nil {
		return nil, err
	}
	own := state.docker()
	if d := (&Docker{}); os.Getenv("DOCKER_HOST") != own.host && d.answers(ctx) {
		return d, nil
	}
	if own.answers(ctx) {
		return own, nil
	}
	return nil, ErrNone
}

func (d *Docker) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return d.Command(ctx, "version", "--format", "{{.Server.Version}}").Run() == nil
}

// Address is where processes of this machine reach what containers publish: loopback, or the daemon's end of the veth
// pair when it is the one of this package.
func (d *Docker) Address() netip.Addr {
	if d.owned {
		return daemonAddress()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// Env is the environment for programs that call the client.
func (d *Docker) Env() []string {
	if d.host == "" {
		return os.Environ()
	}
	return append(os.Environ(), "DOCKER_HOST="+d.host)
}

// Command is a call of the client.
func (d *Docker) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = d.Env()
	return cmd
}

// Program is a call of a program that itself calls the client, and that runs where ports can be published: in the
// network namespace of the daemon.
func (d *Docker) Program(ctx context.Context, path string, args ...string) (*exec.Cmd, error) {
	if d.owned {
		s, err := openState()
		if err != nil {
			return nil, err
		}
		p, running, err := s.load()
		if err != nil {
			return nil, err
		}
		if !running {
			return nil, ErrNone
		}
		// Not `ip netns exec`, which would mount another /sys.
		args = append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", p.PID), "--", path}, args...)
		path = "nsenter"
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = d.Env()
	return cmd, nil
}

// Output calls the client and returns what it prints, without the white space around it. An error quotes what else the
// client said.
func (d *Docker) Output(ctx context.Context, args ...string) (string, error) {
	return output(d.Command(ctx, args...))
}

// Exec runs a command in a container, with an input that may be nil, and returns what it prints.
func (d *Docker) Exec(ctx context.Context, container string, input io.Reader, command ...string) (string, error) {
	args := []string{"exec"}
	if input != nil {
		args = append(args, "-i")
	}
	cmd := d.Command(ctx, append(append(args, container), command...)...)
	cmd.Stdin = input
	return output(cmd)
}

// HasImage says whether the daemon has an image of that name.
func (d *Docker) HasImage(ctx context.Context, name string) bool {
	_, err := d.Output(ctx, "image", "inspect", "--format", "{{.Id}}", name)
	return err == nil
}

func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
