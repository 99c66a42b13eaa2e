package sandbox

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// raiseLoopback brings lo up in the calling thread's network namespace. The
// kernel gives it 127.0.0.1 and ::1 by itself.
func raiseLoopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("raise loopback: %w", err)
	}
	return nil
}

// hostFiles are mounted over files of the image, so that an image needs none of
// them and a build leaves none behind. They are in scratch.
func (c *container) hostFiles() error {
	name := c.spec.Hostname
	resolv, hosts := "", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	if name != "" && !strings.ContainsAny(name, " \t\n#") {
		hosts += "127.0.0.1\t" + name + "\n"
	}
	shared := !hasNamespace(c.spec, specs.NetworkNamespace)
	for _, f := range []struct{ name, text string }{{"hosts", hosts}, {"hostname", name + "\n"}, {"resolv.conf", resolv}} {
		dest := "/etc/" + f.name
		if c.mounted(dest) {
			continue
		}
		text := f.text
		if shared && f.name != "hostname" {
			text = readHostFile(dest, text)
		}
		if err := c.hostFile(f.name, dest, text); err != nil {
			return fmt.Errorf("provide %s: %w", dest, err)
		}
	}
	return nil
}

// mounted tells whether the specification mounts something at dest or above it.
func (c *container) mounted(dest string) bool {
	for _, m := range c.mounts {
		if m.dest == dest || strings.HasPrefix(dest, m.dest+"/") {
			return true
		}
	}
	return false
}

// readHostFile is the host's, of which the container gets a copy: a bind mount
// of the file itself would go stale when it is replaced.
func readHostFile(path, otherwise string) string {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return otherwise
	}
	defer unix.Close(fd)
	buf := make([]byte, 1<<20)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return otherwise
	}
	return string(buf[:n])
}

func (c *container) hostFile(name, dest, text string) error {
	fd, err := unix.Openat(c.scratch.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(text))
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return err
	}
	m, err := cloneTree(c.scratch.fd, name, false)
	if err != nil {
		return err
	}
	pm := &mount{dest: dest, fstype: "bind", attr: parseOptions([]string{"nosuid", "noexec"})}
	c.mounts = append(c.mounts, pm)
	return pm.take(m)
}
