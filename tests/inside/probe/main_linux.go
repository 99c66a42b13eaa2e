// Command probe tries from inside a container what a hostile program would, and
// prints a line for each attempt: its name, "allow" or "deny", and the error,
// if any. "list" prints the names with a sentence in place of the verdict;
// "sets" prints who the process is, and "wait" waits to be traced; other arguments are facts about the machine
// outside, NAME=VALUE, for the attempts that look for them.
//
// Every attempt is real and harmless: its arguments are such that one that is
// let through changes nothing outside. A system call counts as allowed when it
// passes the check of permissions, though its arguments be nonsense.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// attempt is one row.
type attempt struct {
	name string
	what string // what allowing it lets a program do
	try  func() result
}

// result is what came of it; note is the error's name or what was seen.
type result struct {
	allowed bool
	note    string
}

// facts are what the caller tells about the machine outside.
var facts = map[string]string{}

func main() {
	all := [][]attempt{mountAttempts, namespaceAttempts, kernelAttempts, processAttempts, keyAttempts, socketAttempts,
		procAttempts, sysAttempts, deviceAttempts, rightAttempts, reachAttempts}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	args := os.Args[1:]
	if len(args) == 1 && args[0] == "sets" {
		printSets(out)
		return
	}
	if len(args) == 1 && args[0] == "wait" {
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	list := len(args) == 1 && args[0] == "list"
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		facts[name] = value
	}
	unix.Umask(0)
	for _, group := range all {
		for _, a := range group {
			if list {
				fmt.Fprintf(out, "%s\t%s\n", a.name, a.what)
				continue
			}
			r, word := a.try(), "deny"
			if r.allowed {
				word = "allow"
			}
			fmt.Fprintf(out, "%s\t%s\t%s\n", a.name, word, r.note)
			out.Flush()
		}
	}
}

// printSets prints what the kernel says of the process's rights.
func printSets(out *bufio.Writer) {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups":
			fmt.Fprintf(out, "%s\t%s\n", key, strings.Join(strings.Fields(value), " "))
		}
	}
}

// word is the result for an error of a system call that was let through, or not.
func word(err error) result {
	var e syscall.Errno
	switch {
	case err == nil:
		return result{true, ""}
	case !errors.As(err, &e):
		return result{false, err.Error()}
	}
	denied := e == unix.EPERM || e == unix.EACCES || e == unix.ENOSYS || e == unix.EROFS
	return result{!denied, unix.ErrnoName(e)}
}

// got is the result of what must succeed to be of use.
func got(err error) result {
	r := word(err)
	r.allowed = err == nil
	return r
}

// seen is the result of looking for something.
func seen(yes bool, note string) result { return result{yes, note} }
