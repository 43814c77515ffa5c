# The first process of the daemon's namespaces. When it ends, the kernel kills whatever else runs in there. Its
# arguments are those of dockerd.
set -e
read -r go # the network is ready
mount -t proc proc /proc   # of the new process namespace
mount -t tmpfs tmpfs /run  # no sockets and locks of other daemons
dockerd "$@" </dev/null &
daemon=$!
trap 'kill "$daemon"' TERM
# Orphans are reaped by wait, too. A signal ends a wait, but not the daemon.
while kill -0 "$daemon" 2>/dev/null; do
	wait "$daemon" || :
done
