// Package socket is how the CNI plugin talks to the agent: one JSON Request and one JSON Response over a unix socket.
//
// The socket has mode 0600, and the server answers only processes of root, whatever the mode of the file has become.
// Both sides have deadlines, so that a pod's start fails rather than hangs.
package socket
