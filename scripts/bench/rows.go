package main

import (
	"fmt"
	"os"
)

// rows are the figures that the design promises, in its order.
func (b *session) rows() []row {
	rows := []row{
		b.build("cached rebuild, 10 steps", smallContext, "Dockerfile", true),
		b.build("cached rebuild, 20,000 files", manyContext, "Dockerfile", true),
		b.runOverhead(),
		b.build("COPY of 20,000 files", manyContext, "Copyfile", false),
		b.build("COPY of 1 GiB", largeContext, "Copyfile", false),
	}
	if r, err := b.start(); err == nil {
		rows = append(rows, r)
	} else {
		b.missing = append(b.missing, "start of /bin/true ("+err.Error()+")")
	}
	if r, err := b.apply(); err == nil {
		rows = append(rows, r)
	} else {
		b.missing = append(b.missing, "apply of a Debian layer ("+err.Error()+")")
	}
	return rows
}

// build compares whole builds of one context, warm or without the cache.
func (b *session) build(name, context, file string, cached bool) row {
	r := row{name: name, ours: b.ourBuild(context, file, cached)}
	if b.docker {
		r.peers = append(r.peers, b.dockerBuild("docker", "0", context, file, cached), b.dockerBuild("BuildKit", "1", context, file, cached))
	}
	if b.buildah {
		r.peers = append(r.peers, b.buildahBuild(context, file, cached))
	}
	return r
}

func noCache(cached bool) []string {
	if cached {
		return nil
	}
	return []string{"--no-cache"}
}

func (b *session) ourBuild(context, file string, cached bool) command {
	argv := append([]string{"docksmith", "build", "-q", "-t", "bench", "-f", b.path(context, file)}, noCache(cached)...)
	return command{name: "docksmith", argv: append(argv, b.path(context))}
}

func (b *session) dockerBuild(name, buildkit, context, file string, cached bool) command {
	argv := append([]string{"env", "DOCKER_BUILDKIT=" + buildkit, "/usr/bin/docker", "build", "-q", "--network=none", "-t", "bench", "-f", b.path(context, file)}, noCache(cached)...)
	return command{name: name, argv: append(argv, b.path(context))}
}

func (b *session) buildahBuild(context, file string, cached bool) command {
	argv := b.buildahCommand("bud", "--layers", "-q", "--runtime", "runc", "--network=none", "--pull-never", "-t", "bench", "-f", b.path(context, file))
	return command{name: "buildah", argv: append(append(argv, noCache(cached)...), b.path(context))}
}

// runOverhead is what one RUN of nothing costs: eleven less one, by ten.
func (b *session) runOverhead() row {
	long := b.build("overhead of one RUN", "runs", "Run11", false)
	short := b.build("", "runs", "Run1", false)
	long.ours.divide, long.ours.base = 10, short.ours.argv
	for i := range long.peers {
		long.peers[i].divide, long.peers[i].base = 10, short.peers[i].argv
	}
	return long
}

// start compares how long /bin/true takes in a container of the base image.
func (b *session) start() (row, error) {
	if err := b.sh("ds-store bundle base " + b.path("bundle") + " && ds-store unpack base " + b.path("unpacked")); err != nil {
		return row{}, err
	}
	rootfs := b.path("unpacked", "rootfs")
	r := row{name: "start of /bin/true", ours: command{name: "ds-exec", argv: []string{"ds-exec", "run", b.path("bundle"), "--", "/bin/true"}}}
	if b.has("crun") {
		// Started in a mount namespace without the second cgroup hierarchy,
		// which crun refuses; the cost of that is taken off.
		wrap := []string{"unshare", "-m", "sh", "-c", "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"", "sh"}
		if err := b.sh("cd " + b.path("unpacked") + " && sed -i 's|\"args\":\\[[^]]*\\]|\"args\":[\"/bin/true\"]|' config.json"); err != nil {
			return r, err
		}
		c := command{name: "crun run", dir: b.path("unpacked"), divide: 1,
			argv: append(append([]string{}, wrap...), "crun", "--root", b.path("crun"), "run", "bench"), base: append(append([]string{}, wrap...), "true")}
		if b.tryCommand(c) {
			r.peers = append(r.peers, c)
		}
	}
	if b.has("bwrap") {
		c := command{name: "bwrap", argv: []string{"bwrap", "--unshare-all", "--bind", rootfs, "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"}}
		if b.tryCommand(c) {
			r.peers = append(r.peers, c)
		}
	}
	if b.has("podman") {
		podman := []string{"podman", "--root", b.path("podman"), "--runroot", b.path("podman-run"), "--storage-driver", "overlay", "--cgroup-manager=cgroupfs", "--runtime", "runc"}
		if b.try("podman", append(append([]string{}, podman...), "load", "-q", "-i", b.path("base.tar"))) {
			c := command{name: "podman run --rm", argv: append(podman, "run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "base", "/bin/true")}
			if b.tryCommand(c) {
				r.peers = append(r.peers, c)
			}
		}
	}
	return r, nil
}

func (b *session) tryCommand(c command) bool {
	if _, err := b.once(c, c.argv); err != nil {
		b.missing = append(b.missing, fmt.Sprintf("%s (%.300v)", c.name, err))
		return false
	}
	return true
}

// apply compares the extraction of a Debian base with tar's and umoci's.
func (b *session) apply() (row, error) {
	tar := b.debian
	if tar == "" {
		tar = b.path("debian.tar")
		if err := b.sh("mmdebstrap --quiet --variant=minbase bookworm " + tar); err != nil {
			return row{}, err
		}
	}
	fresh := func(name string) func() error {
		return func() error {
			if err := os.RemoveAll(b.path(name)); err != nil {
				return err
			}
			return os.Mkdir(b.path(name), 0o755)
		}
	}
	r := row{
		name:  "apply of a Debian layer",
		ours:  command{name: "ds-layer apply", argv: []string{"ds-layer", "apply", b.path("applied"), tar}, undo: fresh("applied")},
		peers: []command{{name: "tar xf", argv: []string{"tar", "xf", tar, "--numeric-owner", "-C", b.path("tarred")}, undo: fresh("tarred")}},
	}
	if b.has("umoci") {
		if err := b.sh("docksmith base --from-tar " + tar + " debian && ds-store export --compress=none -o " + b.path("debian.oci") + " debian && mkdir " + b.path("layout") + " && tar xf " + b.path("debian.oci") + " -C " + b.path("layout")); err != nil {
			return r, err
		}
		c := command{name: "umoci unpack", argv: []string{"umoci", "unpack", "--image", b.path("layout") + ":debian:latest", b.path("umoci")},
			undo: func() error { return os.RemoveAll(b.path("umoci")) }}
		r.peers = append(r.peers, c)
	}
	return r, nil
}
