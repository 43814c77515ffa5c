// Package flowlog writes down which packets were denied, to whom and why: a line of JSON for equal denials of a second.
//
// It holds no more than a few lines per pod, however much is denied. What it leaves out it counts, in lines of their own, so
// that the log is never silent about a denial.
package flowlog
