package manifests_test

import (
	"testing"

	"github.com/palisade-netpol/palisade/deploy"
	"github.com/palisade-netpol/palisade/hack/cluster/manifests"
)

func TestManifestsAreRead(t *testing.T) {
	objects, err := manifests.Read(deploy.Install)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, o := range objects {
		kinds[o.GetKind()]++
	}
	if kinds["DaemonSet"] != 1 || kinds["Deployment"] != 1 || kinds["CustomResourceDefinition"] != 1 {
		t.Errorf("kinds %v", kinds)
	}
	if _, err := manifests.Read([]byte("a: 1\na: 2\n")); err == nil {
		t.Error("a field that is given twice was taken")
	}
}
