package main

import (
	"slices"
	"strings"
)

// missesNetwork tells whether what a command printed last sounds as if it had
// looked for a network.
func missesNetwork(output []byte) bool {
	text := strings.ToLower(string(output))
	return slices.ContainsFunc(offlineTexts, func(s string) bool { return strings.Contains(text, s) })
}

// offlineTexts are how programs say that there is no network, in lower case.
// They are as long as it takes for no compiler to say them too.
var offlineTexts = []string{
	"temporary failure resolving",       // apt
	"unable to locate package",          // apt, which never had lists
	"could not resolve host",            // curl, git, cargo, dnf
	"unable to resolve host",            // wget
	"wget: bad address",                 // wget of busybox
	"temporary error (try again later)", // apk
	"dial tcp: lookup ",                 // Go
	"no such host",                      // Go
	"eai_again",                         // node
	"enotfound",                         // node
	"enetunreach",                       // node
	"unknownhostexception",              // Java
	"temporary failure in name res",     // glibc: pip, gem, ssh
	"name or service not known",         // glibc
	"network is unreachable",            // connect
	"network unreachable",               // musl's
}
