package images

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDockerfileMakesTheSame: people who build with Docker get the same programs, user and entry point.
func TestDockerfileMakesTheSame(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]string{}
	for _, stage := range strings.Split(string(data), "\nFROM ")[1:] {
		name := regexp.MustCompile(`^(?:--\S+ )?\S+ AS (\S+)\n`).FindStringSubmatch(stage)
		if name == nil {
			t.Fatalf("stage without a name: %s", stage)
		}
		targets[name[1]] = stage
	}
	for _, label := range []string{"version=$VERSION", "revision=$REVISION", "licenses=Apache-2.0"} {
		if !strings.Contains(targets["base"], "org.opencontainers.image."+label) {
			t.Errorf("no label %s", label)
		}
	}
	delete(targets, "build")
	delete(targets, "base")
	if len(targets) != len(Names()) {
		t.Errorf("%d targets, want %q", len(targets), Names())
	}
	for _, r := range recipes() {
		checkTarget(t, r, targets[r.name])
	}
}

func checkTarget(t *testing.T, r recipe, stage string) {
	t.Helper()
	var copied []string
	for _, m := range regexp.MustCompile(`/out/(\S+)`).FindAllStringSubmatch(stage, -1) {
		copied = append(copied, m[1])
	}
	config := r.config(nil)
	if !slices.Equal(copied, r.commands) {
		t.Errorf("target %s has %q, want %q", r.name, copied, r.commands)
	}
	for _, line := range []string{"USER " + config.User, fmt.Sprintf("ENTRYPOINT [%q]", config.Entrypoint[0])} {
		if !slices.Contains(strings.Split(stage, "\n"), line) {
			t.Errorf("target %s lacks %s", r.name, line)
		}
	}
}
