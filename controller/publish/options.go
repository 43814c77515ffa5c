package publish

import (
	"cmp"
	"log/slog"
	"net"
	"time"

	"k8s.io/client-go/rest"

	"github.com/palisade-netpol/palisade/controller/resolve"
)

// Options say how to run. Config, Identity and Namespace are required.
type Options struct {
	// Config is how to reach the API server. Its QPS and Burst are taken as they are.
	Config *rest.Config
	// Identity tells this replica from others. It must be unique in the cluster, also after a restart.
	Identity string
	// Namespace is where the Lease is.
	Namespace string
	// Lease is the timing of the election. Default: DefaultLease.
	Lease Lease
	// Workers is the number of policies that are written at the same time. Default: 8.
	Workers int
	// Resolve is the form of PolicyEndpoints.
	Resolve resolve.Options
	// Listener is where health and metrics are served; nil serves nothing. Run closes it.
	Listener net.Listener
	// Pprof serves profiles beside the metrics, to whoever can connect.
	Pprof bool
	// Log is told everything. Default: slog.Default().
	Log *slog.Logger
}

// LeaseName is the name of the Lease that the leader holds.
const LeaseName = "palisade-controller"

// Lease is the timing of the election. Duration must exceed RenewDeadline, and that RetryPeriod by a fifth at least.
type Lease struct {
	Duration      time.Duration // for how long a leader that is not heard of is left alone
	RenewDeadline time.Duration // after which a leader that cannot renew gives up
	RetryPeriod   time.Duration // between attempts to renew or to acquire
}

// DefaultLease replaces a leader that crashed within ten seconds, at one small request per replica and second.
func DefaultLease() Lease {
	return Lease{Duration: 8 * time.Second, RenewDeadline: 5 * time.Second, RetryPeriod: time.Second}
}

const defaultWorkers = 8

func (o Options) withDefaults() Options {
	if o.Lease == (Lease{}) {
		o.Lease = DefaultLease()
	}
	o.Workers = cmp.Or(o.Workers, defaultWorkers)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}
