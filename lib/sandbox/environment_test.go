package sandbox

import (
	"testing"
	"testing/fstest"
)

func TestEnvironment(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		env   map[string]string
		want  string
	}{
		{name: "a machine", files: fstest.MapFS{"proc/1/cgroup": file("0::/init.scope\n"), "proc/1/environ": file("HOME=/\x00TERM=linux\x00")}},
		{name: "docker's file", files: fstest.MapFS{".dockerenv": file("")}, want: "docker"},
		{name: "docker's cgroup", files: fstest.MapFS{"proc/1/cgroup": file("12:pids:/docker/0123\n")}, want: "docker"},
		{name: "docker by systemd", files: fstest.MapFS{"proc/1/cgroup": file("0::/system.slice/docker-01.scope\n")}, want: "docker"},
		{name: "podman's file", files: fstest.MapFS{"run/.containerenv": file("")}, want: "podman"},
		{name: "podman's variable", env: map[string]string{"container": "podman"}, want: "podman"},
		{name: "podman's cgroup", files: fstest.MapFS{"proc/1/cgroup": file("0::/user.slice/libpod-01.scope\n")}, want: "podman"},
		{name: "a pod of docker", files: fstest.MapFS{".dockerenv": file("")}, env: map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, want: "kubernetes"},
		{name: "a pod's cgroup", files: fstest.MapFS{"proc/1/cgroup": file("1:cpu:/kubepods/besteffort/pod1/2\n")}, want: "kubernetes"},
		{name: "a pod's token", files: fstest.MapFS{"var/run/secrets/kubernetes.io/serviceaccount/token": file("x")}, want: "kubernetes"},
		{name: "lxc", files: fstest.MapFS{"proc/1/environ": file("TERM=linux\x00container=lxc\x00")}, want: "lxc"},
		{name: "lxc of snap", files: fstest.MapFS{"proc/1/environ": file("container=lxc-libvirt")}, want: "lxc"},
		{name: "lxc's cgroup", files: fstest.MapFS{"proc/1/cgroup": file("0::/lxc.payload.web/init.scope\n")}, want: "lxc"},
		{name: "lxd's socket", files: fstest.MapFS{"dev/lxd/sock": file("")}, want: "lxc"},
		{name: "nspawn", files: fstest.MapFS{"run/systemd/container": file("systemd-nspawn\n")}, want: "systemd-nspawn"},
		{name: "process 1 knows better", files: fstest.MapFS{"proc/1/environ": file("container=systemd-nspawn")}, env: map[string]string{"container": "oci"}, want: "systemd-nspawn"},
		{name: "an unknown one", env: map[string]string{"container": "oci"}, want: "container"},
		{name: "codespaces", env: map[string]string{"CODESPACES": "true"}, want: "container"},
		{name: "containerd's cgroup", files: fstest.MapFS{"proc/1/cgroup": file("0::/system.slice/containerd.service/x\n")}, want: "container"},
	} {
		if c.files == nil {
			c.files = fstest.MapFS{}
		}
		if got := Environment(c.files, func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
