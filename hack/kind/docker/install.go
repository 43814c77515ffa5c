package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

// install makes sure of the programs that a daemon of its own needs.
func install(ctx context.Context, log io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("start a Docker daemon: only root can; start one yourself, or be root")
	}
	missing := slices.DeleteFunc([]string{"docker", "dockerd", "containerd", "runc", "iptables"}, installed)
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintf(log, "installing docker.io of Debian, for %v\n", missing)
	return Install(ctx, "docker.io", "iptables")
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Install installs Debian packages. Services in them are not started.
func Install(ctx context.Context, packages ...string) (err error) {
	if !installed("apt-get") {
		return fmt.Errorf("install %v: this machine has no apt-get; install them yourself", packages)
	}
	unmask, err := maskServices(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmask()) }()
	if _, err := aptGet(ctx, "update"); err != nil {
		return err
	}
	_, err = aptGet(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, packages...)...)
	return err
}

func aptGet(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return output(cmd)
}

// maskServices keeps systemd, where it runs, from starting what is being installed, and returns how to lift that.
func maskServices(ctx context.Context) (func() error, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return func() error { return nil }, nil
	}
	services := []string{"docker.service", "docker.socket", "containerd.service"}
	if _, err := output(exec.CommandContext(ctx, "systemctl",
		append([]string{"mask", "--runtime"}, services...)...)); err != nil {
		return nil, err
	}
	return func() error {
		_, err := output(exec.Command("systemctl", append([]string{"unmask", "--runtime"}, services...)...))
		return err
	}, nil
}
