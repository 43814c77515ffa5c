package netns

// ControlPlane says what stands between the objects of a cluster and the kernels of its nodes.
type ControlPlane string

// The control planes.
const (
	// Auto is Processes where everything that it needs is there, else Memory.
	Auto ControlPlane = "auto"
	// Memory hands what the controller would publish to agents in this process.
	Memory ControlPlane = "memory"
	// Processes runs a real API server, and controllers and agents as processes of their own.
	Processes ControlPlane = "processes"
)
