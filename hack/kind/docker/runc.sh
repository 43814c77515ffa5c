#!/bin/sh
# runc, behind two corrections of the capabilities that Docker asks for in the name of privileged containers. Docker of
# Debian 12 stops at CAP_AUDIT_READ, the last one of its time, so pods in there could not have CAP_BPF. And it asks for
# CAP_SYS_RESOURCE where not even root has it, as in some virtual machines, so that runc would refuse.
set -eu
bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)

# By number, capabilities(7).
machine_has() { [ $((0x$bounding >> $1 & 1)) -eq 1 ]; }

add() {
	if machine_has "$1" && ! grep -q "\"$2\"" "$3"; then
		sed -i "s/\"CAP_AUDIT_READ\"/&,\"$2\"/g" "$3"
	fi
}

correct() {
	add 38 CAP_PERFMON "$1"
	add 39 CAP_BPF "$1"
	add 40 CAP_CHECKPOINT_RESTORE "$1"
	if ! machine_has 24; then
		sed -i -e 's/"CAP_SYS_RESOURCE",//g' -e 's/,"CAP_SYS_RESOURCE"//g' -e 's/"CAP_SYS_RESOURCE"//g' "$1"
	fi
}

previous=
for argument; do
	case $previous in
	--bundle) correct "$argument/config.json" ;;
	--process) correct "$argument" ;; # of docker exec
	esac
	previous=$argument
done
exec runc "$@"
