//go:build unix

package rootfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// linkBudget is how many symbolic links one path may lead through, as in the kernel.
const linkBudget = 40

// place is a name in an open directory of the root.
type place struct {
	fd    int    // owned unless it is the root's
	base  string // a name, or "." for the directory itself
	names []string
	root  int
}

func (p *place) close() {
	if p.fd != p.root && p.fd >= 0 {
		unix.Close(p.fd)
	}
	p.fd = -1
}

// enter opens the directory name of the place without following a link.
func (p *place) enter(name string) error {
	fd, err := openat(p.fd, name, openDir|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	p.close()
	p.fd = fd
	p.names = append(p.names, name)
	return nil
}

// up goes to the parent directory. It never uses "..", which would leave the root
// if somebody moved the directory out meanwhile: it walks down again by the names
// that are known to be real directories.
func (p *place) up(levels int) error {
	names := p.names[:max(0, len(p.names)-levels)]
	p.close()
	p.fd, p.names = p.root, make([]string, 0, len(names))
	for _, n := range names {
		if err := p.enter(n); err != nil {
			return err
		}
	}
	return nil
}

// walk resolves path below root element by element: the resolver where openat2
// is not to be had, and wherever names are wanted and not only a descriptor. The
// last element is followed if it is a link and follow is set; it need not exist.
func walk(root int, path string, follow bool) (*place, error) {
	p, rest, err := walkOn(root, path, follow)
	if err == nil && len(rest) > 0 {
		err = unix.ENOENT
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// walkOn is walk that stops at the first directory that does not exist, which is
// then the place, and returns the elements after it.
func walkOn(root int, path string, follow bool) (*place, []string, error) {
	p := &place{fd: root, root: root, base: "."}
	todo := elements(nil, path)
	asDir := strings.HasSuffix(path, "/")
	links := 0
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if name == ".." {
			n := 1
			for len(todo) > 0 && todo[len(todo)-1] == ".." {
				n++
				todo = todo[:len(todo)-1]
			}
			if err := p.up(n); err != nil {
				return p, nil, err
			}
			continue
		}
		last := len(todo) == 0
		if last && !follow && !asDir {
			p.base = name
			return p, nil, nil
		}
		text, err := readlinkat(p.fd, name)
		switch {
		case err == nil:
			if links++; links > linkBudget {
				return p, nil, unix.ELOOP
			}
			if strings.HasPrefix(text, "/") {
				if err := p.up(len(p.names)); err != nil {
					return p, nil, err
				}
			}
			todo = elements(todo, text)
			asDir = asDir || last && strings.HasSuffix(text, "/")
			continue
		case errors.Is(err, unix.ENOENT):
			p.base = name
			return p, todo, nil
		case !errors.Is(err, unix.EINVAL): // EINVAL: there, and not a link
			return p, nil, err
		}
		if last && !asDir {
			p.base = name
			return p, nil, nil
		}
		if err := p.enter(name); err != nil {
			return p, nil, err
		}
	}
	return p, nil, nil
}

// elements puts the elements of path on the stack todo, the first on top.
func elements(todo []string, path string) []string {
	for path != "" {
		i := strings.LastIndexByte(path, '/')
		if name := path[i+1:]; name != "" && name != "." {
			todo = append(todo, name)
		}
		path = path[:max(i, 0)]
	}
	return todo
}

// openWalking is the opener on top of walk. A link that appears where walk saw
// none is not followed: the open fails with ELOOP.
func openWalking(root int, path string, flags int, perm uint32) (int, error) {
	follow := flags&unix.O_NOFOLLOW == 0 && flags&(unix.O_CREAT|unix.O_EXCL) != unix.O_CREAT|unix.O_EXCL
	p, err := walk(root, path, follow)
	if err != nil {
		return -1, err
	}
	defer p.close()
	return openat(p.fd, p.base, flags|unix.O_NOFOLLOW, perm)
}

// resolve is the path of what path leads to.
func resolve(root int, path string) (string, error) {
	p, rest, err := walkOn(root, path, true)
	defer p.close()
	if errors.Is(err, unix.ENOTDIR) {
		err = nil
	}
	if err != nil {
		return "", err
	}
	names := append([]string{}, p.names...)
	if p.base != "." {
		names = append(names, p.base)
	}
	for i := len(rest) - 1; i >= 0; i-- {
		if rest[i] != ".." {
			names = append(names, rest[i])
		} else if len(names) > 0 {
			names = names[:len(names)-1]
		}
	}
	return "/" + strings.Join(names, "/"), nil
}

// mkdirAll makes what lacks of path. Every turn makes one directory, so that a
// link that leads to nothing is walked again once its target's parent is there.
func mkdirAll(root int, path string, perm uint32) error {
	for range 1 << 12 { // more turns than links only if somebody races with us
		p, rest, err := walkOn(root, path+"/", true)
		if err != nil || p.base == "." {
			p.close()
			return err
		}
		err = unix.Mkdirat(p.fd, p.base, perm)
		for i := len(rest) - 1; i >= 0 && err == nil && rest[i] != ".."; i-- {
			if err = p.enter(p.base); err == nil {
				p.base = rest[i]
				err = unix.Mkdirat(p.fd, p.base, perm)
			}
		}
		p.close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return unix.EAGAIN
}

func openat(dirfd int, name string, flags int, perm uint32) (int, error) {
	return retry(func() (int, error) { return unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, perm) })
}

func retry(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if err != unix.EINTR {
			return n, err
		}
	}
}

func readlinkat(dirfd int, name string) (string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := retry(func() (int, error) { return unix.Readlinkat(dirfd, name, buf) })
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}

func isNotExist(err error) bool { return errors.Is(err, unix.ENOENT) }
