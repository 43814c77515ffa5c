//go:build !node

package main

func addNodePrograms(map[string]program) {}
