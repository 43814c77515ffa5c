// Command palisade-probe opens and takes connections in a pod, so that others can find out who reaches whom:
//
//	palisade-probe serve --name shop/web --listen TCP/80,UDP/53   answers with its name, and takes requests
//	palisade-probe probe '[{"protocol": "TCP", "to": "10.0.0.7:80"}]'   opens connections, and prints what became of them
//	palisade-probe blast --to 10.0.0.7:80 --for 30s   opens one after the other, and prints when they succeeded
//
// `probe` takes a list of targets, or a whole request (package wire), as its argument or on standard input, and hands
// it to the `serve` of the same container, which keeps connections beyond the end of `probe`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "palisade-probe:", err)
	}
	os.Exit(code)
}

// socket is where `serve` takes the requests of `probe`, in the container's own file system.
const socket = "/palisade-probe.sock"

const usage = "usage: palisade-probe serve|probe|blast|exit [FLAGS]"

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, log io.Writer) (int, error) {
	if len(args) == 0 {
		return 2, errors.New(usage)
	}
	var err error
	var code int
	switch command, args := args[0], args[1:]; command {
	case "serve":
		code, err = serve(ctx, args, log)
	case "probe":
		err = ask(ctx, args, in, out)
	case "blast":
		err = blast(ctx, args, out)
	case "exit":
		return exit(args)
	default:
		return 2, errors.New(usage)
	}
	if err != nil {
		return max(code, 1), err
	}
	return code, nil
}

// untilStopped makes ctx end with SIGTERM, or lets that signal pass.
func untilStopped(ctx context.Context, stay bool) (context.Context, context.CancelFunc) {
	if stay {
		signal.Ignore(syscall.SIGTERM)
		return context.WithCancel(ctx)
	}
	return signal.NotifyContext(ctx, syscall.SIGTERM)
}
