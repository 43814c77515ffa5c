package plane

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/palisade-netpol/palisade/controller/publish"
	"github.com/palisade-netpol/palisade/hack/cluster"
)

// replicas is how many controllers run.
const replicas = 2

// home is the namespace of our ServiceAccounts.
const home = "kube-system"

// controller is a replica.
type controller struct {
	identity string
	process  *cluster.Process
}

// kubeconfig writes the credentials of a ServiceAccount of ours.
func (p *Plane) kubeconfig(account string) (string, error) {
	return p.cluster.Kubeconfig(cluster.ServiceAccount(home, account))
}

// startControllers starts all replicas.
func (p *Plane) startControllers() error {
	for range replicas {
		if err := p.startController(); err != nil {
			return err
		}
	}
	return nil
}

// startController starts one more replica. Its Lease is short, so that another one takes over soon if it is killed.
func (p *Plane) startController() error {
	kubeconfig, err := p.kubeconfig(controllerProgram)
	if err != nil {
		return err
	}
	p.started++
	c := &controller{identity: fmt.Sprintf("%s-%d", controllerProgram, p.started)}
	c.process, err = p.cluster.Run(cluster.Program{
		Name: c.identity, Path: p.program(controllerProgram),
		Args: []string{
			"--kubeconfig", kubeconfig, "--identity", c.identity, "--namespace", home, "--listen", "127.0.0.1:0",
			"--lease-duration", "2s", "--lease-renew-deadline", "1500ms", "--lease-retry-period", "200ms",
		},
	})
	if err != nil {
		return err
	}
	p.controllers = append(p.controllers, c)
	return nil
}

var errNoLeader = errors.New("no controller of this control plane leads")

// KillLeader kills the controller that leads, as a crash would, and starts another one in its place, which is not to lead
// before the Lease has run out.
func (p *Plane) KillLeader(ctx context.Context) error {
	lease, err := p.cluster.Client().CoordinationV1().Leases(home).Get(ctx, publish.LeaseName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("find the leader: %w", err)
	}
	for i, c := range p.controllers {
		if lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity == c.identity {
			c.process.Kill()
			p.controllers = append(p.controllers[:i:i], p.controllers[i+1:]...)
			return p.startController()
		}
	}
	return errNoLeader
}

// StopControllers ends all replicas: nobody publishes until the next Write.
func (p *Plane) StopControllers() {
	for _, c := range p.controllers {
		c.process.Kill()
	}
}

// revive starts a replica for each one that has ended, as a Deployment does.
func (p *Plane) revive() error {
	for i := 0; i < len(p.controllers); {
		select {
		case <-p.controllers[i].process.Done():
			p.controllers = append(p.controllers[:i:i], p.controllers[i+1:]...)
			if err := p.startController(); err != nil {
				return err
			}
		default:
			i++
		}
	}
	return nil
}
