// Package eks holds what is needed to prove the enforcement on Amazon EKS: configurations of clusters for eksctl, and
// run.sh, which makes a cluster, installs Palisade, replays the scenarios and removes everything. Its tests let the
// script run against fakes of all it calls.
package eks
