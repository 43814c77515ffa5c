package prober

import (
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// udp is a UDP attempt on a connected socket, to which the kernel reports ICMP errors.
type udp struct {
	file *os.File
	to   netip.AddrPort
}

func (p *Prober) openUDP(from *host, to netip.AddrPort) (attempt, uint16, error) {
	file, port, err := p.client(from, unix.SOCK_DGRAM, to.Addr(), func(fd int) error {
		return reportErrors(fd, to.Addr())
	})
	if err != nil {
		return nil, 0, err
	}
	return &udp{file: file, to: to}, port, nil
}

func (u *udp) send(f *flight) error {
	return withFD(u.file, func(fd int) error {
		if err := unix.Connect(fd, sockaddr(u.to)); err != nil {
			return local(err)
		}
		_, err := unix.Write(fd, question(f.number))
		return sent(err)
	})
}

func (u *udp) await(f *flight, until time.Time) (string, error) {
	if err := u.file.SetDeadline(until); err != nil {
		return "", err
	}
	buf := make([]byte, 512)
	for {
		n, err := u.file.Read(buf)
		if err != nil {
			return "", err
		}
		if number, name, ok := answered(buf[:n]); ok && number == f.number {
			return name, nil
		}
	}
}

func (u *udp) stop()        { _ = u.file.SetDeadline(time.Unix(1, 0)) }
func (u *udp) close() error { return u.file.Close() }

func (u *udp) closer() *os.File { return u.file }

func (u *udp) say(_ *flight, number uint64) error {
	_, err := u.file.Write(question(number))
	return err
}

func (u *udp) listen(heard *ledger) error {
	if err := u.file.SetDeadline(time.Time{}); err != nil {
		return err
	}
	buf := make([]byte, 512)
	for {
		n, err := u.file.Read(buf)
		if err != nil {
			return err
		}
		if number, _, ok := answered(buf[:n]); ok {
			heard.note(number)
		}
	}
}
