package sandbox

import (
	"bytes"
	"io/fs"
	"strings"
)

// Environment names the container that a process with these environment
// variables, on a machine with this file system, is itself in: "docker",
// "podman", "kubernetes", "lxc", "systemd-nspawn", or "container" for one that
// only says that it is one. "" is none that can be told. Engines leave files,
// set the variable "container" of process 1, or show in the names of cgroups;
// the more special answer wins, for a pod's container is docker's or podman's too.
func Environment(root fs.FS, getenv func(string) string) string {
	exists := func(name string) bool { _, err := fs.Stat(root, name); return err == nil }
	text := func(name string) string { b, _ := fs.ReadFile(root, name); return string(b) }
	named := getenv("container")
	for _, v := range bytes.Split([]byte(text("proc/1/environ")), []byte{0}) {
		if value, ok := strings.CutPrefix(string(v), "container="); ok {
			named = value
		}
	}
	if named == "" {
		named = strings.TrimSpace(text("run/systemd/container"))
	}
	cgroups := text("proc/1/cgroup")
	switch {
	case getenv("KUBERNETES_SERVICE_HOST") != "", exists("var/run/secrets/kubernetes.io"), strings.Contains(cgroups, "/kubepods"):
		return "kubernetes"
	case exists("run/.containerenv"), named == "podman", strings.Contains(cgroups, "/libpod-"):
		return "podman"
	case exists(".dockerenv"), named == "docker", strings.Contains(cgroups, "/docker/"), strings.Contains(cgroups, "/docker-"):
		return "docker"
	case strings.HasPrefix(named, "lxc"), strings.Contains(cgroups, "/lxc"), exists("dev/lxd/sock"):
		return "lxc"
	case named == "systemd-nspawn":
		return "systemd-nspawn"
	case named != "", getenv("CODESPACES") == "true", strings.Contains(cgroups, "/containerd"):
		return "container"
	}
	return ""
}
