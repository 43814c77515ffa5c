package veth

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// restore is the program that writes a table of the xtables in the kernel; plain iptables-restore may write nftables
// instead.
const restore = "iptables-legacy-restore"

// iptablesRules accepts by a rule per address; those of the pods come last.
func iptablesRules(_ *bed, n int) (*filter, error) {
	var rules strings.Builder
	for _, a := range allowed(n) {
		fmt.Fprintf(&rules, "-A FORWARD -d %s/32 -j ACCEPT\n", a)
	}
	return iptables(rules.String())
}

// iptablesSet accepts by one rule and an ipset of addresses.
func iptablesSet(b *bed, n int) (*filter, error) {
	name := fmt.Sprintf("peers%d", n)
	if err := b.onNode(func() error { return ipset(name, n) }); err != nil {
		return nil, fmt.Errorf("make an ipset: %w", err)
	}
	return iptables("-A FORWARD -m set --match-set " + name + " dst -j ACCEPT\n")
}

func ipset(name string, n int) error {
	options := netlink.IpsetCreateOptions{Family: unix.AF_INET, MaxElements: uint32(n)}
	if err := netlink.IpsetCreate(name, "hash:ip", options); err != nil {
		return err
	}
	for _, a := range allowed(n) {
		if err := netlink.IpsetAdd(name, &netlink.IPSetEntry{IP: a.AsSlice()}); err != nil {
			return err
		}
	}
	return nil
}

// iptables is a filter of the rules, after which packets are dropped.
func iptables(rules string) (*filter, error) {
	program, err := exec.LookPath(restore)
	if err != nil {
		return nil, err
	}
	load := func(policy, rules string) func() error {
		return func() error {
			return feed(program, "*filter\n:FORWARD "+policy+"\n"+rules+"COMMIT\n")
		}
	}
	return &filter{install: load("DROP", rules), remove: load("ACCEPT", "")}, nil
}

// feed runs a program with an input in the namespace of the thread.
func feed(program, input string) error {
	c := exec.Command(program, "-w")
	c.Stdin = strings.NewReader(input)
	out, err := c.CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", program, err), errors.New(string(bytes.TrimSpace(out))))
	}
	return nil
}
