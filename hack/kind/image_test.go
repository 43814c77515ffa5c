package kind

import (
	"bytes"
	"context"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestFetchWritesTheImageOfARegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(t.Output(), "", 0))))
	defer server.Close()
	image, err := random.Image(1<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	reference := strings.TrimPrefix(server.URL, "http://") + "/node:v1@" + digest.String()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	archive, out := filepath.Join(t.TempDir(), "node.tar"), &bytes.Buffer{}
	if err := fetch(t.Context(), reference, "kindest/node:v1", archive, out); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("kindest/node:v1")
	if err != nil {
		t.Fatal(err)
	}
	got, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	want, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if id, err := got.ConfigName(); err != nil || id != want {
		t.Errorf("image %v, error %v; want %v", id, err, want)
	}
}

func TestFetchFailsAtOnceWithoutARegistry(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close() // nobody listens at its address
	archive := filepath.Join(t.TempDir(), "node.tar")
	reference := strings.TrimPrefix(server.URL, "http://") + "/node:v1"
	if err := fetch(context.Background(), reference, "kindest/node:v1", archive, &bytes.Buffer{}); err == nil {
		t.Error("fetched an image from nowhere")
	}
}
