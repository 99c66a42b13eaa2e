package oci

import (
	"math"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// DefaultPath is the PATH of a process whose image sets none.
const DefaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// RuntimeOptions changes what an image's configuration asks for. The zero value
// runs the image as it is.
type RuntimeOptions struct {
	Args        []string // replace the image's command; nil keeps it
	Entrypoint  []string // replace the entrypoint and drop the image's command; nil keeps both
	Env         []string // added, KEY=VALUE; a later one of the same name wins
	Cwd         string   // replaces the working directory
	User        string   // replaces the user
	Hostname    string   // default "docksmith"
	HostNetwork bool     // leave the network namespace out
	Readonly    bool     // mount the root read-only
	Privileged  []string // the capabilities of a process that nothing is hidden from and no system call refused; nil: none such
	Terminal    bool     // give the process a terminal
}

// RuntimeSpec turns an image's configuration into that of a container, by the
// image specification's conversion rules, with the mounts, namespaces,
// capabilities and hidden paths container engines give. It has no seccomp
// member: ds-exec brings its own profile.
//
// A user that is not purely numeric is left for the runtime to look up inside
// the root, in the annotation AnnotationUser. The image's labels are not copied
// to annotations, although the specification suggests it: runtimes act on
// annotations, and what an image carries must not steer its runtime.
func RuntimeSpec(img Image, o RuntimeOptions) *specs.Spec {
	user := img.Config.User
	if o.User != "" {
		user = o.User
	}
	hostname := o.Hostname
	if hostname == "" {
		hostname = "docksmith"
	}
	process := &specs.Process{
		Terminal:        o.Terminal,
		Args:            runtimeArgs(img.Config, o),
		Env:             runtimeEnv(img.Config.Env, o.Env, o.Terminal),
		Cwd:             runtimeCwd(img.Config.WorkingDir, o.Cwd),
		Capabilities:    defaultCapabilities(),
		NoNewPrivileges: true,
	}
	annotations := imageAnnotations(img)
	if uid, gid, exact := NumericUser(user); exact {
		process.User = specs.User{UID: uid, GID: gid}
	} else {
		process.User.UID = uid
		annotations[AnnotationUser] = user
	}
	spec := &specs.Spec{
		Version:     "1.0.2", // what is used here is all in it, and crun 1.8 takes no later one
		Process:     process,
		Root:        &specs.Root{Path: "rootfs", Readonly: o.Readonly},
		Hostname:    hostname,
		Mounts:      defaultMounts(),
		Annotations: annotations,
		Linux: &specs.Linux{
			Namespaces:    defaultNamespaces(o.HostNetwork),
			MaskedPaths:   append([]string(nil), maskedPaths...),
			ReadonlyPaths: append([]string(nil), readonlyPaths...),
			Resources:     &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
		},
	}
	if o.Privileged != nil {
		unlock(spec, o.Privileged)
	}
	return spec
}

func runtimeArgs(c ImageConfig, o RuntimeOptions) []string {
	entrypoint, cmd := c.Entrypoint, c.Cmd
	if o.Entrypoint != nil {
		entrypoint, cmd = o.Entrypoint, nil
	}
	if o.Args != nil {
		cmd = o.Args
	}
	return append(append([]string{}, entrypoint...), cmd...)
}

// runtimeEnv merges by name, in place, so the image's order stays.
func runtimeEnv(image, added []string, terminal bool) []string {
	env := MergeEnv([]string{DefaultPath}, image...)
	if terminal {
		env = MergeEnv(env, "TERM=xterm")
	}
	return MergeEnv(env, added...)
}

// MergeEnv sets each KEY=VALUE of added in env: in place where the key is
// already there, else at the end. Keys are compared whole. env is not changed.
func MergeEnv(env []string, added ...string) []string {
	out := append([]string{}, env...)
next:
	for _, kv := range added {
		key, _, _ := strings.Cut(kv, "=")
		for i, old := range out {
			if k, _, _ := strings.Cut(old, "="); k == key {
				out[i] = kv
				continue next
			}
		}
		out = append(out, kv)
	}
	return out
}

func runtimeCwd(image, override string) string {
	dir := image
	if override != "" {
		dir = override
	}
	return path.Join("/", dir)
}

// NumericUser reads UID or UID:GID. exact is false when something is left to be
// looked up in the image, or refused there: a name, the group of a lone UID, a
// number that is no ID.
func NumericUser(user string) (uid, gid uint32, exact bool) {
	if user == "" {
		return 0, 0, true
	}
	u, g, both := strings.Cut(user, ":")
	uid, ok := numericID(u)
	if !ok || !both {
		return uid, 0, false
	}
	gid, ok = numericID(g)
	return uid, gid, ok
}

// numericID reads an ID; the highest number means "none" to the kernel.
func numericID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == math.MaxUint32 {
		return 0, false
	}
	return uint32(n), true
}

func imageAnnotations(img Image) map[string]string {
	a := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			a["org.opencontainers.image."+key] = value
		}
	}
	set("os", img.OS)
	set("architecture", img.Architecture)
	set("variant", img.Variant)
	set("author", img.Author)
	set("stopSignal", img.Config.StopSignal)
	if img.Created != nil {
		set("created", img.Created.UTC().Format(time.RFC3339Nano))
	}
	ports := make([]string, 0, len(img.Config.ExposedPorts))
	for p := range img.Config.ExposedPorts {
		ports = append(ports, p)
	}
	sort.Strings(ports)
	set("exposedPorts", strings.Join(ports, ","))
	return a
}
