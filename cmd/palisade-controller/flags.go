package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/palisade-netpol/palisade/controller/publish"
	"github.com/palisade-netpol/palisade/controller/resolve"
)

// settings are what flags can set.
type settings struct {
	kubeconfig string
	identity   string
	namespace  string
	listen     string
	qps        float64
	burst      int
	workers    int
	chunkSize  int
	lease      publish.Lease
	pprof      bool
	level      slog.Level
}

// parse reads the command line. It has written to out what is wrong with it.
func parse(args []string, out io.Writer) (*settings, error) {
	s := &settings{lease: publish.DefaultLease()}
	f := flag.NewFlagSet("palisade-controller", flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server; "+
		"by default the ServiceAccount of the pod")
	f.StringVar(&s.identity, "identity", "", "name of this replica in the leader election; "+
		"by default the host name and a random part")
	f.StringVar(&s.namespace, "namespace", cmp.Or(os.Getenv("POD_NAMESPACE"), "kube-system"),
		"namespace of the Lease "+publish.LeaseName+"; $POD_NAMESPACE is the default if set")
	f.StringVar(&s.listen, "listen", ":9475", "`address` of /healthz, /readyz and /metrics; empty for none")
	f.Float64Var(&s.qps, "kube-api-qps", 1000, "requests per second to the API server; negative for no limit")
	f.IntVar(&s.burst, "kube-api-burst", 2000, "requests that may exceed --kube-api-qps for a moment")
	f.IntVar(&s.workers, "workers", 8, "policies that are written at the same time")
	f.IntVar(&s.chunkSize, "chunk-size", resolve.DefaultChunkSize, "largest number of pods or rules in one PolicyEndpoint")
	f.DurationVar(&s.lease.Duration, "lease-duration", s.lease.Duration,
		"for how long a leader that is not heard of is left alone")
	f.DurationVar(&s.lease.RenewDeadline, "lease-renew-deadline", s.lease.RenewDeadline,
		"after which a leader that cannot renew its Lease ends")
	f.DurationVar(&s.lease.RetryPeriod, "lease-retry-period", s.lease.RetryPeriod, "between attempts to get the Lease")
	f.BoolVar(&s.pprof, "pprof", false, "serve profiles at /debug/pprof/ to whoever can connect to --listen")
	f.TextVar(&s.level, "log-level", slog.LevelInfo, "DEBUG, INFO, WARN or ERROR")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", f.Arg(0))
		fmt.Fprintln(out, err)
		return nil, err
	}
	return s, nil
}

// options makes of s what publish needs, and starts to listen.
func (s *settings) options() (publish.Options, error) {
	config, err := s.config()
	if err != nil {
		return publish.Options{}, err
	}
	o := publish.Options{
		Config: config, Identity: s.identity, Namespace: s.namespace, Lease: s.lease,
		Workers: s.workers, Resolve: resolve.Options{ChunkSize: s.chunkSize}, Pprof: s.pprof,
	}
	if o.Identity == "" {
		host, err := os.Hostname()
		if err != nil {
			return publish.Options{}, fmt.Errorf("name of this replica: %w", err)
		}
		o.Identity = host + "_" + string(uuid.NewUUID())
	}
	if s.listen != "" {
		if o.Listener, err = net.Listen("tcp", s.listen); err != nil {
			return publish.Options{}, err
		}
	}
	return o, nil
}

// config says how to reach the API server.
func (s *settings) config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("connection to the API server: %w", err)
	}
	config.QPS, config.Burst = float32(s.qps), s.burst
	config.UserAgent = "palisade-controller"
	return config, nil
}
