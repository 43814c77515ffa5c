// Package figure is what the measurements have in common: how rounds are ordered, what is left of them, and the table
// in which each figure stands beside its limit. It measures nothing itself.
package figure
