package build

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"docksmith/lib/rootfs"
)

// failed keeps the container as it was left, for somebody to look into.
func (r *runJob) failed(ctx context.Context, m *maker, result RunResult) error {
	err := &StepError{File: r.b.fileName(), Line: r.st.Line, Status: result.Status, Signal: result.Signal, OOM: result.OOM}
	err.Err = fmt.Errorf("%s: %s", summary(r.st), result)
	err.Log = m.log
	if m.again {
		return err
	}
	err.Shell = r.findShell(ctx, m)
	asked, _ := r.st.Flag("network")
	err.Offline, err.PeakMemory = r.network == NetworkNone && asked != NetworkNone, result.PeakMemory
	if dir, kerr := m.temp.Keep(); kerr == nil {
		err.Bundle = dir
	}
	return err
}

// String is the result as a failure's message ends.
func (r RunResult) String() string {
	text := fmt.Sprintf("exit status %d", r.Status)
	signal := r.Signal
	if signal == 0 && r.Status > 128 && r.Status < 128+65 {
		signal = r.Status - 128 // of a child of the shell
	}
	const sigkill = 9
	used := ""
	if r.PeakMemory > 0 && (r.OOM || signal == sigkill) { // memory may be the reason
		used = fmt.Sprintf(", after using %.1f MiB", float64(r.PeakMemory)/(1<<20))
	}
	switch {
	case len(r.Limits) > 0:
		text += " (" + strings.Join(r.Limits, "; ") + ")"
	case r.OOM:
		text += " (killed: out of memory" + used + ")"
	case signal != 0:
		text += fmt.Sprintf(" (signal %d%s)", signal, used)
	}
	if r.Fault != "" {
		text += ": " + r.Fault
	}
	return text
}

// shells are looked for after that of the stage.
var shells = []string{"/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash", "/bin/ash", "/busybox/sh"}

// findShell gives the program of a shell in the root as the command left it.
// Without a view of that the stage's own is believed to be there.
func (r *runJob) findShell(ctx context.Context, m *maker) string {
	own := r.s.shell()[0]
	root, err := r.leftRoot(ctx, m)
	if err != nil {
		return own
	}
	defer root.Close()
	for _, name := range append(r.onPath(own), shells...) {
		const kind, regular = 0o170000, 0o100000
		if st, err := root.Stat(name); err == nil && st.Mode&kind == regular && st.Mode&0o111 != 0 {
			return name
		}
	}
	return ""
}

// onPath gives the paths that a program may have.
func (r *runJob) onPath(name string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	var list []string
	path, _ := r.s.scope().lookup("PATH")
	for _, dir := range filepath.SplitList(path) {
		list = append(list, filepath.Join(dir, name))
	}
	return list
}

// leftRoot is the root file system as the command left it.
func (r *runJob) leftRoot(ctx context.Context, m *maker) (*rootfs.Root, error) {
	if r.b.o.NoOverlay {
		return rootfs.Open(filepath.Join(m.temp.Path(), "rootfs"))
	}
	if r.b.o.View == nil {
		return nil, fs.ErrInvalid
	}
	lowers, err := r.b.lowers(ctx, r.s)
	if err != nil {
		return nil, err
	}
	f, err := r.b.o.View(append([]string{filepath.Join(m.temp.Path(), "upper")}, lowers...))
	if err != nil {
		return nil, err
	}
	return rootfs.FromFile(f)
}
