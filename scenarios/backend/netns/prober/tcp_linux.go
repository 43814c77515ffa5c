package prober

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// tcp is a TCP attempt. Its socket is closed by a reset, so that no connection outlives it anywhere.
type tcp struct {
	file  *os.File
	to    netip.AddrPort
	asked bool // the question is sent
	got   []byte
}

func (p *Prober) openTCP(from *host, to netip.AddrPort) (attempt, uint16, error) {
	file, port, err := p.client(from, unix.SOCK_STREAM, to.Addr(), func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	if err != nil {
		return nil, 0, err
	}
	return &tcp{file: file, to: to}, port, nil
}

func (t *tcp) send(*flight) error {
	return withFD(t.file, func(fd int) error {
		err := unix.Connect(fd, sockaddr(t.to))
		if errors.Is(err, unix.EINPROGRESS) {
			return nil
		}
		return local(err)
	})
}

func (t *tcp) await(f *flight, until time.Time) (string, error) {
	if err := t.file.SetDeadline(until); err != nil {
		return "", err
	}
	if !t.asked {
		if err := whenWritable(t.file, connected); err != nil {
			return "", err
		}
		if _, err := t.file.Write(question(f.number)); err != nil {
			return "", err
		}
		t.asked = true
	}
	return t.read(f)
}

// connected reports whether a connection attempt has ended, and how.
func connected(fd int) (bool, error) {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return false, err
	}
	if code != 0 {
		return false, unix.Errno(code)
	}
	_, err = unix.Getpeername(fd)
	if errors.Is(err, unix.ENOTCONN) {
		return false, nil
	}
	return err == nil, err
}

func (t *tcp) read(f *flight) (string, error) {
	buf := make([]byte, 512)
	for {
		n, err := t.file.Read(buf)
		t.got = append(t.got, buf[:n]...)
		if number, name, ok := answered(t.got); ok && number == f.number {
			return name, nil
		}
		if errors.Is(err, io.EOF) {
			return "", errMute
		}
		if err != nil {
			return "", err
		}
	}
}

func (t *tcp) stop()        { _ = t.file.SetDeadline(time.Unix(1, 0)) }
func (t *tcp) close() error { return t.file.Close() }

func (t *tcp) closer() *os.File { return t.file }

func (t *tcp) say(_ *flight, number uint64) error {
	_, err := t.file.Write(question(number))
	return err
}

func (t *tcp) listen(heard *ledger) error {
	if err := t.file.SetDeadline(time.Time{}); err != nil {
		return err
	}
	for {
		number, err := readMessage(t.file)
		if errors.Is(err, io.EOF) {
			return errMute
		}
		if err != nil {
			return err
		}
		heard.note(number)
	}
}
