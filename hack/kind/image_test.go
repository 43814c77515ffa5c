package kind

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestFetchWritesTheImageForThisMachine(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(t.Output(), "", 0))))
	defer server.Close()
	index, want := indexOfTwo(t)
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	reference := strings.TrimPrefix(server.URL, "http://") + "/node:v1@" + digest.String()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "node.tar")
	if err := fetch(t.Context(), reference, "kindest/node:v1", archive, io.Discard); err != nil {
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
	if id, err := got.ConfigName(); err != nil || id != want {
		t.Errorf("image %v, error %v; want %v", id, err, want)
	}
}

// indexOfTwo lists an image for another kind of machine and then one for this kind, and returns that one's ID.
func indexOfTwo(t *testing.T) (v1.ImageIndex, v1.Hash) {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	var id v1.Hash
	for _, architecture := range []string{"s390x", runtime.GOARCH} {
		image, err := random.Image(1<<10, 2)
		if err != nil {
			t.Fatal(err)
		}
		if id, err = image.ConfigName(); err != nil {
			t.Fatal(err)
		}
		platform := &v1.Platform{OS: "linux", Architecture: architecture}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index, id
}

func TestFetchFailsAtOnceWithoutARegistry(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close() // nobody listens at its address
	archive := filepath.Join(t.TempDir(), "node.tar")
	reference := strings.TrimPrefix(server.URL, "http://") + "/node:v1"
	if err := fetch(context.Background(), reference, "kindest/node:v1", archive, io.Discard); err == nil {
		t.Error("fetched an image from nowhere")
	}
}
