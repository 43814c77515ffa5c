package bench

//go:generate go tool bpf2go -go-package bench -target bpfel -no-global-types object c/bench.bpf.c -- -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu -Wall -Wextra -Werror -Wno-sign-compare -mcpu=v2
