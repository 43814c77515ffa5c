// Package onecpu keeps a goroutine on one CPU: what is measured is then not moved about, packets that it sends stay in order, and the
// programs in the kernel find what they have written for that CPU.
package onecpu

// Test is what a test gives ForTest.
type Test interface {
	Helper()
	Fatal(args ...any)
	Cleanup(f func())
}

// ForTest binds the goroutine of a test to a CPU until the test ends.
func ForTest(t Test) {
	t.Helper()
	free, err := Bind()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
}
