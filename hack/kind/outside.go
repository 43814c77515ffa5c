package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// outsideLabel is on the containers of hosts outside a cluster; its value is the cluster's name. kind takes all that
	// have its own label for nodes.
	outsideLabel = "dev.palisade.outside"
	// probePackage is the program that plays a host.
	probePackage = "github.com/palisade-netpol/palisade/cmd/palisade-probe"
	// probePath is where it is in the container.
	probePath = "/palisade-probe"
)

// Outside returns the addresses of a host outside the cluster, by number: a container on the network of the nodes that
// is none, knows the way to pods, and runs palisade-probe, which answers as "external/NUMBER". The first call makes it.
func (c *Cluster) Outside(ctx context.Context, number int) ([]netip.Addr, error) {
	lock, err := lockClusters(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = lock.Close() }()
	name := c.outsideName(number)
	there, err := c.docker.Output(ctx, "ps", "--all", "--quiet", "--filter", "name=^"+name+"$")
	if err == nil && there == "" {
		err = c.makeOutside(ctx, number)
	}
	if err != nil {
		return nil, fmt.Errorf("host %s outside the cluster: %w", name, err)
	}
	text, err := c.docker.Output(ctx, "inspect", "--format",
		"{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.GlobalIPv6Address}} {{end}}", name)
	if err != nil {
		return nil, err
	}
	return parseAddrs(text)
}

func (c *Cluster) outsideName(number int) string { return c.name + "-outside-" + strconv.Itoa(number) }

func parseAddrs(text string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	for _, word := range strings.Fields(text) {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	if len(addrs) == 0 {
		return nil, errors.New("it has no address")
	}
	return addrs, nil
}

// makeOutside starts the container from the image and on the network of the nodes, and gives it routes to all pods.
func (c *Cluster) makeOutside(ctx context.Context, number int) error {
	probe := filepath.Join(c.dir, "palisade-probe")
	if _, err := os.Stat(probe); errors.Is(err, os.ErrNotExist) {
		if err := buildProbe(ctx, probe); err != nil {
			return err
		}
	}
	found, err := c.docker.Output(ctx, "inspect", "--format",
		"{{.Config.Image}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", c.nodes[0].Name)
	if err != nil {
		return err
	}
	words := strings.Fields(found)
	if len(words) < 2 {
		return fmt.Errorf("node %s has no network", c.nodes[0].Name)
	}
	if _, err := c.docker.Output(ctx, "run", "--detach", "--name", c.outsideName(number), "--label",
		outsideLabel+"="+c.name, "--network", words[1], "--volume", probe+":"+probePath+":ro", "--entrypoint", probePath,
		words[0], "serve", "--stay", "--name", "external/"+strconv.Itoa(number)); err != nil {
		return err
	}
	ways, err := routes(Node{}, c.nodes)
	if err != nil {
		return err
	}
	cmd := c.docker.Command(ctx, "exec", "--interactive", "--privileged", c.outsideName(number), "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(ways)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("routes to pods: %w %s", err, out)
	}
	return nil
}

func buildProbe(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, probePackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", probePackage, err, out)
	}
	return nil
}

// Probe runs palisade-probe with some arguments on a host outside that Outside has made, until it ends.
func (c *Cluster) Probe(ctx context.Context, number int, args []string, in io.Reader, out, log io.Writer) error {
	cmd := c.docker.Command(ctx, append([]string{"exec", "--interactive", c.outsideName(number), probePath}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, log
	return cmd.Run()
}
