package images

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// nonRoot is the user of the images that need no rights on their node, by the convention of minimal images.
const nonRoot = 65532

// recipe is what is in an image. The first command is its entry point, and all are in its root folder.
type recipe struct {
	name        string
	title       string
	description string
	commands    []string // folders of cmd
	user        int
}

// recipes are all images, in the order of their names.
func recipes() []recipe {
	return []recipe{
		{
			"agent", "palisade-agent", "Enforces NetworkPolicies on a node with eBPF; with the CNI plugin palisade-cni",
			[]string{"palisade-agent", "palisade-cni", "palisade-install"},
			0, // root with two capabilities: other users cannot be given any
		},
		{
			"cli", "palisade", "Says what NetworkPolicies mean, proves that they are enforced, and checks clusters",
			[]string{"palisade"}, nonRoot,
		},
		{
			"controller", "palisade-controller", "Turns NetworkPolicies into PolicyEndpoints for the agents on the nodes",
			[]string{"palisade-controller"}, nonRoot,
		},
		{
			"probe", "palisade-probe", "Opens and answers connections for scenarios",
			[]string{"palisade-probe"}, nonRoot,
		},
	}
}

// Names are the short names of all images, sorted.
func Names() []string {
	var names []string
	for _, r := range recipes() {
		names = append(names, r.name)
	}
	return names
}

// repository is the last part of the image's name in a registry.
func (r recipe) repository() string { return r.title }

// config is how containers of the image are run.
func (r recipe) config(labels map[string]string) v1.Config {
	return v1.Config{
		User: fmt.Sprintf("%d:%d", r.user, r.user), Labels: labels, WorkingDir: "/",
		Entrypoint: []string{"/" + path.Base(r.commands[0])},
		Env:        []string{"PATH=/"},
	}
}

// parsePlatforms reads "linux/amd64" and the like. They are sorted, so that their order does not change an archive.
func parsePlatforms(list []string) ([]v1.Platform, error) {
	if len(list) == 0 {
		list = []string{"linux/" + runtime.GOARCH}
	}
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	platforms := make([]v1.Platform, 0, len(list))
	for _, s := range list {
		os, arch, ok := strings.Cut(s, "/")
		if !ok || os != "linux" || arch != "amd64" && arch != "arm64" {
			return nil, fmt.Errorf("platform %q: the programs are for linux/amd64 and linux/arm64", s)
		}
		platforms = append(platforms, v1.Platform{OS: os, Architecture: arch})
	}
	return platforms, nil
}
