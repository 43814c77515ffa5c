package prober

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/palisade-netpol/palisade/model/flow"
	"github.com/palisade-netpol/palisade/scenarios/backend/netns/sctp"
)

// endpoint speaks SCTP at one address of a host, for its listeners and for its probes. Its raw socket also keeps the
// kernel from answering "protocol unreachable".
type endpoint struct {
	raw  *raw
	host *host

	mu    sync.Mutex
	ports map[uint16]bool // that accept associations; others answer ABORT
}

// endpoint returns the endpoint of one of the host's addresses, made on first use.
func (h *host) endpoint(addr netip.Addr) (*endpoint, error) {
	if e := h.endpoints[addr]; e != nil {
		return e, nil
	}
	r, err := listenRaw(h.ns, domain(addr), unix.IPPROTO_SCTP, func(fd int) error {
		if err := reportErrors(fd, addr); err != nil {
			return err
		}
		return unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, 0)))
	})
	if err != nil {
		return nil, err
	}
	e := &endpoint{raw: r, host: h, ports: map[uint16]bool{}}
	r.hear, r.fail = e.hear, e.fail
	h.endpoints[addr] = e
	h.serve(r.file, r.serve)
	return e, nil
}

// reportErrors makes a socket that speaks to a's family report every ICMP error.
func reportErrors(fd int, a netip.Addr) error {
	if a.Is4() {
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
}

func (e *endpoint) openPort(port uint16) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ports[port] = true
}

// hear answers an INIT, hands an answer to the flight that asked, and notes the numbers of kept associations.
func (e *endpoint) hear(fd int, src netip.Addr, segment []byte) {
	p, err := sctp.Parse(segment)
	if err != nil {
		return
	}
	switch p.Type {
	case sctp.Init:
		e.hearInit(fd, src, p)
	case sctp.Data:
		e.hearData(src, p)
	default:
		e.hearAnswer(src, p)
	}
}

func (e *endpoint) hearInit(fd int, src netip.Addr, p sctp.Packet) {
	e.host.sky.arrive(flow.SCTP, netip.AddrPortFrom(src, p.SrcPort), e.host.addrs, p.DstPort)
	if number := e.host.sky.opening(p.SrcPort, p.InitTag); number != 0 {
		e.host.sky.hear(flow.SCTP, p.SrcPort, number, e.speaker(src, p))
	}
	reply := e.answer(p).Marshal()
	_ = unix.Sendto(fd, reply, unix.MSG_DONTWAIT, sockaddr(netip.AddrPortFrom(src, 0))) // a loss is the client's to observe
}

// speaker returns how the listener of a packet sends numbers back. Both ends use one initiate tag.
func (e *endpoint) speaker(src netip.Addr, p sctp.Packet) func(number uint64) error {
	back := sctp.Packet{SrcPort: p.DstPort, DstPort: p.SrcPort, Tag: max(p.InitTag, p.Tag)} // an INIT itself has no tag
	return func(number uint64) error { return e.send(src, back.WithData(question(number))) }
}

// hearData answers a number at the listener's end, which knows the association by its source port, and notes one at the
// opener's.
func (e *endpoint) hearData(src netip.Addr, p sctp.Packet) {
	number, ok := asked(p.Data)
	if !ok {
		return
	}
	if f := e.host.sky.find(flow.SCTP, p.DstPort); f != nil && f.kept != nil {
		f.kept.heard.note(number)
		return
	}
	if say := e.speaker(src, p); e.host.sky.hear(flow.SCTP, p.SrcPort, number, say) {
		_ = say(number) // a loss is the opener's to observe
	}
}

func (e *endpoint) hearAnswer(src netip.Addr, p sctp.Packet) {
	f := e.host.sky.find(flow.SCTP, p.DstPort)
	if f == nil || src != f.to.Addr() || !p.Answers(initOf(f)) {
		return
	}
	if p.Type == sctp.Abort {
		f.reply(answer{err: errAbort})
		return
	}
	f.reply(answer{name: string(p.Cookie)})
}

// send sends a packet to a host.
func (e *endpoint) send(to netip.Addr, p sctp.Packet) error {
	return withFD(e.raw.file, func(fd int) error {
		return unix.Sendto(fd, p.Marshal(), unix.MSG_DONTWAIT, sockaddr(netip.AddrPortFrom(to, 0)))
	})
}

func (e *endpoint) answer(p sctp.Packet) sctp.Packet {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ports[p.DstPort] {
		return p.Answer(0, nil)
	}
	return p.Answer(p.InitTag, []byte(e.host.name))
}

// fail hands an ICMP error to the flight whose INIT it returns.
func (e *endpoint) fail(segment []byte, err error) {
	src, dst, ok := ports(segment)
	if !ok {
		return
	}
	if f := e.host.sky.find(flow.SCTP, src); f != nil && f.to.Port() == dst {
		f.reply(answer{err: err})
	}
}

// initOf is the packet that a flight consists of.
func initOf(f *flight) sctp.Packet {
	return sctp.Packet{
		SrcPort: f.port, DstPort: f.to.Port(), Type: sctp.Init, InitTag: uint32(f.number) | 1<<31,
	}
}
