package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// container collects what a container is made of, for the thread that makes it.
type container struct {
	bundle *Bundle
	spec   *specs.Spec
	opts   Options
	filter func() ([]unix.SockFilter, error) // waits for the compiler
	mounts []*mount
	cgroup *cgroup // nil without limits
	watch  *watch  // nil without limits of its
	first  victim  // its command, where that may be killed for a limit

	joins    []join         // namespaces that others made
	gate     *os.File       // where the process waits to be started, or nil
	terminal *terminal      // of its own, or nil
	wanted   *userNamespace // of its own, or nil
	users    *idMaps        // in such a one
	rlimits  []rlimit       // that we set for it
	begun    []begun        // file systems, by the command
	outlives bool           // us
	visiting bool           // a container that others made
	signals  *signals       // for the command
	command  string         // the program, when it is not process.args[0]

	place    bundleDir // of the bundle, in the mount namespace
	layers   *layers   // with an overlay
	scratch  detached  // on it, with an overlay
	storage  detached  // for what is written, where that is limited
	rootDir  bundleDir // what root.path names, without an overlay, or -1
	rootTree detached  // a root that is a slave of the machine's, or -1
	nodesDir detached  // where devices of the container's own are, or -1
	nodes    []node
	places   *places // in the container's root
}

// containerOf is a container of which nothing has been made.
func containerOf(spec *specs.Spec, o Options) *container {
	return &container{
		spec: spec, opts: o,
		place: bundleDir{-1}, scratch: detached{-1}, rootDir: bundleDir{-1}, rootTree: detached{-1}, nodesDir: detached{-1}, storage: detached{-1},
	}
}

// newContainer checks what is asked for and makes what does not need the
// container's namespaces. Who gets one removes its cgroup.
func newContainer(b *Bundle, o Options) (*container, error) {
	o, err := o.isolated()
	if err != nil {
		return nil, err
	}
	spec, err := o.apply(b.Spec)
	if err != nil {
		return nil, err
	}
	if o.Storage > 0 && spec.Annotations[AnnotationUpper] == "" {
		return nil, errors.New("limit storage: the root is a directory: only what is written into an overlay can be limited")
	}
	if o.ID == "" {
		o.ID = randomName()
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("run: an ordinary user needs a user namespace first")
	}
	if o.Warn != nil {
		for _, w := range o.warnings() {
			o.Warn(w)
		}
	}
	_, _ = ownIDs(), InUserNamespace() // while /proc is the host's
	if err := HideMemory(); err != nil {
		return nil, err
	}
	c := containerOf(spec, o)
	c.bundle = b
	c.compileFilter()
	lacking, err := c.withoutLacking()
	if err != nil {
		return nil, err
	}
	if len(lacking) > 0 && o.Warn != nil {
		o.Warn("not here, and left out: " + strings.Join(lacking, ", "))
	}
	if c.joins, err = openJoins(spec.Linux.Namespaces); err != nil {
		return nil, err
	}
	if c.wanted, err = wantUsers(spec, c.joins); err != nil {
		closeJoins(c.joins)
		return nil, err
	}
	if c.wanted != nil {
		c.opts.NoInit = true // the process that makes the namespaces is their first
	}
	if err := c.makeCgroup(); err != nil {
		closeJoins(c.joins)
		return nil, err
	}
	if c.cgroup != nil && o.Cgroup != nil {
		o.Cgroup(c.cgroup.list())
	}
	return c, nil
}

// minMemory is less than any program can do with. Until a command is executed it
// shares its memory with us, and the kernel would kill us with it.
const minMemory = 512 << 10

// makeCgroup makes the container's cgroup with its limits. What cannot be limited
// is an error, or where the best will do, a warning.
func (c *container) makeCgroup() (err error) {
	if r := c.spec.Linux.Resources; r != nil && r.Memory != nil && r.Memory.Limit != nil && *r.Memory.Limit > 0 && *r.Memory.Limit < minMemory {
		return fmt.Errorf("memory limit: %s is less than the %s that it takes to start a program", Size(*r.Memory.Limit), Size(minMemory))
	}
	plan := cgroupPlan{resources: c.spec.Linux.Resources, path: c.spec.Linux.CgroupsPath, name: cmp.Or(c.opts.Name, randomName())}
	var spared []string
	if c.opts.Limits.BestEffort {
		plan.spare = func(err error) { spared = append(spared, briefly(err)) }
	}
	c.cgroup, err = plan.make()
	if len(spared) > 0 && c.opts.Warn != nil {
		c.opts.Warn("not limited: " + strings.Join(spared, "; "))
	}
	return err
}

// compileFilter has the seccomp filter made while the namespaces are.
func (c *container) compileFilter() {
	c.filter = sync.OnceValues(func() ([]unix.SockFilter, error) { return seccompFilter(c.spec) })
	if !c.opts.NoSeccomp {
		go func() { _, _ = c.filter() }()
	}
}

// HideMemory keeps this program's memory out of core dumps, and from processes
// that have no power over its user namespace. It is for who holds secrets, and
// for the processes of a container, which have the memory of their maker until
// they execute.
func HideMemory() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide memory: %w", err)
	}
	return nil
}
