package nodeimage

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// images is what `ctr images ls` prints.
const images = `REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/library/own:1 application/vnd.oci.image.manifest.v1+json sha256:aaaa 1 KiB linux/amd64 -
example.org/x@sha256:aaaa application/vnd.oci.image.manifest.v1+json sha256:aaaa 1 KiB linux/amd64 -
example.org/x:2 application/vnd.oci.image.manifest.v1+json sha256:aaaa 1 KiB linux/amd64 -
example.org/y:1 application/vnd.oci.image.manifest.v1+json sha256:bbbb 1 KiB linux/amd64 -
sha256:1111 application/vnd.oci.image.manifest.v1+json sha256:aaaa 1 KiB linux/amd64 -
sha256:2222 application/vnd.oci.image.manifest.v1+json sha256:bbbb 1 KiB linux/amd64 -
`

func TestCrictlFindsImagesAsKindAsks(t *testing.T) {
	tests := []struct {
		name, image, id string
		tags            []string
	}{
		{"by name", "example.org/x:2", "sha256:1111", []string{"docker.io/library/own:1", "example.org/x:2"}},
		{"by Docker's short name", "own:1", "sha256:1111", []string{"docker.io/library/own:1", "example.org/x:2"}},
		{"by ID", "sha256:2222", "sha256:2222", []string{"example.org/y:1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, err := crictl(t, "inspecti", test.image)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Status struct {
					ID       string   `json:"id"`
					RepoTags []string `json:"repoTags"`
				} `json:"status"`
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if got.Status.ID != test.id || !slices.Equal(got.Status.RepoTags, test.tags) {
				t.Errorf("got %+v, want %s %v", got.Status, test.id, test.tags)
			}
		})
	}
}

func TestCrictlFailsWithoutTheImage(t *testing.T) {
	for _, args := range [][]string{{"inspecti", "example.org/x:3"}, {"pull", "example.org/x:2"}, {}} {
		if out, err := crictl(t, args...); err == nil {
			t.Errorf("%q prints %s", args, out)
		}
	}
}

// crictl runs the script of that name, with a ctr that knows some images.
func crictl(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	ctr := "#!/bin/sh\ncat <<'END'\n" + images + "END\n"
	if err := os.WriteFile(filepath.Join(dir, "ctr"), []byte(ctr), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"files/usr/local/bin/crictl"}, args...)...)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	return cmd.Output()
}
