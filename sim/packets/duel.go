package packets

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/palisade-netpol/palisade/bpf"
	"github.com/palisade-netpol/palisade/model"
	"github.com/palisade-netpol/palisade/sim/datapath"
)

// Duel sends the same packets through the programs in the kernel and through their twin in Go.
type Duel struct {
	kernel   *bpf.Harness
	twin     *datapath.Datapath
	options  bpf.Options
	events   *bpf.Events // while somebody listens to denials
	rng      *rand.Rand
	instance uint32
}

// Options are what programs are loaded for.
var Options = [...]bpf.Options{
	{}, {Mode: bpf.Strict},
	{KeepEstablished: true}, {KeepEstablished: true, Mode: bpf.Strict, FinalVerdict: true},
	{TrackIsolatedOnly: true, FinalVerdict: true}, {TrackIsolatedOnly: true, Mode: bpf.Strict},
}

// Difference is a packet on which kernel and twin are not of one opinion.
type Difference struct {
	Packet
	Kernel, Twin bpf.Outcome
}

// Error says who says what about which packet.
func (d *Difference) Error() string {
	return fmt.Sprintf("%s at interface %d, from its node: %v, without a socket: %v, in segments of %d, %x: kernel says %s %+v, twin %s %+v",
		d.Direction, d.Ifindex, d.FromNode, d.Socketless, d.GSOSize, d.Frame, d.Kernel.Reason, d.Kernel, d.Twin.Reason, d.Twin)
}

// NewDuel loads the programs with room for so many flows that none gives way, which the twin does not know. It needs root on Linux.
func NewDuel(o bpf.Options) (*Duel, error) {
	o.Capacity = bpf.Capacity{Flows: 1 << 20}
	h, err := bpf.OpenHarness(o)
	if err != nil {
		return nil, err
	}
	return &Duel{kernel: h, options: o}, nil
}

// Close unloads the programs.
func (d *Duel) Close() error { return errors.Join(d.mute(), d.kernel.Close()) }

func (d *Duel) mute() (err error) {
	if d.events != nil {
		err = d.events.Close()
	}
	d.events = nil
	return err
}

// Start forgets all flows, and draws what pods may and who listens to denials. Time stands still: the kernel's can not be moved.
func (d *Duel) Start(seed int) (err error) {
	d.twin = datapath.New(d.options.Mode, func() time.Duration { return time.Hour })
	if d.options.KeepEstablished {
		d.twin.KeepEstablished()
	}
	if d.options.TrackIsolatedOnly {
		d.twin.TrackIsolatedOnly()
	}
	d.instance += 100 // for the kernel
	d.rng = rand.New(rand.NewPCG(uint64(seed), 2))
	if err := d.mute(); err != nil {
		return err
	}
	if d.rng.IntN(3) == 0 {
		d.events, err = d.kernel.Listen()
	}
	return err
}

// Load switches both to the policies of a cluster; flows go on. See Image for capacity.
func (d *Duel) Load(c *model.Cluster, capacity bpf.Capacity) (*bpf.Image, error) {
	img, err := Image(c, d.instance, capacity)
	if err != nil {
		return nil, err
	}
	Vary(img, d.rng)
	before := d.kernel.Epoch()
	if _, err := d.kernel.Sync(img); err != nil {
		return nil, err
	}
	if d.kernel.Epoch() == before { // and the kernel's first fragments count on
		d.twin.Reload(img)
	} else {
		d.twin.Load(img)
	}
	return img, nil
}

// Send sends a packet through both. The error is a *Difference, or what kept the kernel from answering.
func (d *Duel) Send(p Packet) error {
	d.kernel.Socketless, d.twin.Socketless = p.Socketless, p.Socketless
	d.kernel.GSOSize, d.twin.GSOSize = p.GSOSize, p.GSOSize
	got, err := d.kernel.Run(p.Direction, p.Ifindex, p.FromNode, p.Frame)
	if err != nil {
		return err
	}
	if want := d.twin.Run(p.Direction, p.Ifindex, p.FromNode, p.Frame); got != want {
		return &Difference{p, got, want}
	}
	return nil
}
