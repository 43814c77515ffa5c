package packets

import (
	"fmt"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/sim/datapath"
)

// Duel sends the same packets through the programs in the kernel and through their twin in Go.
type Duel struct {
	kernel   *bpf.Harness
	twin     *datapath.Datapath
	instance uint32
}

// Difference is a packet on which kernel and twin are not of one opinion.
type Difference struct {
	Packet
	Kernel, Twin bpf.Outcome
}

// Error says who says what about which packet.
func (d *Difference) Error() string {
	return fmt.Sprintf("%s at interface %d, from its node: %v, without a socket: %v, %x: kernel says %s %+v, twin %s %+v",
		d.Direction, d.Ifindex, d.FromNode, d.Socketless, d.Frame, d.Kernel.Reason, d.Kernel, d.Twin.Reason, d.Twin)
}

// NewDuel loads the programs. It needs root on Linux.
func NewDuel() (*Duel, error) {
	h, err := bpf.NewHarness(bpf.Capacity{Flows: 1 << 20}, bpf.Standard) // so many that none gives way, which the twin does not know
	if err != nil {
		return nil, err
	}
	return &Duel{kernel: h}, nil
}

// Close unloads the programs.
func (d *Duel) Close() error { return d.kernel.Close() }

// Start forgets all flows.
func (d *Duel) Start() {
	d.twin = datapath.New(bpf.Standard, func() time.Duration { return time.Hour })
	d.instance += 100 // for the kernel
}

// Load switches both to the policies of a cluster; flows go on. See Image for capacity.
func (d *Duel) Load(c *model.Cluster, capacity bpf.Capacity) (*bpf.Image, error) {
	img, err := Image(c, d.instance, capacity)
	if err != nil {
		return nil, err
	}
	d.twin.Load(img)
	_, err = d.kernel.Sync(img)
	return img, err
}

// Send sends a packet through both. The error is a *Difference, or what kept the kernel from answering.
func (d *Duel) Send(p Packet) error {
	d.kernel.Socketless, d.twin.Socketless = p.Socketless, p.Socketless
	got, err := d.kernel.Run(p.Direction, p.Ifindex, p.FromNode, p.Frame)
	if err != nil {
		return err
	}
	if want := d.twin.Run(p.Direction, p.Ifindex, p.FromNode, p.Frame); got != want {
		return &Difference{p, got, want}
	}
	return nil
}
