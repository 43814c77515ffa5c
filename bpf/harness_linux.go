package bpf

import (
	"errors"
	"runtime"
	"structs"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// testRunAttr is the part of union bpf_attr that BPF_PROG_TEST_RUN reads (struct test in <linux/bpf.h>).
type testRunAttr struct {
	_                       structs.HostLayout
	progFD, retval          uint32
	dataSizeIn, dataSizeOut uint32
	dataIn, dataOut         uint64
	repeat, duration        uint32
	ctxSizeIn, ctxSizeOut   uint32
	ctxIn, ctxOut           uint64
}

// testRun runs a program n times on a frame, with the context h.in, and leaves that of the last run in h.out. It makes one system
// call where ebpf.Program.Run makes three and converts the context by reflection: packets are compared by the hundred million.
func (h *Harness) testRun(p *ebpf.Program, frame []byte, n uint32) (uint32, error) {
	h.frame = append(h.frame[:0], frame...)
	attr := testRunAttr{
		progFD: uint32(p.FD()), repeat: n,
		dataSizeIn: uint32(len(frame)), dataIn: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(h.frame)))),
		ctxSizeIn: uint32(unsafe.Sizeof(h.in)), ctxIn: uint64(uintptr(unsafe.Pointer(&h.in))),
		ctxSizeOut: uint32(unsafe.Sizeof(h.out)), ctxOut: uint64(uintptr(unsafe.Pointer(&h.out))),
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		runtime.KeepAlive(h)
		runtime.KeepAlive(p)
		switch {
		case errno == 0:
			return attr.retval, nil
		case !errors.Is(errno, unix.EINTR): // a long run ends when the runtime preempts it
			return 0, errno
		}
	}
}
