package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-netpol/palisade/scenarios/backend"
)

// backendNames are the words of --backend.
var backendNames = []string{"auto", "sim", "netns", "kind", "cluster"}

// chooseBackend returns the backend of that name and one sentence that says why it was taken. "auto" takes the first
// of backends, which are sorted from the strongest to the weakest, that can run here.
func chooseBackend(name string, backends []backend.Backend) (backend.Backend, string, error) {
	if name == "auto" {
		return strongest(backends)
	}
	i := slices.IndexFunc(backends, func(b backend.Backend) bool { return b.Name() == name })
	if i < 0 {
		return nil, "", fmt.Errorf("backend %s is not there on this machine", name)
	}
	if err := backends[i].Available(); err != nil {
		return nil, "", err
	}
	return backends[i], fmt.Sprintf("backend %s, as asked for", name), nil
}

func strongest(backends []backend.Backend) (backend.Backend, string, error) {
	var missing []string
	for _, b := range backends {
		err := b.Available()
		if err == nil && len(missing) == 0 {
			return b, fmt.Sprintf("backend %s, the strongest there is", b.Name()), nil
		}
		if err == nil {
			return b, fmt.Sprintf("backend %s, the strongest that can run here: %s",
				b.Name(), strings.Join(missing, "; ")), nil
		}
		missing = append(missing, err.Error())
	}
	return nil, "", errors.New("no backend can run here: " + strings.Join(missing, "; "))
}
