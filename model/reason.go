package model

// Reason says in one word, stable for programs, why a verdict is what it is.
type Reason string

// Reasons of a half that allows.
const (
	NotAPod     Reason = "not-a-pod"    // the end is a node or an address outside: no policy selects it
	NotIsolated Reason = "not-isolated" // no policy selects the pod in this direction
	RuleMatched Reason = "rule-matched" // a rule allows the connection
	LocalNode   Reason = "local-node"   // it comes from the pod's own node, which may always reach its pods
	Self        Reason = "self"         // a pod cannot block access to itself
)

// NoRuleMatched is the reason of a half that denies: the pod is isolated and no rule allows the connection.
const NoRuleMatched Reason = "no-rule-matched"

// Reasons of a half that is undefined: the API permits more than one behaviour, and they differ here. README.md says
// for each of them what Palisade's own enforcement does.
const (
	HostNetwork       Reason = "host-network"        // a hostNetwork pod is selected, as subject or as peer
	PodToOwnNode      Reason = "pod-to-own-node"     // isolated, but traffic to the own node may be exempt
	InitContainerPort Reason = "init-container-port" // the port's name is only that of a port of a plain init container
	// ProtocolNotCovered: the pod is isolated, and the protocol is none that a policy can speak of (ICMP, ESP, …); so is it with
	// RuleWithoutPorts, where a rule that names no ports matches.
	ProtocolNotCovered Reason = "protocol-not-covered"
	RuleWithoutPorts   Reason = "rule-without-ports"
	ServiceToSelf      Reason = "service-to-self" // a pod reaches itself through a Service
	BackendsDiffer     Reason = "backends-differ" // the Service's backends get different verdicts
)

// Reasons why there is no connection to judge; the verdict is undefined.
const (
	NotRunning     Reason = "not-running"      // a pod that has succeeded or failed; its address may be another's
	NoAddress      Reason = "no-address"       // an end has no address (yet)
	NoCommonFamily Reason = "no-common-family" // no address family in which both ends have an address
)

// Reasons why a Service leads nowhere; the verdict is deny, because kube-proxy refuses such connections.
const (
	NoBackend     Reason = "no-backend"      // no endpoint is ready (nor terminating and still serving)
	NoServicePort Reason = "no-service-port" // the Service does not listen there
	NoClusterIP   Reason = "no-cluster-ip"   // headless, ExternalName, or no ClusterIP of the family
)
